"""What the process held at most, between two readings as well: the kernel's own high-water mark.

A burst that comes and goes within a second is seen by no tick, and one that ends in a MemoryError
even less. Linux keeps VmHWM, the highest resident set of an address space: an exec begins it anew,
a forked child's begins at what it inherited (dup_mm in kernel/fork.c). Only its rise since the
first look is ours to tell.

Pages of files are in it and not in the figure that is judged. How many there were at the height
is not kept; the most that any reading saw since the last look is taken off, so that the figure may
be too low by what was dropped meanwhile, and too high only where a file was mapped, read and
unmapped within one tick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.errors import ProbeError
from membudget.probes.kernel_files import status_bytes

if TYPE_CHECKING:
    from membudget.core import Reading

LOOK_EVERY = 5.0
"""Seconds between two looks: each takes 20 µs."""


class HighWater:
    """The highest use of this process, from /proc; a forked child must call `begin`.

    One thread at a time may call it.

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
        """The highest judged use and resident set up to this reading, in bytes. Cost: 1 µs."""
        used, resident = reading.used, reading.parts.get("rss", reading.used)
        self._file_last = reading.parts.get("file", 0)
        self._file = max(self._file, self._file_last)
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
