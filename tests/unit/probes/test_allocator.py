"""Laws of what is told about the allocator under Python."""

import os
from pathlib import Path

import pytest

from commands import lines_of
from membudget.probes.allocator import allocator, mallinfo, trim
from membudget.probes.process import process_probe
from membudget.units import MIB

LINE = "7f1200000000-7f1200001000 r-xp 00000000 fe:01 1234  {}\n"
HAS_MALLINFO = mallinfo() is not None
HAS_GLIBC = allocator().name == "glibc"


@pytest.mark.parametrize(
    ("library", "name"),
    [
        ("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2", "jemalloc"),
        ("/usr/lib/libtcmalloc_minimal.so.4", "tcmalloc"),
        ("/usr/local/lib/libmimalloc.so.2.1", "mimalloc"),
    ],
)
def test_a_preloaded_allocator_is_named(library: str, name: str, tmp_path: Path) -> None:
    """A replacement is what answers malloc, whatever the C library is."""
    maps = tmp_path / "maps"
    maps.write_text(LINE.format("/usr/bin/python3.11") + LINE.format(library))
    assert allocator(str(maps), {}).name == name
    assert allocator(str(maps), {}).version is None


def test_the_c_library_is_named_with_its_version() -> None:
    """Without a replacement it is the C library's own; only glibc has a version to tell."""
    libraries = Path("/proc/self/maps")
    if not libraries.exists() or "/libc.so.6" not in libraries.read_text():
        pytest.skip("this process does not run on glibc")
    found = allocator(environ={})
    assert found.name == "glibc"
    assert found.version is not None
    assert int(found.version.split(".")[0]) == 2


@pytest.mark.parametrize(("value", "told"), [(None, None), ("", None), ("malloc", "malloc")])
def test_what_pythonmalloc_asks_for_is_told(value: str | None, told: str | None) -> None:
    """Without the variable it is the interpreter's own choice, told as None."""
    environ = {} if value is None else {"PYTHONMALLOC": value}
    assert allocator(os.devnull, environ).python == told


@pytest.mark.skipif(not HAS_MALLINFO, reason="this C library has no mallinfo2")
def test_what_is_handed_out_and_what_is_held_free_are_told_apart() -> None:
    """Blocks count as in use while they live, and as free once they are freed and kept."""
    before = mallinfo()
    blocks = [bytes(2000) for _ in range(20_000)]
    during = mallinfo()
    # Every other block stays, so that none of the freed ones can be merged and returned.
    del blocks[::2]
    after = mallinfo()
    assert before is not None
    assert during is not None
    assert after is not None
    assert during.in_use - before.in_use > 36 * MIB
    assert after.free - during.free > 15 * MIB
    assert during.in_use - after.in_use > 15 * MIB
    assert len(blocks) == 10_000


@pytest.mark.skipif(not HAS_MALLINFO, reason="this C library has no mallinfo2")
def test_blocks_with_a_mapping_of_their_own_are_in_use() -> None:
    """A block that was mapped on its own goes back at once when freed, and counts until then."""
    (line,) = lines_of(  # In this process it may find a place among what other tests freed.
        "from membudget.probes.allocator import mallinfo\n"
        "before = mallinfo(); block = bytes(64 << 20); after = mallinfo()\n"
        "print(after.in_use - before.in_use)\n"
    )
    assert int(line) >= 64 * MIB


@pytest.mark.skipif(not HAS_GLIBC, reason="only glibc can be trimmed")
def test_trimming_gives_back_what_was_freed() -> None:
    """Freed blocks below the last one stay resident until the allocator is asked."""
    probe = process_probe()
    blocks = [bytes(2000) for _ in range(50_000)]
    last = bytes(2000)
    held = probe().used
    del blocks
    assert trim() is True
    assert held - probe().used > 80 * MIB
    assert len(last) == 2000
