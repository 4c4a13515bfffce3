"""What a full collection frees, by type: weak references to some objects, those that end by it.

`gc.DEBUG_SAVEALL` would keep all garbage, and its finalizers would never run. A weak reference
without a callback changes nothing: of one object in so many it is noted whether it was there before
the collection and is not after it. Dicts, lists, tuples and cells take no weak references, nor do
objects with slots alone: their garbage is counted, and not named.
"""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any
from weakref import ref

from membudget.core import Record
from membudget.heap import raw

if TYPE_CHECKING:
    from collections.abc import Mapping

SAMPLED = 20_000
"""Objects noted: 15 ms."""

MOST_BLOCKS = 2_000_000
"""Live blocks above which not all objects are listed: it holds the GIL for 30 ms (ADR 5)."""

MOST_YOUNG = 500_000
"""Young objects up to which a large heap's are listed: 25 ms."""

_HAS_TWO_YOUNG = sys.version_info < (3, 14)

_FEWEST = 3
"""Of a type, so many must have ended for it to be named."""

_SPREAD = 40_503
"""Odd, so that what is made in turns is not met at the same turn each time."""

_SHOWN = 1000
"""Of `gc.garbage`, so many are told by type."""


class Garbage(Record):
    """What a full collection freed, and what it could not.

    Attributes:
        garbage: Objects freed, as the collector counts them.
        types: About how many of each type; empty where nobody could tell.
        bytes: What they came to.
        over: Seconds over which they came; 0 where that is not known.
        uncollectable: Objects in `gc.garbage`.
        kept: The type that most of those have.
    """

    garbage: int
    types: Mapping[str, int]
    bytes: int
    over: float = 0.0
    uncollectable: int = 0
    kept: str = ""


class Freed:
    """Watches one full collection: make it, collect, ask. One thread; keeps nothing alive.

    Cost: 45 ms a million objects, half of what the collection takes. In larger heaps only the young
    are noted, among which is whatever goes on being made.
    """

    def __init__(self) -> None:
        self._notes: list[tuple[Any, str]] = []
        objects = _listed()
        self._step = step = max(1, len(objects) // SAMPLED)
        # The types are kept, so that ids stay theirs.
        takes_refs: dict[int, tuple[type, bool]] = {}
        for place in range(0, len(objects) - step + 1, step):
            one = objects[place + place * _SPREAD // step % step]
            kind = type(one)
            if id(kind) not in takes_refs:
                takes_refs[id(kind)] = (kind, _is_noted(kind))
            if takes_refs[id(kind)][1]:
                self._notes.append((ref(one), raw.type_name(kind)))
        del objects
        one = None
        # What ended while it was noted was no garbage.
        self._notes = [note for note in self._notes if note[0]() is not None]

    def told(self, objects: int, size: int) -> Garbage:
        """What the collection freed.

        Args:
            objects: How many, as `gc.collect` says.
            size: Bytes, as the allocators say.
        """
        types: dict[str, int] = {}
        for note, name in self._notes:
            if note() is None:
                types[name] = types.get(name, 0) + 1
        return Garbage(
            garbage=objects,
            types={name: ended * self._step for name, ended in types.items() if ended >= _FEWEST},
            bytes=size,
            uncollectable=len(gc.garbage),
            kept=commonest(gc.garbage),
        )


def _listed() -> list[Any]:
    """All objects, or the young ones of a large heap; none where those are too many as well."""
    if sys.getallocatedblocks() <= MOST_BLOCKS:
        return gc.get_objects()
    made, collected = gc.get_count()[:2]
    young = made + collected * gc.get_threshold()[0]
    if young > MOST_YOUNG:
        return []
    found = gc.get_objects(generation=0)
    return found + gc.get_objects(generation=1) if _HAS_TWO_YOUNG else found


def _is_noted(kind: type) -> bool:
    return raw.takes_weak_references(kind) and not raw.is_ours(kind)


def commonest(kept: list[Any]) -> str:
    """The type that most of the first objects of a list have; empty for an empty list."""
    types: dict[str, int] = {}
    for one in kept[:_SHOWN]:
        name = raw.type_name(type(one))
        types[name] = types.get(name, 0) + 1
    return max(types, key=lambda name: types[name], default="")
