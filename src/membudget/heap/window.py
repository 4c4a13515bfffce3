"""tracemalloc, shared by all that trace; and a window of it: the lines whose memory stayed.

Only where it is asked for: while a window is open the process is 4 to 7 times slower and keeps 64
bytes a live block. What it needs is some 80 KB leaked within it. One frame only: ten cost three
times that.
"""

from __future__ import annotations

import os
import time
from math import sqrt
from typing import TYPE_CHECKING, Any

from membudget.core import Record
from membudget.core.native import Lock, in_one_go
from membudget.heap.raw import HERE

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import TypeAlias

    Sums: TypeAlias = dict[tuple[str, int], tuple[int, int]]
    """Bytes and blocks by file and line."""

SETTLING = 0.25
"""The share of the window before the first sums: what a request needs is in it by then."""

LATE = 0.9
"""The share after which the sums before the last are taken: what is in flight is not in both."""

_LEAST_CERTAIN = 0.1  # What the bytes of a few blocks count for at least: one may be large

_MOST = 32_000_000
"""Bytes of traces after which the window is over; a list of them takes twice that for a moment."""

_AT_A_TIME = 500  # Traces added up in a stretch: 1 ms
_PASSED = ("tracemalloc.py", "linecache.py")

MEMRAY = "memray is installed: `memray run --native` tells the C code's lines as well"


class Line(Record):
    """A line of code and what it allocated within the window that is still there."""

    file: str  # Its path
    line: int  # Its number
    bytes: int  # What it allocated between the two snapshots and did not free
    blocks: int  # In so many pieces
    per_hour: float  # The same in bytes an hour


_lock, _lock_of = Lock(), os.getpid()
_mark: object | None = None
_count = 0


def begin_tracing() -> object | None:
    """Trace from here on, with one frame; for `end_tracing`. None where somebody else traces.

    tracemalloc tells neither who began it nor how often it was asked for. So an object made right
    after it began is kept: once that has no trace, somebody else has begun it anew or cleared the
    traces, and it is theirs to stop. Any thread. Cost: an import at first, 3 ms.
    """
    global _mark, _count  # noqa: PLW0603  # as tracemalloc, there is one for the process
    import tracemalloc

    with own_lock():
        if not tracemalloc.is_tracing():
            tracemalloc.start(1)
            _mark, _count = object(), 0
        elif not _is_ours():
            return None
        _count += 1
        return _mark


def end_tracing(begun: object | None) -> None:
    """End what `begin_tracing` gave, once; None, or what is over by now, changes nothing."""
    global _mark, _count  # noqa: PLW0603  # likewise
    import tracemalloc

    with own_lock():
        if begun is None or begun is not _mark:
            return
        _count -= 1
        if not _count:
            if _is_ours():
                tracemalloc.stop()
            _mark = None


def _is_ours() -> bool:
    import tracemalloc

    return _mark is not None and tracemalloc.get_object_traceback(_mark) is not None


def own_lock() -> Any:
    """The lock; in a forked child a new one, for the old may be held by a thread that is gone."""
    global _lock, _lock_of
    if _lock_of != os.getpid():
        _lock, _lock_of = Lock(), os.getpid()
    return _lock


def sums_by_line() -> Sums:
    """What is traced now, by file and line; nothing where somebody stopped tracing."""
    sums: Sums = {}
    in_one_go(_adding(sums))
    return sums


def _adding(sums: Sums) -> Generator[None, None, None]:
    import tracemalloc

    if not tracemalloc.is_tracing():
        return
    # What `Snapshot.statistics` reads, too: a `Trace` for each would take ten times as long.
    traces: Any = tracemalloc.take_snapshot().traces
    for number, (_, size, frames, *_) in enumerate(traces._traces, 1):  # noqa: SLF001
        if number % _AT_A_TIME == 0:
            yield
        place = frames[0]
        if not place[0].startswith(HERE) and not place[0].endswith(_PASSED):
            held = sums.get(place, (0, 0))
            sums[place] = held[0] + size, held[1] + 1


class Window:
    """One window, open once it is made. One thread: `step` until it gives lines, or `end`.

    Cost: an import at first, 3 ms. Tracing that somebody else began is used and not stopped. Where
    the traces take 32 MB it is over before its time: half a million live blocks came within it.
    """

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._now = now
        self._begun, self._is_open = begin_tracing(), True
        self._began = self._since = now()
        self._marks: list[Sums] = []
        self._last: Sums | None = None
        self._steps: Generator[None, None, None] | None = None

    def due(self) -> bool:
        """Whether there is something to do now. Cost: 1 µs."""
        share = (SETTLING, LATE, 1.0)[min(2, len(self._marks))]
        return self._is_open and (self._steps is not None or self._is_over(share))

    def _is_over(self, share: float = 1.0) -> bool:
        """Whether a share of its time has passed, or its traces take too much."""
        import tracemalloc

        if self._now() - self._began >= share * self._seconds:
            return True
        return tracemalloc.is_tracing() and tracemalloc.get_tracemalloc_memory() > _MOST

    def step(self, until: float = float("inf")) -> tuple[Line, ...] | None:
        """Take the sums that are due; the lines, once the window is over.

        Cost: 0.6 s a million traced blocks for a list of them, in which other threads wait; 2 s to
        add them up, until the time that is given.
        """
        if not self.due():
            return None
        if self._steps is None:
            self._steps = self._summing(is_last=self._is_over())
        for _ in self._steps:
            if self._now() >= until:
                return None
        self._steps = None
        return None if self._last is None else self.end()

    def mark(self) -> None:
        """Take sums now: first what is not counted; then, what is not in the last is passing."""
        in_one_go(self._summing())

    def end(self, most: int = 10) -> tuple[Line, ...]:
        """Close it; the lines that kept the most, the likeliest first. Closed already: none."""
        if not self._is_open:
            return ()
        try:
            if self._last is None:
                in_one_go(self._summing(is_last=True))
            return self._lines(self._last or {}, most)
        finally:
            self.drop()

    def drop(self) -> None:
        """Close it and tell nothing; in a forked child, too, which is traced as its parent was."""
        self._is_open, self._marks, self._last, self._steps = False, [], None, None
        self._trace_no_more()

    def _trace_no_more(self) -> None:
        begun, self._begun = self._begun, None
        end_tracing(begun)

    def _summing(self, *, is_last: bool = False) -> Generator[None, None, None]:
        sums: Sums = {}
        yield from _adding(sums)
        if is_last:
            self._trace_no_more()  # What follows need not be traced.
            self._last = sums
            return
        if not self._marks:
            self._since = self._now()
        self._marks.append(sums)

    def _lines(self, last: Sums, most: int) -> tuple[Line, ...]:
        hours = max(1e-3, self._now() - self._since) / 3600
        first, *late = self._marks or [{}]
        found = []
        for place, now in last.items():
            # What is not in both sums is a request under way, more likely than not.
            size, blocks = min([now, *(one.get(place, (0, 0)) for one in late)])
            size_before, blocks_before = first.get(place, (0, 0))
            kept, blocks = size - size_before, blocks - blocks_before
            if kept > 0:
                line = Line(
                    file=place[0], line=place[1], bytes=kept, blocks=blocks, per_hour=kept / hours
                )
                # A few blocks may have come by chance: a growth by so many counts for what is two
                # standard deviations of a count below it, as if they came independently.
                certainty = max(_LEAST_CERTAIN, 1 - 2 / sqrt(max(1, blocks)))
                found.append((kept * certainty, line))
        found.sort(key=lambda one: -one[0])
        return tuple(line for _, line in found[:most])


def memray_advice() -> str:
    """What to say of memray where it is installed, else an empty text; imports nothing."""
    from importlib.util import find_spec

    return MEMRAY if find_spec("memray") is not None else ""
