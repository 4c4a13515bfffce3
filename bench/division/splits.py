"""Hits of one load under each way to divide the same bytes."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, NamedTuple

from loads import ENTRY, Load

from membudget.cache.cache import Cache
from membudget.cache.division import Division
from membudget.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

PARTS = 24
"""The best fixed split is looked for among parts of so many equal ones."""

_TRIED = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20, 22, 23)
"""How many of them a cache is tried with; between two, hits are taken to lie on a line."""

DECISIONS = 300
"""Decisions in a run: five minutes at one a second."""


class Hits(NamedTuple):
    """Hits in the first and in the second half of the requests."""

    first: int
    second: int

    def of(self, load: Load) -> tuple[float, float]:
        """Percent of all requests, and of those of the second half."""
        count = len(load.keys)
        return 100 * (self.first + self.second) / count, 100 * self.second / (count - count // 2)


class Clock:
    """Time by hand."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        """The time it was set to."""
        return self.time


class Caches:
    """Caches in a register of their own."""

    def __init__(self, sizes: Sequence[int | None]) -> None:
        self.clock, self.registry = Clock(), Registry()
        self.each: list[Cache[int, bool]] = [
            Cache(f"{number}", max_bytes=size or 1 << 40, registry=self.registry, clock=self.clock)
            for number, size in enumerate(sizes)
        ]

    def ask(self, load: Load, start: int, end: int) -> None:
        """Ask for each key in turn; what is missing is set."""
        gets = [one.get for one in self.each]
        sets = [one.set for one in self.each]
        for at, key in zip(load.caches[start:end], load.keys[start:end], strict=True):
            if gets[at](key) is None:
                sets[at](key, True, size=ENTRY)

    def hits(self) -> int:
        """Hits so far."""
        return sum(one.hits for one in self.each)


def fixed(load: Load, sizes: Sequence[int]) -> Hits:
    """What a fixed split brings."""
    caches, half = Caches(sizes), len(load.keys) // 2
    caches.ask(load, 0, half)
    first = caches.hits()
    caches.ask(load, half, len(load.keys))
    return Hits(first, caches.hits() - first)


def together(load: Load, whole: int) -> Hits:
    """What one cache for all brings."""
    return fixed(load._replace(caches=bytes(len(load.keys))), [whole])


def divided(load: Load, whole: int) -> tuple[Hits, list[list[float]], int]:
    """What the division brings, the shares at five times, and the most ever held."""
    caches = Caches([None] * len(load.names))
    division = Division(caches.registry, lambda: whole, caches.clock)
    count, first, most = len(load.keys), 0, 0
    path = []
    for step in range(DECISIONS):
        division.run(float("inf"))
        caches.clock.time += 1.0
        if step == DECISIONS // 2:
            first = caches.hits()
        caches.ask(load, count * step // DECISIONS, count * (step + 1) // DECISIONS)
        most = max(most, caches.registry.held_bytes())
        if (step + 1) % (DECISIONS // 5) == 0:
            path.append([(one.share or 0) / whole for one in caches.each])
    return Hits(first, caches.hits() - first), path, most


class Curves:
    """The hits of each cache by what it holds: fixed parts know nothing of each other."""

    def __init__(self, load: Load, whole: int) -> None:
        self.whole, self._rows = whole, []
        for number in range(len(load.names)):
            alone, half = load.only(number), load.caches[: len(load.caches) // 2].count(number)
            self._rows.append(
                [self._tried(alone, half, whole * tried // PARTS) for tried in _TRIED]
            )
            gc.collect()

    def best(self, *, is_second: bool) -> list[int]:
        """The split, in bytes, with most hits in all or in the second half."""
        best: dict[int, tuple[float, list[int]]] = {0: (0.0, [])}
        for row in self._rows:
            following: dict[int, tuple[float, list[int]]] = {}
            for used, (hits, split) in best.items():
                for part in range(1, PARTS - used + 1):
                    more = hits + _between(row, part, is_second=is_second)
                    if more >= following.get(used + part, (0.0, split))[0]:
                        following[used + part] = more, [*split, part]
            best = following
        return [self.whole * part // PARTS for part in max(best.values())[1]]

    @staticmethod
    def _tried(alone: Load, half: int, size: int) -> Hits:
        caches = Caches([size])
        caches.ask(alone, 0, half)
        first = caches.hits()
        caches.ask(alone, half, len(alone.keys))
        return Hits(first, caches.hits() - first)


def _between(row: list[Hits], part: int, *, is_second: bool) -> float:
    """The hits at a part that may lie between two tried ones."""
    values = [hits.second if is_second else sum(hits) for hits in row]
    if part >= _TRIED[-1]:
        return values[-1]
    right = next(at for at, tried in enumerate(_TRIED) if tried >= part)
    if _TRIED[right] == part:
        return values[right]
    low, high = _TRIED[right - 1], _TRIED[right]
    return values[right - 1] + (values[right] - values[right - 1]) * (part - low) / (high - low)
