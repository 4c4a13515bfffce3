"""A window of tracemalloc: the lines whose memory stayed, asked for and never by itself.

While it is open the process is 4 to 7 times slower and keeps 64 bytes a live block. What it needs
is bytes: some 80 KB leaked within it, hence its length. One frame only: ten cost three times that.
"""

from __future__ import annotations

import time
from math import sqrt
from typing import TYPE_CHECKING, Any

from membudget.core import Record, traced
from membudget.heap.locals import HERE

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import TypeAlias

    Sums: TypeAlias = dict[tuple[str, int], tuple[int, int]]
    """Bytes and blocks by file and line."""

SHORTEST = 15.0
LONGEST = 60.0
_NEEDED = 300.0
"""Seconds of window for a leak of 1 MB an hour: 83 KB."""

SETTLING = 0.25
"""The share of the window before the first sums: what a request needs is in it by then."""

LATE = 0.9
"""The share after which the sums before the last are taken: what is in flight is not in both."""

_LEAST_CERTAIN = 0.1
"""What the bytes of a few blocks count for at least: one may be large."""

_MOST = 32_000_000
"""Bytes of traces after which the window is over; a list of them takes twice that for a moment."""

_AT_A_TIME = 500
"""Traces added up in a stretch: 1 ms."""

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

    Tracing that somebody else began is used and not stopped. Where the traces take 32 MB the window
    is over before its time: half a million live blocks came within it.

    Args:
        seconds: How long it is open.
        now: Monotonic seconds.
    """

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._now = now
        self._began = self._first_at = 0.0
        self._is_open = False
        self._begun: object | None = None
        self._first: Sums | None = None
        self._late: Sums | None = None
        self._last: Sums | None = None
        self._steps: Generator[None, None, None] | None = None

    def begin(self) -> None:
        """Open it; nothing happens where it is open. Cost: an import at first, 3 ms."""
        if self._is_open:
            return
        self._begun = traced.begin()
        self._is_open = True
        self._began = self._now()
        self._first = self._late = self._last = self._steps = None

    def due(self) -> bool:
        """Whether there is something to do now. Cost: 1 µs."""
        if not self._is_open:
            return False
        passed = self._now() - self._began
        if self._steps is not None or passed >= self._seconds or _is_full():
            return True
        if self._first is None:
            return passed >= self._seconds * SETTLING
        return self._late is None and passed >= self._seconds * LATE

    def step(self, until: float = float("inf")) -> tuple[Line, ...] | None:
        """Take the sums that are due; the lines, once the window is over.

        Cost: 0.6 s a million traced blocks for a list of them, in which other threads wait; 2 s to
        add them up, until the time that is given.
        """
        if not self.due():
            return None
        if self._steps is None:
            is_over = _is_full() or self._now() - self._began >= self._seconds
            first, later = self._settling, self._noting
            self._steps = self._ending() if is_over else first() if self._first is None else later()
        for _ in self._steps:
            if self._now() >= until:
                return None
        self._steps = None
        return None if self._last is None else self.end()

    def settle(self) -> None:
        """Take the first sums now."""
        for _ in self._settling():
            pass

    def note(self) -> None:
        """Take the sums before the last ones now: what is not in both was only passing."""
        for _ in self._noting():
            pass

    def end(self, most: int = 10) -> tuple[Line, ...]:
        """Close it; the lines that kept the most, the likeliest first. Closed already: none."""
        if not self._is_open:
            return ()
        try:
            if self._last is None:
                for _ in self._ending():
                    pass
            return self._lines(self._last or {}, most)
        finally:
            self.drop()

    def drop(self) -> None:
        """Close it and tell nothing; in a forked child, too, which is traced as its parent was."""
        self._is_open = False
        self._first = self._late = self._last = self._steps = None
        self._trace_no_more()

    def _trace_no_more(self) -> None:
        begun, self._begun = self._begun, None
        traced.end(begun)

    def _settling(self) -> Generator[None, None, None]:
        sums: Sums = {}
        yield from _summed(sums)
        self._first, self._first_at = sums, self._now()

    def _noting(self) -> Generator[None, None, None]:
        sums: Sums = {}
        yield from _summed(sums)
        self._late = sums

    def _ending(self) -> Generator[None, None, None]:
        if self._first is None:
            self._first, self._first_at = {}, self._began
        sums: Sums = {}
        yield from _summed(sums)
        self._trace_no_more()  # What follows need not be traced.
        self._last = sums

    def _lines(self, last: Sums, most: int) -> tuple[Line, ...]:
        hours = max(1e-3, self._now() - self._first_at) / 3600
        found = []
        for place, now in last.items():
            # What is not in both sums is a request under way, more likely than not.
            size, blocks = now if self._late is None else min(now, self._late.get(place, (0, 0)))
            before = (self._first or {}).get(place, (0, 0))
            if size > before[0] and not _is_passed(place[0]):
                found.append(
                    Line(
                        file=place[0],
                        line=place[1],
                        bytes=size - before[0],
                        blocks=blocks - before[1],
                        per_hour=(size - before[0]) / hours,
                    )
                )
        found.sort(key=lambda one: -one.bytes * _certainty(one.blocks))
        return tuple(found[:most])


def _certainty(blocks: int) -> float:
    """What a growth by so many blocks counts for: a few may have come by chance.

    Two standard deviations of a count below it, as if they came independently.
    """
    return max(_LEAST_CERTAIN, 1 - 2 / sqrt(max(1, blocks)))


def _is_full() -> bool:
    import tracemalloc

    return tracemalloc.is_tracing() and tracemalloc.get_tracemalloc_memory() > _MOST


def _summed(sums: Sums) -> Generator[None, None, None]:
    """Add up all traces by their line, into `sums`; nothing where somebody stopped tracing."""
    import tracemalloc

    if not tracemalloc.is_tracing():
        return
    # What `Snapshot.statistics` reads, too: a `Trace` for each would take ten times as long.
    traces: Any = tracemalloc.take_snapshot().traces
    rows = getattr(traces, "_traces", None)
    if rows is None:
        rows = [
            (0, one.size, [(one.traceback[0].filename, one.traceback[0].lineno)]) for one in traces
        ]
    for number, row in enumerate(rows, 1):
        if number % _AT_A_TIME == 0:
            yield
        size, place = row[1], row[2][0]
        held = sums.get(place, (0, 0))
        sums[place] = held[0] + size, held[1] + 1


def memray_advice() -> str:
    """What to say of memray where it is installed, else an empty text; imports nothing."""
    from importlib.util import find_spec

    return MEMRAY if find_spec("memray") is not None else ""


def _is_passed(file: str) -> bool:
    return file.startswith(HERE) or file.endswith(("tracemalloc.py", "linecache.py"))
