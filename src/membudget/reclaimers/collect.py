"""Garbage collection as a reclaimer and as a chore.

A full collection holds the GIL for 85 to 170 ms per million tracked containers, and rewrites pages
that forked workers share (`shared`). So a full one keeps to a share of the time (dask's
ThrottledGC has the same idea), comes late on the ladder, and pauses longer and longer where it
frees nothing of note; young ones are cheap where the heap is old.

How long it will take is known beforehand: what the last one took for each live block, times the
blocks there are. Blocks are counted in 0.06 ms a million, objects only by listing them all.
"""

from __future__ import annotations

import gc
import sys
import time
from typing import TYPE_CHECKING

from membudget.core import Reclaimed, Rung, SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.core import Clock, Event, Reclaimer


try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_THREAD = getattr(resource, "RUSAGE_THREAD", None)
"""Linux only; what all threads fault for says nothing of a collection."""

GC_TIME_SHARE = 0.05
"""Share of the time that full collections may take."""

FULL = 2
YOUNG = 1

YOUNG_EVERY = 5.0
"""Seconds between two young collections under pressure, as memory needs them to settle anyway."""

LOOK_EVERY = 1.0
"""Seconds between two looks at the size of the process, or at what may have become garbage."""

SHORT = 0.05
"""Seconds that a process may be stopped for while it is well."""

REFUSED_FOR = 60.0
"""Seconds before it is asked again whether a process may be stopped."""

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 3600.0
"""Seconds that a collection is left alone which freed nothing of note: the first time, at most."""

WORTH = 16 << 20
"""Bytes that a collection has to free for each second that it takes."""

_RISE, _FEW_BLOCKS = 1.25, 10_000
"""From so many times the live blocks, and so many more, there may be garbage anew: the
interpreter's own full collections wait for a quarter as well."""

_DROP = 16 << 20
"""Bytes let go by holders that may have left garbage behind."""

BLOCK = 64
"""Bytes taken for one freed block in a claim: pymalloc's blocks hold 16 to 512."""

_SECONDS_A_BLOCK = 100e-9
"""Until one was seen: 27 to 36 ns in a heap of dicts and lists, three blocks a container; as much
as this where each block is a container."""

_MARGIN = 1.5


def is_on() -> bool:
    """Whether the program lets the interpreter collect by itself."""
    return gc.isenabled() and gc.get_threshold()[0] > 0


class Collect:
    """A garbage collection of one generation. One thread, but for `learn`.

    Args:
        generation: 0 to 2; 2 is a full one.
        rung: When it is asked.
        time_share: Share of the time it may take, 0 to 1; None is no limit.
        cooldown: Seconds at least between two; None is no limit.
        own: Reads the bytes of the process now; None counts live blocks alone.
        held: Bytes that holders count now, whose fall may have left garbage.
        would_copy: Whether pages that are shared would be copied for it, and more than it may free.

    Attributes:
        objects: How many the last one freed; None before the first.
        paces_itself: It knows when to be left alone.
    """

    paces_itself = True

    def __init__(
        self,
        generation: int = FULL,
        *,
        rung: Rung = Rung.AGGRESSIVE,
        time_share: float | None = GC_TIME_SHARE,
        cooldown: float | None = None,
        own: Callable[[], int] | None = None,
        held: Callable[[], int] | None = None,
        would_copy: Callable[[], bool] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.name = "full gc" if generation == FULL else "young gc"
        self.rung = rung
        self.objects: int | None = None
        self._generation = generation
        self._time_share = time_share
        self._cooldown = cooldown
        self._own = own or _nothing
        self._holders = held or _nothing
        self._would_copy = would_copy or _nothing
        self._clock = clock or SystemClock()
        self._not_before = self._idle_until = self._look_at = float("-inf")
        self._pause = FIRST_PAUSE
        self._blocks = self._held = 0
        self._seconds_a_block: float | None = None

    def reclaimable(self) -> int | None:
        """Not known before it has run; 0 while it keeps to its share of the time or pauses.

        With the interpreter's collections off, all there is may be young: then only a full one.
        """
        now = self._clock.now()
        if now < self._not_before or (now < self._idle_until and not self._may_find_more(now)):
            return 0
        if self._generation != FULL:
            return None if is_on() and self.expected() <= SHORT else 0
        return 0 if self._would_copy() else None

    def reclaim(self, target: int, until: float) -> int:  # noqa: ARG002  # a collection cannot be cut short
        """Collect, and claim what the process shrank by, less the pages that had to be copied.

        `objects` tells how many were freed.
        """
        began, spent, faults = self._clock.now(), time.thread_time(), _faulted()
        size, before = self._own(), sys.getallocatedblocks()
        self.objects = gc.collect(self._generation)
        after = sys.getallocatedblocks()
        took, ended = time.thread_time() - spent, self._clock.now()
        # Blocks that fell without a single object freed were free lists.
        freed = max((before - after) * BLOCK, size - self._own()) if self.objects else 0
        claimed = max(0, freed - (_faulted() - faults))
        if self._generation == FULL:
            self.learn(took, before)
        rest = (ended - began) * (1 / self._time_share - 1) if self._time_share else 0.0
        self._not_before = ended + max(rest, self._cooldown or 0.0)
        self._blocks, self._held = after, self._holders()
        if claimed and claimed >= WORTH * took:
            self._pause, self._idle_until = FIRST_PAUSE, ended
        else:
            self._idle_until = ended + self._pause
            self._pause = min(LONGEST_PAUSE, 2 * self._pause)
        return claimed

    def forgive(self) -> None:
        """End a pause for want of garbage: somebody asks by hand, or it is the last resort."""
        self._idle_until = float("-inf")

    def expected(self) -> float:
        """Seconds that it would stop the process for. Cost: 0.06 ms a million live blocks."""
        if self._generation != FULL:
            made, collected = gc.get_count()[:2]
            return (made + collected * gc.get_threshold()[0]) * _SECONDS_A_BLOCK
        known = self._seconds_a_block
        each = _SECONDS_A_BLOCK if known is None else known * _MARGIN
        return sys.getallocatedblocks() * each

    def learn(self, took: float, blocks: int) -> None:
        """Take note of a full collection, whoever made it.

        Args:
            took: Seconds of its thread.
            blocks: Live blocks before it.
        """
        self._seconds_a_block = took / max(1, blocks)

    def _may_find_more(self, now: float) -> bool:
        """Whether there is reason to believe in garbage since the last one."""
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_EVERY
        held, before = self._holders(), self._held
        self._held = max(held, before)
        has_risen = sys.getallocatedblocks() > self._blocks * _RISE + _FEW_BLOCKS
        return has_risen or held + _DROP <= before


class YoungCollection:
    """The chore of collecting young objects; never due by itself, brought forward above low."""

    name = "young gc"
    comes_early = True

    def __init__(self, collect: Collect) -> None:
        self._collect = collect

    def due(self, now: float) -> bool:  # noqa: ARG002  # the interpreter collects by itself
        """Never: without pressure the interpreter's own collections do."""
        return False

    def run(self, until: float) -> int:
        """Collect the young generations, if that is not to be left alone."""
        return 0 if self._collect.reclaimable() == 0 else self._collect.reclaim(1, until)


class CollectAbove:
    """The chore of collecting in full while the process is large.

    Args:
        above: Bytes of the process from which it is due.
        own: Reads the bytes of the process now.
        tell: Takes the `Reclaimed` event, with the objects and bytes freed.
        collect: The full collection, which paces itself.
        may_stop: Whether the process may be stopped for one now.
    """

    name = "gc above"

    def __init__(
        self,
        above: int,
        own: Callable[[], int],
        tell: Callable[[Event], None],
        collect: Reclaimer,
        may_stop: Callable[[], bool] = lambda: True,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._above = above
        self._own = own
        self._tell = tell
        self._collect = collect
        self._may_stop = may_stop
        self._clock = clock or SystemClock()
        self._look_at = float("-inf")

    def due(self, now: float) -> bool:
        """Whether the process is above its mark and a collection in its place.

        Looks once a second: a reading costs more than all else that a tick asks of chores.
        """
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_EVERY
        if self._own() < self._above or self._collect.reclaimable() == 0:
            return False
        if self._may_stop():
            return True
        self._look_at = now + REFUSED_FOR
        return False

    def run(self, until: float) -> int:
        """Collect in full and tell what came of it."""
        began, before = self._clock.now(), self._own()
        claimed = self._collect.reclaim(1, until)
        after = self._own()
        self._tell(
            Reclaimed(
                at=self._clock.now(),
                by=self.name,
                rung=None,
                asked=max(0, before - self._above),
                claimed=claimed,
                measured=before - after,
                took=self._clock.now() - began,
                objects=getattr(self._collect, "objects", None),
            )
        )
        return claimed


def _nothing() -> int:
    return 0


def _faulted() -> int:
    """Bytes of pages that the kernel had to bring or copy for this thread so far. Cost: 0.7 µs."""
    if _THREAD is None:
        return 0
    used = resource.getrusage(_THREAD)
    return (used.ru_minflt + used.ru_majflt) * resource.getpagesize()
