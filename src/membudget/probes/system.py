"""The whole machine: the last limit there is, where no group or setting gives a smaller one."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from membudget.core import Reading
from membudget.probes.kernel_files import KernelFile, figure, unexpected
from membudget.probes.portable import read_system

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.core import Probe

SOURCE = "system memory"


class SystemProbe:
    """The machine's memory that is in use and could not be freed at once, from Linux's /proc.

    Any thread may call it. Cost: 7 µs.

    Args:
        root: The folder that holds proc.
        now: Monotonic seconds.

    Raises:
        ProbeError: There is no /proc/meminfo.
    """

    __slots__ = ("_meminfo", "_now")

    def __init__(self, root: str = "/", *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._meminfo = KernelFile(_meminfo(root))

    def __call__(self) -> Reading:
        """Read the machine.

        Raises:
            ProbeError: The file cannot be read, or lacks what Linux tells since 3.14.
        """
        text = b"\n" + self._meminfo.read()
        total = figure(text, b"\nMemTotal:", b" kB\n")
        available = figure(text, b"\nMemAvailable:", b" kB\n")
        if total is None or available is None:
            raise unexpected(self._meminfo.path, text, "MemTotal and MemAvailable are due")
        swap_free = figure(text, b"\nSwapFree:", b" kB\n") or 0
        return _reading(self._now(), total * 1024, available * 1024, swap_free * 1024)

    def close(self) -> None:
        """Give the descriptor back."""
        self._meminfo.close()


def system_probe(root: str = "/") -> Probe:
    """A probe of the machine: by /proc where there is one, else by psutil."""
    if os.access(_meminfo(root), os.F_OK):
        return SystemProbe(root)

    def read() -> Reading:
        return _reading(time.monotonic(), *read_system())

    return read


def _meminfo(root: str) -> str:
    return f"{root.rstrip('/')}/proc/meminfo"


def _reading(at: float, total: int, available: int, swap_free: int) -> Reading:
    return Reading(
        at=at,
        used=total - available,
        limit=total,
        source=SOURCE,
        parts={"available": available, "swap_free": swap_free},
    )
