"""The walk through a sample of what an object refers to, where all of it is too much.

Siblings form a level. One sibling is weighed with all below it before the next, and those the walk
does not come to are taken to weigh as much as those it did, on average. A single large sibling
must not stand for many small ones, so each gets only its share of the bound. A chain longer than
the bound is weighed as far as the walk came.
"""

from __future__ import annotations

from sys import getrefcount, getsizeof
from typing import TYPE_CHECKING, Any

from membudget.sizing.blocks import ATOMS, SINGLETONS, allocated
from membudget.sizing.readers import BUILT_IN, reader_of
from membudget.sizing.walk import ALONE, WORD, returned

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEAST_SHARE = 64
"""Siblings looked at wherever a sample is taken."""


class _Level:
    """Siblings being weighed: how many there are in truth, how many were looked at, their bytes."""

    __slots__ = ("count", "done", "rest", "size")

    def __init__(self, parts: Sequence[Any], count: int) -> None:
        self.rest = iter(parts)
        self.count = count
        self.done = 0
        self.size = 0.0

    def total(self) -> float:
        """The bytes of all siblings, those not looked at taken as average."""
        return self.size * self.count / self.done if self.done else 0.0


class Sample:
    """A walk that looks at `nodes` objects at most."""

    def __init__(self, nodes: int) -> None:
        self._nodes = self._left = nodes
        self._weighed = 0
        self._seen: set[int] = set()
        self._borrowed: list[Any] = []
        self._readers = BUILT_IN.copy()

    def weigh(self, value: object) -> tuple[int, int]:
        """The bytes estimated and how many objects were looked at."""
        size = self._descend([value])
        # What was borrowed is taken to stand in the same proportion where nobody looked.
        scale = size / self._weighed if self._weighed else 1.0
        while self._borrowed:
            words, others = returned(self._borrowed)
            size += (words + self._descend(others)) * scale
        return int(size), self._nodes - self._left

    def _descend(self, parts: Sequence[Any]) -> float:
        levels = [_Level(parts, len(parts))]
        while True:
            below = self._next_below(levels[-1])
            if below is not None:
                levels.append(below)
                continue
            total = levels.pop().total()
            if not levels:
                return total
            levels[-1].size += total

    def _next_below(self, level: _Level) -> _Level | None:
        """Weigh siblings up to the next with something below it; None where there is none."""
        for item in level.rest:
            if self._left <= 0:
                return None
            self._left -= 1
            level.done += 1
            if type(item) is str and getrefcount(item) > ALONE and len(item) <= WORD:
                self._borrowed.append(item)
                continue
            if id(item) in self._seen or id(item) in SINGLETONS:
                continue
            self._seen.add(id(item))
            share = max(_LEAST_SHARE, self._left // (level.count - level.done + 1))
            own, parts, count = self._read(item, share)
            self._weighed += own
            level.size += own
            if count:
                return _Level(parts, count)
        return None

    def _read(self, item: Any, room: int) -> tuple[int, Sequence[Any], int]:
        kind = type(item)
        if kind in ATOMS:
            return allocated(getsizeof(item)), (), 0
        read = self._readers.get(kind)
        if read is None:
            read = self._readers[kind] = reader_of(kind)
        own, parts, count, lent = read(item, room)
        self._borrowed += lent
        return own, parts, count
