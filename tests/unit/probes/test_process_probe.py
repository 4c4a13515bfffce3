"""Laws of the process probe, on this process and on files that stand for one."""

import mmap
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from membudget.core import Reading
from membudget.errors import ProbeError
from membudget.probes.process import PortableProcessProbe, ProcessProbe, process_probe, rlimit_probe
from membudget.units import GIB, MIB

resource = pytest.importorskip("resource", reason="no resource limits here")
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no /proc here")
PAGE = mmap.PAGESIZE
SLACK = 4 * MIB


def write_process(
    proc: Path,
    *,
    resident: int = 100 * MIB,
    shared: int = 0,
    shmem: int | None = 0,
    stack: int = 0,
    swap: int = 0,
) -> None:
    """Write files that stand for a process with 100 MiB resident and 200 MiB of data, in bytes."""
    folder = proc / "self"
    folder.mkdir(exist_ok=True)
    pages = [300 * MIB, resident, shared, MIB, 0, 200 * MIB, 0]
    (folder / "statm").write_text(" ".join(str(size // PAGE) for size in pages) + "\n")
    told = "" if shmem is None else f"RssShmem:\t    {shmem // 1024} kB\n"
    told += f"VmStk:\t  {stack // 1024} kB\nVmSwap:\t  {swap // 1024} kB\n"
    (folder / "status").write_text(f"Name:\tweb\n{told}")


def touched(size: int, flags: int = mmap.MAP_PRIVATE) -> mmap.mmap:
    """New memory of that many bytes, every page written: no allocator can have had it before."""
    block = mmap.mmap(-1, size, flags=flags | mmap.MAP_ANONYMOUS)
    for start in range(0, size, PAGE):
        block[start] = 1
    return block


def statm_descriptors() -> list[int]:
    """This process's descriptors of a statm file."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue
        if target.endswith("/statm"):
            found.append(int(name))
    return found


@contextmanager
def soft_limit(kind: int, size: int) -> Iterator[None]:
    """A soft resource limit on this process, in bytes, for a while."""
    before, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (before, hard))


def test_what_is_allocated_is_used() -> None:
    """Memory of one's own shows in full, in the reading and in the fast figure alike."""
    probe = ProcessProbe()
    before, own_before = probe().used, probe.own_bytes()
    with touched(50 * MIB):
        assert probe().used - before == pytest.approx(50 * MIB, abs=SLACK)
        assert probe.own_bytes() - own_before == pytest.approx(50 * MIB, abs=SLACK)
    probe.close()


def test_shared_memory_is_used_and_pages_of_files_are_not(tmp_path: Path) -> None:
    """Shared memory stays until it is let go; pages of a file can be dropped and read again."""
    (tmp_path / "file").write_bytes(bytes(30 * MIB))
    probe = ProcessProbe()
    before = probe()
    with touched(40 * MIB, mmap.MAP_SHARED):
        with_shared = probe()
    assert with_shared.used - before.used == pytest.approx(40 * MIB, abs=SLACK)
    assert with_shared.parts["shmem"] - before.parts["shmem"] == 40 * MIB
    before = probe()
    with (
        (tmp_path / "file").open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        assert sum(mapped[::PAGE]) == 0
        with_file = probe()
    assert with_file.used - before.used == pytest.approx(0, abs=SLACK)
    assert with_file.parts["file"] - before.parts["file"] == pytest.approx(30 * MIB, abs=SLACK)
    probe.close()


def test_the_parts_are_those_of_the_kernel() -> None:
    """Each part is what /proc/PID/status calls it."""
    parts = ProcessProbe()().parts
    with open("/proc/self/status", encoding="ascii") as file:
        lines = dict(line.split(":", 1) for line in file)
    names = {"rss": "VmRSS", "anon": "RssAnon", "data": "VmData", "vms": "VmSize"}
    for part, name in names.items():
        assert parts[part] == pytest.approx(int(lines[name].split()[0]) * 1024, abs=SLACK), part


def test_status_is_read_again_only_when_shared_pages_moved(tmp_path: Path) -> None:
    """The dear file is left alone until the cheap one gives a reason to read it."""
    write_process(tmp_path, shared=10 * MIB, shmem=5 * MIB)
    probe = ProcessProbe(proc=str(tmp_path))
    assert probe().used == 95 * MIB
    write_process(tmp_path, shared=10 * MIB + PAGE, shmem=9 * MIB)
    assert probe().parts["shmem"] == 5 * MIB
    write_process(tmp_path, shared=20 * MIB, shmem=9 * MIB)
    assert probe().used == 89 * MIB
    assert probe.own_bytes() == 89 * MIB


def test_what_was_swapped_out_is_used_and_told(tmp_path: Path) -> None:
    """A process moved out by the kernel needs its memory as before; statm does not tell of it."""
    at = 1000.0
    write_process(tmp_path)
    (tmp_path / "meminfo").write_text("MemTotal:  9 kB\nSwapTotal:  1048576 kB\n")
    probe = ProcessProbe(proc=str(tmp_path), now=lambda: at)
    assert "swap" not in probe().parts
    write_process(tmp_path, swap=60 * MIB)
    at += 1.0
    reading = probe()
    assert reading.parts["swap"] == 60 * MIB
    assert reading.used == reading.parts["own"] == probe.own_bytes() == 160 * MIB


def test_what_is_swapped_in_again_is_counted_once(tmp_path: Path) -> None:
    """Pages that came back are resident at once: the older figure of the swap no longer holds."""
    write_process(tmp_path, swap=60 * MIB)
    probe = ProcessProbe(proc=str(tmp_path), now=lambda: 1000.0)
    assert probe().used == 160 * MIB
    write_process(tmp_path, resident=150 * MIB, swap=10 * MIB)
    assert probe().used == 160 * MIB


def test_data_is_told_without_the_stack(tmp_path: Path) -> None:
    """The kernel holds VmData against its limit, and statm adds the stack to it."""
    write_process(tmp_path, stack=8 * MIB)
    assert ProcessProbe(proc=str(tmp_path))().parts["data"] == 192 * MIB


def test_a_kernel_that_does_not_tell_shared_memory_is_read_all_the_same(tmp_path: Path) -> None:
    """Linux before 4.5 has no RssShmem: shared memory then counts as file."""
    write_process(tmp_path, shared=10 * MIB, shmem=None)
    assert ProcessProbe(proc=str(tmp_path))().used == 90 * MIB


def test_statm_with_other_words_is_an_error(tmp_path: Path) -> None:
    """A file that does not say what is due is told, not guessed at."""
    write_process(tmp_path)
    (tmp_path / "self" / "statm").write_text("1 2 3\n")
    with pytest.raises(ProbeError, match=r"statm reads '1 2 3.*7 numbers are due"):
        ProcessProbe(proc=str(tmp_path))()


def test_after_a_fork_the_child_reads_itself() -> None:
    """An inherited descriptor of /proc/self shows the parent, which the child must not judge."""
    assert threading.active_count() == 1
    probe = ProcessProbe()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        before = probe.own_bytes()
        with touched(64 * MIB):
            os.write(writer, str(probe.own_bytes() - before).encode())
        os._exit(0)
    os.close(writer)
    _pid, status = os.waitpid(child, 0)
    difference = int(os.read(reader, 100))
    os.close(reader)
    probe.close()
    assert os.waitstatus_to_exitcode(status) == 0
    assert difference == pytest.approx(64 * MIB, abs=SLACK)


def test_a_limit_that_is_set_is_what_readings_are_held_against() -> None:
    probe = ProcessProbe()
    told = []
    for limit in (None, 9 * GIB, None):
        probe.limit = limit
        told.append((probe().limit, probe().source))
    assert told == [(None, "process"), (9 * GIB, "configured"), (None, "process")]
    probe.close()


def test_no_child_inherits_the_descriptor_and_close_gives_it_back() -> None:
    """A program started by ours does not get our files."""
    before = statm_descriptors()
    probe = ProcessProbe()
    probe()
    (added,) = set(statm_descriptors()) - set(before)
    assert not os.get_inheritable(added)
    probe.close()
    assert statm_descriptors() == before


def test_another_process_is_read_until_it_ends() -> None:
    """A process that is gone, or only waits to be reaped, is an error and not a small figure."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        probe = process_probe(other.pid)
        assert probe().used > 0
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(ProbeError, match=f"{other.pid}"):
            probe()
    with pytest.raises(ProbeError, match=f"{other.pid}.*ended or moved"):
        probe()
    with pytest.raises(ProbeError, match=f"cannot read /proc/{other.pid}"):
        process_probe(other.pid)
    probe.close()


def test_where_there_is_no_proc_psutil_tells(tmp_path: Path) -> None:
    """On macOS and Windows resident memory is what can be had, under the same interface."""
    probe = process_probe(proc=str(tmp_path))
    assert isinstance(probe, PortableProcessProbe)
    before = probe()
    assert before.used == before.parts["rss"] == pytest.approx(_rss(), abs=SLACK)
    with touched(50 * MIB):
        assert probe.own_bytes() - before.used == pytest.approx(50 * MIB, abs=SLACK)
    assert probe().used == pytest.approx(before.used, abs=SLACK)
    probe.close()


def test_where_there_is_no_proc_an_ended_process_is_an_error(tmp_path: Path) -> None:
    """The exceptions of psutil do not reach whoever reads."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        probe = process_probe(other.pid, proc=str(tmp_path))
        other.kill()
    with pytest.raises(ProbeError, match=f"process {other.pid}"):
        probe()
    with pytest.raises(ProbeError, match=f"process {other.pid}"):
        process_probe(other.pid, proc=str(tmp_path))


def _rss() -> int:
    return psutil.Process().memory_info().rss


def reading_of(at: float, **parts: int) -> Reading:
    return Reading(at=at, used=parts["data"], source="process", parts=parts)


def test_without_resource_limits_the_process_is_not_read_for_them() -> None:
    """Most processes have none; one that is set later is seen within a second."""
    at = 100.0
    with (
        soft_limit(resource.RLIMIT_DATA, resource.RLIM_INFINITY),
        soft_limit(resource.RLIMIT_AS, resource.RLIM_INFINITY),
    ):
        asked: list[float] = []

        def process() -> Reading:
            asked.append(at)
            return reading_of(at, data=GIB, vms=GIB)

        probe = rlimit_probe(process, now=lambda: at)
        assert probe().limit is None
        assert asked == []
        with soft_limit(resource.RLIMIT_AS, 512 * GIB):
            at += 1.0
            assert (probe().source, probe().limit) == ("RLIMIT_AS", 512 * GIB)


def test_a_source_that_does_not_tell_data_has_no_resource_limits(tmp_path: Path) -> None:
    """From psutil come no data, and other systems do not keep these limits as Linux does."""
    with soft_limit(resource.RLIMIT_DATA, 64 * GIB):
        assert rlimit_probe(process_probe(proc=str(tmp_path)))().limit is None


def test_the_resource_limit_nearest_to_its_end_is_told() -> None:
    """Data and address space each have their own use and limit; the tighter pair is judged."""
    with soft_limit(resource.RLIMIT_DATA, 64 * GIB), soft_limit(resource.RLIMIT_AS, 512 * GIB):
        probe = rlimit_probe(lambda: reading_of(0.0, data=32 * GIB, vms=64 * GIB))
        reading = probe()
        assert (reading.source, reading.used, reading.limit) == ("RLIMIT_DATA", 32 * GIB, 64 * GIB)
        probe = rlimit_probe(lambda: reading_of(0.0, data=GIB, vms=256 * GIB))
        assert probe().source == "RLIMIT_AS"


def test_a_changed_resource_limit_is_seen_after_half_a_second() -> None:
    """Limits are read again, but not at each tick; one that is lifted is no limit any more."""
    at = 100.0
    with soft_limit(resource.RLIMIT_DATA, 64 * GIB):
        probe = rlimit_probe(lambda: reading_of(at, data=GIB, vms=GIB), now=lambda: at)
        assert probe().limit == 64 * GIB
        with soft_limit(resource.RLIMIT_DATA, 32 * GIB):
            at += 0.4
            assert probe().limit == 64 * GIB
            at += 0.1
            assert probe().limit == 32 * GIB
        with soft_limit(resource.RLIMIT_DATA, resource.RLIM_INFINITY):
            at += 1.0
            assert probe().limit is None


def test_a_process_that_could_not_be_read_at_first_is_read_later(tmp_path: Path) -> None:
    """No figure is made up before; from then on it is the process's own."""
    proc = tmp_path / "proc"
    late = ProcessProbe(proc=str(proc))
    for read in (late, late.own_bytes):
        with pytest.raises(ProbeError, match="cannot read"):
            read()
    proc.symlink_to("/proc")
    assert late().used == pytest.approx(process_probe()().used, rel=0.1)
    assert late.own_bytes() == pytest.approx(late().used, rel=0.1)
    late.close()
