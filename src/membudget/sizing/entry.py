"""What dropping an entry of a cache would free, in plain Python: the compiled sizer's second sum.

Trial deletion by reference counts, as the garbage collector does it: a part with more references
than the entry itself holds belongs to somebody else as well. Small parts, mostly strings, are
charged in proportion; larger ones are not charged, nor is what only they lead to. Unlike the
compiled sizer this one does not know which parts several entries of one cache share.
"""

from __future__ import annotations

from sys import getrefcount, getsizeof
from typing import Any

from membudget.sizing.blocks import ATOMS, SINGLETONS, allocated
from membudget.sizing.readers import BUILT_IN, reader_of
from membudget.sizing.sample import Sample

SMALL_PART = 64
"""A part of up to so many bytes is charged by its references alone."""

_OURS = 3
"""References to a part that are ours when they are counted: the dict of parts, the loop's variable
and the argument."""


class _Part:
    """A part that was met: its own bytes, what it refers to, how often it was met."""

    __slots__ = ("below", "own", "times")

    def __init__(self, own: int, below: list[int]) -> None:
        self.own = own
        self.below = below
        self.times = 0


def weigh_entry(roots: list[Any], nodes: int) -> int:
    """The bytes that dropping the roots would free; they themselves are always counted.

    Cost: about 1 µs for each part.
    """
    held: dict[int, Any] = {}
    parts = _met(roots, nodes, held)
    if parts is None:
        return Sample(nodes).weigh(tuple(roots))[0] - allocated(getsizeof(tuple(roots)))
    own_roots = {id(root) for root in roots}
    portions: dict[int, float] = {}
    for mark, part in parts.items():
        item = held[mark]
        outside = getrefcount(item) - _OURS - part.times
        if outside <= 0 or mark in own_roots:
            portions[mark] = 1.0
        elif part.own > SMALL_PART:
            portions[mark] = 0.0
        else:
            portions[mark] = part.times / (part.times + outside)
    return _reached([id(root) for root in roots], parts, portions)


def _met(roots: list[Any], nodes: int, held: dict[int, Any]) -> dict[int, _Part] | None:
    """All parts by identity; None where there are more than `nodes`. Puts the objects in `held`."""
    parts: dict[int, _Part] = {}
    readers = BUILT_IN.copy()
    level = list(roots)
    looked = 0
    while level:
        looked += len(level)
        below: list[Any] = []
        for item in level:
            mark = id(item)
            if mark in held or mark in SINGLETONS:
                continue
            held[mark] = item
            kind = type(item)
            if kind in ATOMS:
                parts[mark] = _Part(allocated(getsizeof(item)), [])
                continue
            read = readers.get(kind)
            if read is None:
                read = readers[kind] = reader_of(kind)
            own, inner, count, lent = read(item, nodes)
            if looked + len(below) + count > nodes:
                return None
            parts[mark] = _Part(own, [*map(id, inner), *map(id, lent)])
            below += inner
            below += lent
            del inner, lent  # References are counted later and must not meet these.
        level = below
    for part in list(parts.values()):
        for mark in part.below:
            if mark in parts:
                parts[mark].times += 1
    return parts


def _reached(start: list[int], parts: dict[int, _Part], portions: dict[int, float]) -> int:
    """The sum over what the roots lead to, those of which a portion is charged after the others."""
    size = 0.0
    done: set[int] = set()
    waiting = [(1.0, start)]
    for factor, marks in waiting:
        rest = list(marks)
        while rest:
            mark = rest.pop()
            portion = portions.get(mark, 0.0)
            if mark in done or portion == 0.0:
                continue
            done.add(mark)
            size += factor * portion * parts[mark].own
            if portion == 1.0:
                rest += parts[mark].below
            elif parts[mark].below:
                waiting.append((factor * portion, parts[mark].below))
    return round(size)
