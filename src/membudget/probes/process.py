"""The process itself: what it holds that nobody can take from it, and the limits set on it alone.

The kernel tells three things at three prices (Linux 6.18): statm takes 1 µs and has resident,
shared and data pages; status takes 7 µs and splits shared into files and shared memory; smaps
takes 10 ms per resident GB and is never read here. So statm is read each time, and status only
when the shared pages have moved, and once a second where the machine has swap: statm does not tell
what was moved out.

What is judged is anonymous plus shared memory, resident or swapped out: pages of files can be
dropped and read again.
"""

from __future__ import annotations

import contextlib
import os
import time
from os import getpid

from membudget.core import OWN, Reading
from membudget.errors import ProbeError
from membudget.probes.allocator import load_unwinder
from membudget.probes.kernel_files import KernelFile, figure, read_whole, status_bytes
from membudget.units import MIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import psutil

    from membudget.core import Probe


_STATM_FIELDS = 7
_LIMITS_KEPT = 0.5
"""Seconds that resource limits are believed; asking for one takes 0.5 µs."""

_SWAP_KEPT, _SWAP_AWAITED = 1.0, 60.0
"""Seconds that swapped memory is believed, and that a machine is believed to have no swap."""
_UNLIMITED = Reading(at=0.0, used=0)


class ProcessProbe:
    """What one process holds, from Linux's /proc: anonymous and shared memory, without files.

    Any thread may call it. Cost: 3 µs, and 12 µs more when its shared pages moved by over 1 MiB, or
    any where some of it is swapped out. A descriptor of /proc/self still shows the parent after a
    fork, so a child opens its own at the first reading.

    Args:
        pid: The process, or None for this one.
        proc: Where /proc is.
        now: Monotonic seconds.

    Raises:
        ProbeError: There is no such process; when called, it has ended or cannot be read.
    """

    __slots__ = (
        "_due", "_folder", "_now", "_opened_by", "_page", "_pid", "_proc", "_seen", "_shmem",
        "_stack", "_statm", "_swap",
    )  # fmt: skip

    def __init__(
        self,
        pid: int | None = None,
        proc: str = "/proc",
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pid, self._proc, self._now = pid, proc, now
        self._folder = f"{proc}/{'self' if pid is None else pid}"
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._due = float("-inf")
        self._open()

    def __call__(self) -> Reading:
        """Read the process."""
        at, page = self._now(), self._page
        size, resident, shared, _text, _lib, data, _dirty = self._pages()
        if not size:
            raise ProbeError(f"process {self._pid} has ended: it holds no memory; stop reading it")
        resident *= page
        shared *= page
        resident_then, shared_then = self._seen
        if at >= self._due:
            can_be_swapped = figure(read_whole(f"{self._proc}/meminfo"), b"SwapTotal:")
            self._due = at + (_SWAP_KEPT if can_be_swapped else _SWAP_AWAITED)
            self._read_status(resident, shared)
        elif abs(shared - shared_then) > MIB or (
            self._swap and abs(resident - resident_then) > MIB
        ):
            self._read_status(resident, shared)
        anon, shmem, swap = resident - shared, self._shmem, self._swap
        used = anon + shmem + swap
        parts = {
            OWN: used,
            "rss": resident,
            "anon": anon,
            "shmem": shmem,
            "file": max(0, shared - shmem),
            # The kernel holds VmData against RLIMIT_DATA; statm adds the stack to it.
            "data": max(0, data * page - self._stack),
            "vms": size * page,
        }
        if swap:
            parts["swap"] = swap
        return Reading(at=at, used=used, source="process", parts=parts)

    def own_bytes(self) -> int:
        """The figure judged, as fast as it can be had, for the Meter. Cost: under 2 µs.

        Shared and swapped memory count as they stood when last read.

        Raises:
            ProbeError: The process has ended.
        """
        if self._opened_by != getpid():
            self.reopen()
        pages = self._statm.numbers(_STATM_FIELDS)
        return (pages[1] - pages[2]) * self._page + self._shmem + self._swap

    def reopen(self) -> None:
        """Open the files anew."""
        self._statm.close()
        self._open()

    def _open(self) -> None:
        self._opened_by = getpid()
        self._statm = KernelFile(f"{self._folder}/statm")
        self._read_status(0, 0)

    def close(self) -> None:
        """Give the descriptor back."""
        self._statm.close()

    def _pages(self) -> Sequence[int]:
        if self._opened_by == getpid():
            with contextlib.suppress(ProbeError):
                return self._statm.numbers(_STATM_FIELDS)
        # The program may have closed what it did not open: once more, from the path.
        self.reopen()
        return self._statm.numbers(_STATM_FIELDS)

    def _read_status(self, resident: int, shared: int) -> None:
        text = read_whole(f"{self._folder}/status")
        # Linux before 4.5 does not tell RssShmem; a process that is ending tells neither.
        self._shmem = figure(text, b"RssShmem:") or 0
        self._stack = figure(text, b"VmStk:") or 0
        self._swap = figure(text, b"VmSwap:") or 0
        self._seen = resident, shared


class PortableProcessProbe:
    """What one process holds, from psutil: its resident memory, since no more is told everywhere.

    For macOS, Windows and others; psutil takes 15 ms to import. Any thread may call it. Cost: 10 to
    50 µs.

    Args:
        pid: The process, or None for this one.

    Raises:
        ProbeError: There is no such process; when called, it has ended or may not be looked at.
    """

    __slots__ = ("_pid", "_process")

    def __init__(self, pid: int | None = None) -> None:
        self._pid = pid
        self.reopen()

    def __call__(self) -> Reading:
        """Read the process."""
        with self._told_as_ours():
            info = self._process.memory_info()
        rss, vms = info.rss, info.vms
        return Reading(
            at=time.monotonic(),
            used=rss,
            source="process",
            parts={OWN: rss, "rss": rss, "vms": vms},
        )

    def own_bytes(self) -> int:
        """The figure judged, for the Meter."""
        return self().used

    def reopen(self) -> None:
        """Look for the process anew, as a child must after a fork."""
        import psutil

        with self._told_as_ours():
            self._process: psutil.Process = psutil.Process(self._pid)

    def close(self) -> None:
        """Do nothing: psutil keeps nothing open."""

    @contextlib.contextmanager
    def _told_as_ours(self) -> Iterator[None]:
        import psutil

        try:
            yield
        except psutil.Error as error:
            who = "this process" if self._pid is None else f"process {self._pid}"
            raise ProbeError(
                f"cannot read the memory of {who} ({error}): has it ended, is it yours?"
            ) from error


class LateProcessProbe:
    """This process, where it cannot be read yet: sought again at each reading.

    Descriptors may be short for a moment; where there is no /proc, nothing ever comes of it.
    """

    def __init__(self) -> None:
        self._found: ProcessProbe | PortableProcessProbe | None = None

    def __call__(self) -> Reading:
        """Read the process; raises `ProbeError` where it still cannot be."""
        if self._found is None:
            self._found = process_probe()
        return self._found()

    def own_bytes(self) -> int:
        """The figure judged; raises `ProbeError` until a reading has found the process."""
        if self._found is None:
            raise ProbeError("this process cannot be read: no reading of it was possible so far")
        return self._found.own_bytes()

    def reopen(self) -> None:
        """Seek it anew, as a child must after a fork."""
        self.close()

    def close(self) -> None:
        """Give the descriptor back, if there is one."""
        found, self._found = self._found, None
        if found is not None:
            found.close()


def shared_bytes() -> int | None:
    """Memory of this process, other than files, that others have as well; None if untold.

    Cost: 2.5 ms, and 10 ms more for each resident GB.
    """
    return figure(read_whole("/proc/self/smaps_rollup", takes_long=True), b"Shared_Dirty:")


def process_probe(
    pid: int | None = None, proc: str = "/proc"
) -> ProcessProbe | PortableProcessProbe:
    """A probe of one process, or this one: by /proc where there is one, else by psutil.

    Raises:
        ProbeError: There is no such process.
    """
    if os.access(f"{proc}/self/statm", os.F_OK):
        return ProcessProbe(pid, proc)
    return PortableProcessProbe(pid)


def rlimit_probe(
    process: Probe,
    original: Callable[[int], int | None] = lambda soft: soft,
    *,
    now: Callable[[], float] = time.monotonic,
) -> Probe:
    """A probe of this process against its own resource limits.

    RLIMIT_DATA ends its writable private memory without the stack, RLIMIT_AS its address space.
    What is over the limit is refused, not killed: `MemoryError`, "can't start new thread". The
    soft limits are read again twice a second, since they may be set at any time; while there are
    none the process is not read, and nothing is told.

    Args:
        process: A probe of this process; one that does not tell `data` (psutil's) has no limits
            that a kernel keeps as Linux does.
        original: Takes a soft RLIMIT_DATA and returns the one to judge by: not one of the brake's.
        now: Monotonic seconds.
    """
    limits: list[tuple[str, str, int]] = []
    due = float("-inf")

    def read() -> Reading:
        nonlocal limits, due
        at = now()
        if at >= due:
            limits, due = _soft_limits(original), at + _LIMITS_KEPT
            if limits:
                load_unwinder()
        if not limits:
            return _UNLIMITED
        reading = process()
        if "data" not in reading.parts:
            return reading
        readings = [
            Reading(
                at=reading.at,
                used=reading.parts[part],
                limit=limit,
                source=name,
                parts=reading.parts,
            )
            for part, name, limit in limits
        ]
        return max(readings, key=lambda held: held.fraction)

    return read


def _soft_limits(original: Callable[[int], int | None]) -> list[tuple[str, str, int]]:
    """The part that each limit holds, the limit's name and its bytes; unlimited ones left out."""
    try:
        import resource
    except ImportError:  # Windows.
        return []
    limits = []
    for part, name in (("data", "RLIMIT_DATA"), ("vms", "RLIMIT_AS")):
        found, _hard = resource.getrlimit(getattr(resource, name))
        if found == resource.RLIM_INFINITY:
            continue
        soft = original(found) if part == "data" else found
        if soft is not None:
            limits.append((part, name, max(1, soft)))
    return limits


LOOK_EVERY = 5.0
"""Seconds between two looks: each takes 20 µs."""


class HighWater:
    """What this process held at most, between two readings as well: the kernel's high-water mark.

    A burst that comes and goes within a second is seen by no tick, and one that ends in a
    MemoryError even less. Linux keeps VmHWM, the highest resident set of an address space: an exec
    begins it anew, a forked child's begins at what it inherited (dup_mm in kernel/fork.c). Only its
    rise since the first look is ours to tell.

    Pages of files are in it and not in the figure that is judged. How many there were at the height
    is not kept; the most that any reading saw since the last look is taken off, so that the figure
    may be too low by what was dropped meanwhile, and too high only where a file was mapped, read
    and unmapped within one tick.

    One thread at a time may call it; a forked child must call `begin`.

    Args:
        proc: Where /proc is.
    """

    def __init__(self, proc: str = "/proc") -> None:
        self._path = f"{proc}/self/status"
        self.begin()

    def begin(self) -> None:
        """Leave aside what was before: at first, and in a forked child."""
        self._seen = self._resident()
        self._file = self._file_last = 0
        self._looked_at = float("-inf")

    def follow(self, reading: Reading) -> tuple[int, int]:
        """The highest judged use and resident set up to this reading, in bytes. Cost: 0.5 µs."""
        used, parts = reading.used, reading.parts
        resident = parts.get("rss", used)
        self._file_last = file = parts.get("file", 0)
        self._file = max(self._file, file)
        if reading.at - self._looked_at < LOOK_EVERY:
            return used, resident
        self._looked_at = reading.at
        burst = self.look()
        return max(used, burst[0]), max(resident, burst[1])

    def look(self) -> tuple[int, int]:
        """The same since the last look, as far as it was higher than ever; else zeros."""
        before, self._seen = self._seen, self._resident()
        file, self._file = self._file, self._file_last
        if self._seen <= before:
            return 0, 0
        return max(0, self._seen - file), self._seen

    def _resident(self) -> int:
        try:
            return status_bytes(b"VmHWM", self._path)
        except (ProbeError, ValueError):  # Not told here: the readings tell what they saw.
            return 0
