"""A window of tracemalloc: the lines whose memory stayed, asked for and never by itself.

While it is open the process is 4 to 7 times slower and keeps 64 bytes a live block. What it needs
is bytes: some 80 KB leaked within it, hence its length. One frame only: ten cost three times that.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from membudget.core import Record
from membudget.heap.locals import HERE

if TYPE_CHECKING:
    from collections.abc import Callable

SHORTEST = 15.0
LONGEST = 60.0
_NEEDED = 300.0
"""Seconds of window for a leak of 1 MB an hour: 83 KB."""

_SETTLING = 0.25
"""The share of the window before the first snapshot: what a request needs is in it by then."""

MEMRAY = "memray is installed: `memray run --native` tells the C code's lines as well"


class Line(Record):
    """A line of code and what it allocated within the window that is still there.

    Attributes:
        file: Its path.
        line: Its number.
        bytes: What it allocated between the two snapshots and did not free.
        blocks: In so many pieces.
        per_hour: The same in bytes an hour.
    """

    file: str
    line: int
    bytes: int
    blocks: int
    per_hour: float


def window_seconds(bytes_per_hour: float) -> float:
    """How long a window should be for a leak of this rate: 15 to 60 seconds."""
    rate = max(bytes_per_hour, 1.0) / 1e6
    return min(LONGEST, max(SHORTEST, _NEEDED / rate))


class Window:
    """One window. One thread at a time: `begin`, then `step` until it gives lines, or `end`.

    Tracing that somebody else began is used and not stopped.

    Args:
        seconds: How long it is open.
        now: Monotonic seconds.
    """

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._now = now
        self._began = self._first_at = 0.0
        self._is_open = self._is_ours = False
        self._first: Any = None

    def begin(self) -> None:
        """Open it; nothing happens where it is open. Cost: an import at first, 3 ms."""
        import tracemalloc

        if self._is_open:
            return
        if not tracemalloc.is_tracing():
            tracemalloc.start(1)
            self._is_ours = True
        self._is_open = True
        self._began = self._now()

    def step(self) -> tuple[Line, ...] | None:
        """Take the first snapshot when it is due; the lines, once the window is over.

        Cost: 0.3 s a million traced blocks for a snapshot; other threads wait for a part of it.
        """
        if not self._is_open:
            return None
        passed = self._now() - self._began
        if passed >= self._seconds:
            return self.end()
        if self._first is None and passed >= self._seconds * _SETTLING:
            self.settle()
        return None

    def settle(self) -> None:
        """Take the first snapshot now."""
        import tracemalloc

        if tracemalloc.is_tracing():
            self._first = tracemalloc.take_snapshot()
            self._first_at = self._now()

    def end(self, most: int = 10) -> tuple[Line, ...]:
        """Close it; the lines that kept the most, the largest first. Closed already: none.

        Cost: 1.8 s a million traced blocks, most of it with the GIL given away now and then.
        """
        import tracemalloc

        if not self._is_open:
            return ()
        self._is_open = False
        try:
            if not tracemalloc.is_tracing():  # Somebody else stopped it.
                return ()
            if self._first is None:
                self._first, self._first_at = tracemalloc.Snapshot((), 1), self._began
            last = tracemalloc.take_snapshot()
            return self._lines(last, most)
        finally:
            self._first = None
            if self._is_ours:
                self._is_ours = False
                tracemalloc.stop()

    def _lines(self, last: Any, most: int) -> tuple[Line, ...]:
        hours = max(1e-3, self._now() - self._first_at) / 3600
        found = []
        for one in last.compare_to(self._first, "lineno"):
            frame = one.traceback[0]
            if one.size_diff > 0 and not _is_passed(frame.filename):
                found.append(
                    Line(
                        file=frame.filename,
                        line=frame.lineno,
                        bytes=one.size_diff,
                        blocks=one.count_diff,
                        per_hour=one.size_diff / hours,
                    )
                )
        found.sort(key=lambda one: -one.bytes)
        return tuple(found[:most])


def memray_advice() -> str:
    """What to say of memray where it is installed, else an empty text; imports nothing."""
    from importlib.util import find_spec

    return MEMRAY if find_spec("memray") is not None else ""


def _is_passed(file: str) -> bool:
    return file.startswith(HERE) or file.endswith(("tracemalloc.py", "linecache.py"))
