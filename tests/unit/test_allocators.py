"""The allocators beside malloc: found only where they are loaded, and how they are asked."""

import linecache
import re
import sys
import urllib.parse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from commands import lines_of
from fakes import MIB, FakeClock
from membudget.core import Reclaimer, Rung
from membudget.probes import allocator
from membudget.reclaimers.allocators import Allocators, StandardCaches


class FakePool:
    """A pool of pyarrow's that holds bytes free, and gives back only to a thread that it knows."""

    def __init__(self, process: SimpleNamespace, peak: int = 0, live: int = 0) -> None:
        self.process = process
        self.peak = peak
        self.live = live
        self.is_known = False

    def max_memory(self) -> int | None:
        """At its peak; a pool that does not count says None."""
        return self.peak or None

    def bytes_allocated(self) -> int:
        return self.live

    def release_unused(self) -> None:
        """As mimalloc does: nothing on a thread that never had memory of it."""
        if self.is_known:
            self.process.used -= self.peak - self.live


@pytest.fixture
def process() -> SimpleNamespace:
    """A process whose size is set by hand."""
    return SimpleNamespace(used=500 * MIB)


@pytest.fixture
def allocators(process: SimpleNamespace) -> Allocators:
    """Those of a process whose malloc holds nothing."""
    nothing = ("malloc trim", lambda: False, lambda: 0)
    return Allocators(lambda: int(process.used), [nothing], clock=FakeClock())


def named(allocators: Allocators, name: str, rung: Rung) -> Reclaimer:
    (found,) = [one for one in allocators.reclaimers() if one.name == name and one.rung is rung]
    return found


def load_arrow(monkeypatch: pytest.MonkeyPatch, *pools: FakePool) -> None:
    """Have a pyarrow with these pools that was built without jemalloc."""

    def allocate_buffer(_size: int, *, memory_pool: FakePool) -> None:
        memory_pool.is_known = True

    def missing() -> FakePool:
        raise NotImplementedError("This Arrow build does not enable jemalloc")

    arrow = SimpleNamespace(
        mimalloc_memory_pool=lambda: pools[0],
        jemalloc_memory_pool=missing if len(pools) == 1 else lambda: pools[1],
        allocate_buffer=allocate_buffer,
    )
    monkeypatch.setitem(sys.modules, "pyarrow", arrow)


def test_nothing_is_asked_that_the_program_has_not_loaded(
    allocators: Allocators, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("pyarrow", "torch", "polars"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    before = set(sys.modules)
    assert [one.reclaimable() for one in allocators.reclaimers()] == [0] * 8
    assert allocators.rows() == []
    assert set(sys.modules) == before


def test_what_arrow_keeps_comes_back_before_anything_in_use_is_let_go(
    allocators: Allocators, process: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At GENTLE, from a thread that its allocator has never seen."""
    load_arrow(monkeypatch, FakePool(process, peak=220 * MIB, live=10 * MIB))
    pools = named(allocators, "pyarrow pools", Rung.GENTLE)
    assert allocators.ready() == 210 * MIB
    assert pools.reclaimable() is None
    assert pools.reclaim(30 * MIB, 0.0) == 210 * MIB
    assert process.used == 290 * MIB
    assert pools.reclaimable() == 0
    assert allocators.ready() == 0
    assert allocators.given_back == 210 * MIB
    assert [row["name"] for row in allocators.rows()] == ["pyarrow pools"]


def test_pools_that_were_never_used_are_left_alone(
    allocators: Allocators, process: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_arrow(monkeypatch, FakePool(process), FakePool(process))
    assert named(allocators, "pyarrow pools", Rung.GENTLE).reclaimable() == 0


def test_pinned_memory_is_given_back_late_and_only_where_a_gpu_is_in_use(
    allocators: Allocators, process: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Giving it back waits for the GPU; asking must not be what starts that."""
    is_initialized = False

    def empty() -> None:
        process.used -= 96 * MIB

    stats = {"allocated_bytes": {"current": 128 * MIB}, "active_bytes": {"current": 32 * MIB}}
    core = SimpleNamespace(_host_emptyCache=empty, _cuda_hostMemoryStats=lambda: stats)
    cuda = SimpleNamespace(is_initialized=lambda: is_initialized)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda, _C=core))
    pinned = named(allocators, "torch pinned memory", Rung.AGGRESSIVE)
    assert pinned.reclaimable() == 0
    is_initialized = True
    assert pinned.reclaimable() is None
    assert pinned.reclaim(MIB, 0.0) == 96 * MIB
    rungs = {one.rung for one in allocators.reclaimers() if one.name == pinned.name}
    assert rungs == {Rung.AGGRESSIVE, Rung.EMERGENCY}


def test_a_library_half_imported_is_no_failure(
    allocators: Allocators, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its module is there before what is in it."""
    for module in ("pyarrow", "torch"):
        monkeypatch.setitem(sys.modules, module, SimpleNamespace())
    assert [one.reclaimable() for one in allocators.reclaimers()] == [0] * 8


def test_who_cannot_be_asked_is_told(
    allocators: Allocators, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Polars shows no symbol of its allocator."""
    monkeypatch.setitem(sys.modules, "polars", SimpleNamespace())
    (row,) = allocators.rows()
    assert (row["name"], row["given_back"]) == ("polars", 0)
    assert "cannot be asked" in row["why"]


def test_malloc_comes_first_of_what_is_native() -> None:
    """On glibc it tells what is free; elsewhere it holds nothing that could be asked for."""
    (name, release, free), *_preloaded = allocator.purgeable()
    assert name == "malloc trim"
    if allocator.allocator().name == "glibc":
        assert free() != 0
    else:
        assert not free()
    assert release() in (True, False)


REAL = """
import time
from membudget.probes import allocator
from membudget.probes.process import process_probe
from membudget.reclaimers.allocators import Allocators
MIB = 1 << 20
own = process_probe().own_bytes
asked = {one.name: one for one in Allocators(own, allocator.purgeable()).reclaimers()}
def ask(name):
    one, before = asked[name], own()
    if one.reclaimable() == 0:
        return None
    one.reclaim(100 * MIB, 0.0)
    return (before - own()) // MIB
"""


@pytest.mark.skipif(allocator.mallinfo() is None, reason="this C library has no mallinfo2")
def test_a_heap_in_pieces_is_told_from_one_that_gives_back() -> None:
    """Free bytes alone do not tell: only what is freed anew is worth the next try at once."""
    in_pieces, at_once, freed_anew = lines_of(
        REAL
        + """
pieces = [bytes(1500) for _ in range(60_000)]
del pieces[::4]
print(ask("malloc trim"))
print(ask("malloc trim"))
whole = [bytes(3000) for _ in range(12_000)]
last = bytes(3000)
del whole
until = time.monotonic() + 5  # Its share of the time may be used up.
while (came := ask("malloc trim")) is None and time.monotonic() < until:
    time.sleep(0.01)
print(came)
"""
    )
    assert int(in_pieces) < 5
    assert at_once == "None"
    assert int(freed_anew) > 25


@pytest.mark.parametrize(
    ("name", "library"),
    [("jemalloc", "libjemalloc.so.2"), ("tcmalloc", "libtcmalloc_minimal.so.4")],
)
def test_what_stands_in_for_malloc_gives_back(name: str, library: str) -> None:
    """An allocator that a preload brings, which glibc's trim does nothing for."""
    path = next(Path("/usr/lib").glob(f"*/{library}"), None)
    if path is None:
        pytest.skip(f"{library} is not installed")
    (freed,) = lines_of(
        REAL
        + f"""
held = [bytes(2000) for _ in range(60_000)]
kept = held[::1000]
del held
print(ask({name!r}))
""",
        {"LD_PRELOAD": str(path)},
    )
    assert int(freed) > 40


def test_arrows_own_pools_give_back() -> None:
    """The real ones, on a thread of their own."""
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    (freed,) = lines_of(
        REAL
        + """
import threading
import pyarrow
pool = pyarrow.mimalloc_memory_pool()
numbers = list(range(100_000))
arrays = [pyarrow.array(numbers, memory_pool=pool) for _ in range(150)]
del arrays
thread = threading.Thread(target=lambda: print(ask("pyarrow pools")))
thread.start()
thread.join()
"""
    )
    assert int(freed) > 80


URL: Any = urllib.parse
PATTERNS: Any = re


def test_what_can_be_made_again_is_cleared_and_what_cannot_stays() -> None:
    """Patterns, addresses and lines of files go; lines that were put there by a notebook stay."""
    re.compile("one of a kind")
    urllib.parse.urlsplit("http://one.of.a.kind/")
    linecache.getline(__file__, 1)
    linecache.cache["<cell>"] = (4, None, ["cell"], "<cell>")
    used = [90]

    def own() -> int:
        return used.pop() if len(used) > 1 else used[0]

    used.append(100)
    try:
        assert StandardCaches(own).reclaim(1, 0.0) == 10
        assert not PATTERNS._cache
        assert URL.urlsplit.cache_info().currsize == 0
        assert __file__ not in linecache.cache
        assert "<cell>" in linecache.cache
    finally:
        del linecache.cache["<cell>"]
