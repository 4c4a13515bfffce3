"""The sweeper: frees expired entries of all caches, so that an idle process lets go of them too.

It also weighs values again that may have changed: a list grows after it was set, and parts that the
caller still held then are the cache's alone by now.
"""

from __future__ import annotations

import time
import weakref

from membudget.units import as_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from membudget.core import Clock
    from membudget.registry import Registry

INTERVAL = 1.0
"""Seconds between two rounds through all caches; a look whether one is due costs 0.3 µs a cache."""

WEIGH_FOR = 0.002
"""Seconds of weighing again at a time, all caches together: a thousand values or so."""

WEIGH_AT_MOST_EVERY, WEIGH_AT_LEAST_EVERY = 1.0, 16.0
"""Seconds between two times: the more the longer nothing was found changed."""


class Sweeper:
    """The one chore that frees what has expired, in all caches of a register.

    Every `interval` (seconds, or text such as "10m") it looks whether a cache holds an expired
    entry, and then goes through all, in slices; above the low mark once a second. Where caches hold
    values that may change, it weighs some again, 2 ms in a second at most. It keeps no cache alive.
    Runs on the governor's thread.

    Raises:
        ConfigError: An interval that is none.
    """

    name = "sweeper"
    comes_early = True

    def __init__(
        self, registry: Registry, interval: float | str = INTERVAL, clock: Clock | None = None
    ) -> None:
        self._registry = registry
        self._interval = as_seconds(interval, name="interval")
        self._now = time.monotonic if clock is None else clock.now
        self._waiting: list[weakref.ref[Any]] = []
        self._only_weighs = False
        self._looked_at = self._weighed_at = self._now()
        self._weigh_every = WEIGH_AT_MOST_EVERY

    def due(self, now: float) -> bool:
        """Whether a round is under way or has something to do, or it is time to weigh."""
        if self._waiting:
            return True
        if now - self._looked_at >= self._interval:
            self._looked_at = now
            if any(one.has_expired(now) for one in self._sweepable()):
                return True
        if now - self._weighed_at >= self._weigh_every:
            self._only_weighs = bool(self._changing())
            if not self._only_weighs:  # Looked for again in a while, not at each tick.
                self._weighed_at = now
        return self._only_weighs

    def run(self, until: float) -> int:
        """Sweep the caches in turn, until a monotonic time; the next run goes on from there.

        Returns:
            Bytes let go.

        Raises:
            Exception: What a cache's `on_evict` raised; the next run goes on with the others.
        """
        only_weighs, self._only_weighs = self._only_weighs, False
        if not self._waiting and not only_weighs:
            self._waiting = [weakref.ref(one) for one in self._sweepable()]
        freed = 0
        while self._waiting and self._now() < until:
            swept = self._waiting.pop()
            one = swept()
            if one is not None:
                freed += one.sweep(until)
                if self._now() >= until:
                    self._waiting.append(swept)  # There may be more.
        if not self._waiting and self._now() - self._weighed_at >= self._weigh_every:
            self._weigh(until)
        return freed

    def _weigh(self, until: float) -> None:
        """Weigh some values of each cache again."""
        self._weighed_at, changed = self._now(), 0
        changing = self._changing()
        for number, one in enumerate(changing, 1):
            ends = self._weighed_at + WEIGH_FOR * number / len(changing)
            changed += one.reweigh(min(ends, until))
        longer = min(2 * self._weigh_every, WEIGH_AT_LEAST_EVERY)
        self._weigh_every = WEIGH_AT_MOST_EVERY if changed else longer

    def _changing(self) -> list[Any]:
        holders: list[Any] = self._registry.holders()
        return [one for one in holders if hasattr(one, "reweigh") and one.may_change()]

    def _sweepable(self) -> list[Any]:
        return [one for one in self._registry.holders() if hasattr(one, "sweep")]
