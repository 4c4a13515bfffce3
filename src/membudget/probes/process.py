"""The process itself: what it holds that nobody can take from it, and the limits set on it alone.

The kernel tells three things at three prices (Linux 6.18): statm takes 1 µs and is read each time;
status takes 7 µs, splits shared pages into files and shared memory and tells what was swapped out,
and is read when those have moved; smaps takes 10 ms per resident GB. What is judged is anonymous
plus shared memory: pages of files can be dropped and read again. And the whole machine.
"""

from __future__ import annotations

import contextlib
import os
import time
from os import getpid

from membudget.core import OWN, RISE, Reading
from membudget.errors import ProbeError
from membudget.probes.allocator import load_unwinder
from membudget.probes.kernel_files import KernelFile, figure, read_whole, status_bytes, unexpected
from membudget.units import MIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.core import Probe

PRESSURE = "/proc/pressure/memory"
SOURCE = "system memory"
_OWN_SOURCE, _CONFIGURED = "process", "configured"
LOOK_EVERY = 5.0  # Seconds between two looks at the high-water mark: each takes 20 µs.
_STATM_FIELDS = 7
_LIMITS_KEPT = 0.5  # Seconds that resource limits are believed; asking for one takes 0.5 µs.
_SWAP_KEPT, _SWAP_AWAITED = 1.0, 60.0  # Seconds that swap, and its absence, are believed.
_UNLIMITED = Reading(at=0.0, used=0)


class ProcessProbe:
    """What one process holds, from Linux's /proc: anonymous and shared memory, without files.

    Any thread may call it. Cost: 3 µs, and 12 µs more when its shared pages moved by over 1 MiB, or
    any where some of it is swapped out. This process is opened at the first reading that can, for
    descriptors may be short at a start; a forked child opens its own. Raises a `ProbeError` where
    there is no such process; when called, where it has ended or cannot be read.
    """

    __slots__ = (
        "_due", "_folder", "_now", "_opened_by", "_page", "_pid", "_proc", "_seen", "_shmem",
        "_stack", "_statm", "_swap", "limit",
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
        self.limit: int | None = None  # What somebody has set, which readings are held against.
        self._due = float("-inf")
        self._opened_by = 0
        if pid is not None:
            self._reopen()

    def __call__(self) -> Reading:
        """Read the process."""
        at, page = self._now(), self._page
        try:
            pages = self._statm.numbers(_STATM_FIELDS) if self._opened_by == getpid() else ()
        except ProbeError:
            # The program may have closed what it did not open: once more, from the path.
            pages = ()
        if not pages:
            self._reopen()
            pages = self._statm.numbers(_STATM_FIELDS)
        size, resident, shared, _text, _lib, data, _dirty = pages
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
            "file": shared - shmem if shared > shmem else 0,
            # The kernel holds VmData against RLIMIT_DATA; statm adds the stack to it.
            "data": max(0, data * page - self._stack),
            "vms": size * page,
        }
        if swap:
            parts["swap"] = swap
        limit = self.limit
        source = _OWN_SOURCE if limit is None else _CONFIGURED
        return Reading(at=at, used=used, limit=limit, source=source, parts=parts)

    def own_bytes(self) -> int:
        """The figure judged for the Meter, in 2 µs: what is shared and swapped as last read."""
        if self._opened_by != getpid():
            self._reopen()
        pages = self._statm.numbers(_STATM_FIELDS)
        return (pages[1] - pages[2]) * self._page + self._shmem + self._swap

    def close(self) -> None:
        """Give the descriptor back."""
        if self._opened_by:
            self._statm.close()

    def _reopen(self) -> None:
        self.close()
        self._statm = KernelFile(f"{self._folder}/statm")
        self._read_status(0, 0)
        self._opened_by = getpid()

    def _read_status(self, resident: int, shared: int) -> None:
        text = read_whole(f"{self._folder}/status")
        # Linux before 4.5 does not tell RssShmem; a process that is ending tells neither.
        self._shmem = figure(text, b"RssShmem:") or 0
        self._stack = figure(text, b"VmStk:") or 0
        self._swap = figure(text, b"VmSwap:") or 0
        self._seen = resident, shared


class PortableProcessProbe:
    """What one process holds, from psutil: its resident memory, since no more is told everywhere.

    Any thread may call it. Cost: 20 to 60 µs. Raises `ProbeError` as `ProcessProbe` does.
    """

    def __init__(self, pid: int | None = None) -> None:
        self._pid = pid
        self.limit: int | None = None
        if pid is not None:
            self()

    def __call__(self) -> Reading:
        """Read the process."""
        import psutil

        try:
            info = psutil.Process(self._pid).memory_info()
        except psutil.Error as error:
            who = "this process" if self._pid is None else f"process {self._pid}"
            raise ProbeError(
                f"cannot read the memory of {who} ({error}): check that it runs and is yours"
            ) from error
        parts = {OWN: info.rss, "rss": info.rss, "vms": info.vms}
        limit, now = self.limit, time.monotonic()
        source = _OWN_SOURCE if limit is None else _CONFIGURED
        return Reading(at=now, used=info.rss, limit=limit, source=source, parts=parts)

    def own_bytes(self) -> int:
        """The figure judged, for the Meter."""
        return self().used

    def close(self) -> None:
        """Do nothing: psutil keeps nothing open."""


def process_probe(
    pid: int | None = None, proc: str = "/proc"
) -> ProcessProbe | PortableProcessProbe:
    """A probe of one process, or this one: by /proc where there is one, else by psutil."""
    if os.access(f"{proc}/self/statm", os.F_OK):
        return ProcessProbe(pid, proc)
    return PortableProcessProbe(pid)


def shared_bytes() -> int | None:
    """Memory of this process, other than files, that others have as well; None if untold.

    Cost: 2.5 ms, and 10 ms more for each resident GB.
    """
    return figure(read_whole("/proc/self/smaps_rollup", takes_long=True), b"Shared_Dirty:")


def rlimit_probe(
    process: Probe,
    original: Callable[[int], int | None] = lambda soft: soft,
    *,
    now: Callable[[], float] = time.monotonic,
) -> Probe:
    """A probe of this process against its own resource limits: what is over them is refused.

    RLIMIT_DATA ends its writable private memory without the stack, RLIMIT_AS its address space.
    The soft limits are read again twice a second; while there are none, nothing is told.
    `original` takes a soft RLIMIT_DATA and returns the one to judge by: not one of the brake's.
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
            reading.replace(used=reading.parts[part], limit=limit, source=name)
            for part, name, limit in limits
        ]
        return max(readings, key=lambda held: held.fraction)

    return read


def _soft_limits(original: Callable[[int], int | None]) -> list[tuple[str, str, int]]:
    """The part that each limit holds, the limit's name and its bytes."""
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


class HighWater:
    """What this process held at most, between two readings as well: the kernel's high-water mark.

    A forked child's VmHWM begins at what it inherited (dup_mm in kernel/fork.c); only its rise
    since the first look is ours to tell. Pages of files are in it: the most that any reading saw
    since the last look is taken off, so that the figure may be too low by what was dropped
    meanwhile.

    One thread at a time may call it; a forked child must call `begin`.
    """

    def __init__(self, proc: str = "/proc") -> None:
        self._path = f"{proc}/self/status"
        self.begin()

    def begin(self) -> None:
        """Leave aside what was before: at first, and in a forked child."""
        self._seen = self._resident()
        self._file = self._file_last = self._taken_in = 0
        self.burst: int | None = None  # What the last look found that nobody has taken note of.
        self._looked_at = float("-inf")

    def follow(self, reading: Reading, taken_in: int = 0) -> tuple[int, int]:
        """The highest judged use and resident set up to this reading, in bytes. Cost: 0.5 µs.

        It is looked at every five seconds, and where holders have taken in much: by what they hold
        it is told what else there was at the peak.
        """
        used, parts = reading.used, reading.parts
        resident = parts.get("rss", used)
        self._file_last = parts.get("file", 0)
        self._file = max(self._file, self._file_last)
        is_early = taken_in - self._taken_in >= RISE
        if reading.at - self._looked_at < LOOK_EVERY and not is_early:
            return used, resident
        self._looked_at, self._taken_in = reading.at, taken_in
        burst = self.look()
        return max(used, burst[0]), max(resident, burst[1])

    def look(self) -> tuple[int, int]:
        """The same since the last look, as far as it was higher than ever; else zeros."""
        before, self._seen = self._seen, self._resident()
        file, self._file = self._file, self._file_last
        self.burst = max(0, self._seen - file) if self._seen > before else 0
        return self.burst, self._seen if self._seen > before else 0

    def _resident(self) -> int:
        try:
            return status_bytes(b"VmHWM", self._path)
        except (ProbeError, ValueError):  # Not told here: the readings tell what they saw.
            return 0


def system_probe(root: str = "/") -> Probe:
    """A probe of the machine's memory that is in use and could not be freed at once.

    By Linux's /proc in 15 µs, else by psutil. Raises `ProbeError` where the machine does not tell.
    """
    path = f"{root.rstrip('/')}/proc/meminfo"

    def read() -> Reading:
        text = read_whole(path) or b""
        total, available = figure(text, b"MemTotal:"), figure(text, b"MemAvailable:")
        if total is None or available is None:
            raise unexpected(path, text, "MemTotal and MemAvailable are due")
        return _of_system(total, available, figure(text, b"SwapFree:") or 0)

    return read if os.access(path, os.F_OK) else _read_by_psutil


def _read_by_psutil() -> Reading:
    import psutil  # 15 ms that only other systems pay

    try:
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    except (OSError, psutil.Error) as error:
        raise ProbeError(
            f"this system does not tell its memory ({error}): set a limit of your own"
        ) from error
    return _of_system(memory.total, memory.available, swap.free)


def _of_system(total: int, available: int, swap_free: int) -> Reading:
    parts = {"available": available, "swap_free": swap_free}
    now = time.monotonic()
    return Reading(at=now, used=total - available, limit=total, source=SOURCE, parts=parts)


def share_of_machine(total: int, available: int, held: int = 0) -> int:
    """Bytes for all holders where only the machine limits: others live on it, who cannot shrink.

    A quarter of it, and half of what were available without those `held`.
    """
    return min(total // 4, (available + held) // 2)


def stalled_share(path: str = PRESSURE) -> float | None:
    """The share of the last minute in which tasks waited for memory; None where it is not told.

    For people alone: without swap it stays at nought until moments before the kill.
    """
    # A kernel with PSI switched off shows the file and refuses to read it.
    with contextlib.suppress(ProbeError, ValueError):
        for word in (read_whole(path) or b"").split():
            if word.startswith(b"avg60="):  # The first is of the line "some".
                return float(word[6:]) / 100
    return None
