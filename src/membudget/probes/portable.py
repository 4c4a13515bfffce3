"""Processes and machines where there is no /proc: macOS, Windows and others, through psutil.

psutil costs 15 ms to import and is loaded only when one of these is made.
"""

from __future__ import annotations

import time

from membudget.core import OWN, Reading
from membudget.errors import ProbeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    import psutil


class PortableProcessProbe:
    """What one process holds, from psutil: its resident memory, since no more is told everywhere.

    Any thread may call it. Cost: 10 to 50 µs.

    Args:
        pid: The process, or None for this one.
        now: Monotonic seconds.

    Raises:
        ProbeError: There is no such process.
    """

    __slots__ = ("_now", "_process", "pid")

    def __init__(
        self, pid: int | None = None, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.pid = pid
        self._now = now
        self._process = _process(pid)

    def __call__(self) -> Reading:
        """Read the process.

        Raises:
            ProbeError: It has ended, or may not be looked at.
        """
        rss, vms = self._figures()
        return Reading(
            at=self._now(), used=rss, source="process", parts={OWN: rss, "rss": rss, "vms": vms}
        )

    def own_bytes(self) -> int:
        """The figure judged, for the Meter."""
        return self._figures()[0]

    def reopen(self) -> None:
        """Look for the process anew, as a child must after a fork."""
        self._process = _process(self.pid)

    def close(self) -> None:
        """Do nothing: psutil keeps nothing open."""

    def _figures(self) -> tuple[int, int]:
        import psutil

        try:
            info = self._process.memory_info()
        except psutil.Error as error:
            raise _unknown(self.pid, error) from error
        return info.rss, info.vms


def read_system() -> tuple[int, int, int]:
    """Bytes of memory that this machine has, has available, and has of free swap.

    Raises:
        ProbeError: The system does not tell.
    """
    import psutil

    try:
        memory = psutil.virtual_memory()
        return memory.total, memory.available, psutil.swap_memory().free
    except (OSError, psutil.Error) as error:
        raise ProbeError(
            f"this system does not tell its memory ({error}): set a limit of your own"
        ) from error


def _process(pid: int | None) -> psutil.Process:
    import psutil

    try:
        return psutil.Process(pid)
    except psutil.Error as error:
        raise _unknown(pid, error) from error


def _unknown(pid: int | None, error: Exception) -> ProbeError:
    who = "this process" if pid is None else f"process {pid}"
    return ProbeError(f"cannot read the memory of {who} ({error}): has it ended, is it yours?")
