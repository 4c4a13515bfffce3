"""Garbage collection as a reclaimer and as a chore.

A full collection holds the GIL for 85 to 170 ms per million tracked containers, and rewrites pages
that forked workers share. So a full one keeps to a share of the time (dask's ThrottledGC has the
same idea) and comes late on the ladder; young ones are cheap where the heap is old.
"""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

from membudget.core import Reclaimed, Rung, SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.core import Clock, Event

GC_TIME_SHARE = 0.05
"""Share of the time that full collections may take."""

FULL = 2
YOUNG = 1

YOUNG_EVERY = 5.0
"""Seconds between two young collections under pressure, as memory needs them to settle anyway."""

LOOK_EVERY = 1.0
"""Seconds between two looks at the size of the process."""

_BLOCK = 64
"""Bytes taken for one freed block in a claim: pymalloc's blocks hold 16 to 512."""


class Collect:
    """A garbage collection of one generation.

    Args:
        generation: 0 to 2; 2 is a full one.
        rung: When it is asked.
        time_share: Share of the time it may take, 0 to 1; None is no limit.
        cooldown: Seconds at least between two; None is no limit.
    """

    def __init__(
        self,
        generation: int = FULL,
        *,
        rung: Rung = Rung.AGGRESSIVE,
        time_share: float | None = GC_TIME_SHARE,
        cooldown: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.name = "full gc" if generation == FULL else "young gc"
        self.rung = rung
        self.objects: int | None = None
        self._generation = generation
        self._time_share = time_share
        self._cooldown = cooldown
        self._clock = clock or SystemClock()
        self._not_before = float("-inf")

    def reclaimable(self) -> int | None:
        """Not known before it has run; 0 while it keeps to its share of the time."""
        return None if self._clock.now() >= self._not_before else 0

    def reclaim(self, target: int, until: float) -> int:  # noqa: ARG002  # a collection cannot be cut short
        """Collect, and claim what the fall in live blocks comes to; `objects` tells how many."""
        began = self._clock.now()
        before = sys.getallocatedblocks()
        self.objects = gc.collect(self._generation)
        freed = max(0, before - sys.getallocatedblocks())
        ended = self._clock.now()
        rest = (ended - began) * (1 / self._time_share - 1) if self._time_share else 0.0
        self._not_before = ended + max(rest, self._cooldown or 0.0)
        return freed * _BLOCK


class YoungCollection:
    """The chore of collecting young objects; never due by itself, brought forward above low."""

    name = "young gc"
    comes_early = True

    def due(self, now: float) -> bool:  # noqa: ARG002  # the interpreter collects by itself
        """Never: without pressure the interpreter's own collections do."""
        return False

    def run(self, until: float) -> int:  # noqa: ARG002  # a collection cannot be cut short
        """Collect the young generations."""
        gc.collect(YOUNG)
        return 0


class CollectAbove:
    """The chore of collecting in full while the process is large, within the share of the time.

    Args:
        above: Bytes of the process from which it is due.
        own: Reads the bytes of the process now.
        tell: Takes the `Reclaimed` event, with the objects and bytes freed.
        cooldown: Seconds at least between two.
    """

    name = "gc above"

    def __init__(
        self,
        above: int,
        own: Callable[[], int],
        tell: Callable[[Event], None],
        *,
        time_share: float = GC_TIME_SHARE,
        cooldown: float = 60.0,
        clock: Clock | None = None,
    ) -> None:
        self._above = above
        self._own = own
        self._tell = tell
        self._clock = clock or SystemClock()
        self._look_at = float("-inf")
        self._collect = Collect(FULL, time_share=time_share, cooldown=cooldown, clock=self._clock)

    def due(self, now: float) -> bool:
        """Whether the process is above its mark and the last collection long enough ago.

        Looks once a second: a reading costs more than all else that a tick asks of chores.
        """
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_EVERY
        return self._collect.reclaimable() != 0 and self._own() >= self._above

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
                objects=self._collect.objects,
            )
        )
        return claimed
