"""The whole machine: the last limit there is, where no group or setting gives a smaller one.

And how long tasks stood still for lack of memory: the kernel's pressure stall information (PSI). A
source for reports only: without swap it stays at nought until moments before the kill, and reading
files alone can raise it, so nothing is judged by it.
"""

from __future__ import annotations

import os
import time

from membudget.core import Reading, Record
from membudget.errors import ProbeError
from membudget.probes.kernel_files import KernelFile, figure, read_whole, unexpected

TYPE_CHECKING = False
if TYPE_CHECKING:
    from membudget.core import Probe


SOURCE = "system memory"


class SystemProbe:
    """The machine's memory that is in use and could not be freed at once, from Linux's /proc.

    Any thread may call it. The file is opened at the first reading that can: descriptors may be
    short at a start. Cost: 7 µs.

    Args:
        root: The folder that holds proc.
    """

    __slots__ = ("_file", "_path")

    def __init__(self, root: str = "/") -> None:
        self._path = _meminfo(root)
        self._file: KernelFile | None = None

    def __call__(self) -> Reading:
        """Read the machine.

        Raises:
            ProbeError: The file cannot be read, or lacks what Linux tells since 3.14.
        """
        if self._file is None:
            self._file = KernelFile(self._path)
        text = self._file.read()
        total, available = figure(text, b"MemTotal:"), figure(text, b"MemAvailable:")
        if total is None or available is None:
            raise unexpected(self._path, text, "MemTotal and MemAvailable are due")
        return _reading(total, available, figure(text, b"SwapFree:") or 0)

    def close(self) -> None:
        """Give the descriptor back; a later reading opens the file anew."""
        if self._file is not None:
            self._file.close()
            self._file = None


def system_probe(root: str = "/") -> Probe:
    """A probe of the machine: by /proc where there is one, else by psutil."""
    return SystemProbe(root) if os.access(_meminfo(root), os.F_OK) else _read_by_psutil


def _read_by_psutil() -> Reading:
    import psutil  # 15 ms that only other systems pay

    try:
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    except (OSError, psutil.Error) as error:
        raise ProbeError(
            f"this system does not tell its memory ({error}): set a limit of your own"
        ) from error
    return _reading(memory.total, memory.available, swap.free)


def _meminfo(root: str) -> str:
    return f"{root.rstrip('/')}/proc/meminfo"


def _reading(total: int, available: int, swap_free: int) -> Reading:
    return Reading(
        at=time.monotonic(),
        used=total - available,
        limit=total,
        source=SOURCE,
        parts={"available": available, "swap_free": swap_free},
    )


PATH = "/proc/pressure/memory"


class Stall(Record):
    """Shares of time, 0 to 1, in which tasks waited for memory.

    Attributes:
        some10: Share of the last 10 s in which at least one task waited.
        some60: The same for the last 60 s.
        full10: Share of the last 10 s in which all tasks waited at once.
        full60: The same for the last 60 s.
        total_us: Microseconds, since the start, in which at least one task waited.
    """

    some10: float
    some60: float
    full10: float
    full60: float
    total_us: int


def read_stall(path: str = PATH) -> Stall | None:
    """The stalls of the machine, or of a cgroup whose memory.pressure is given. Cost: 15 µs.

    Returns:
        The record, or None where the kernel does not tell: PSI is missing or switched off.
    """
    try:
        text = read_whole(path) or b""
    except ProbeError:
        # A kernel with PSI switched off shows the file and refuses to read it.
        return None
    lines = {fields[0]: fields[1:] for line in text.splitlines() if (fields := line.split())}
    if b"some" not in lines or b"full" not in lines:
        return None
    some, full = (dict(pair.split(b"=") for pair in lines[kind]) for kind in (b"some", b"full"))
    return Stall(
        some10=float(some[b"avg10"]) / 100,
        some60=float(some[b"avg60"]) / 100,
        full10=float(full[b"avg10"]) / 100,
        full60=float(full[b"avg60"]) / 100,
        total_us=int(some[b"total"]),
    )
