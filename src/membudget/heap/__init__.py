"""Walks from roots, owners of objects, the census: what is there, and who holds it.

Here: what was found, and what a collection freed. That is told by type through weak references to
some objects, those that end by it: `gc.DEBUG_SAVEALL` would keep all garbage, and its finalizers
would never run; a weak reference without a callback changes nothing. Dicts, lists, tuples and cells
take none, nor do objects with slots alone: their garbage is counted, and not named.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any
from weakref import ref

from membudget.core import Record
from membudget.heap import raw

if TYPE_CHECKING:
    from collections.abc import Mapping

CACHE, TASK, THREAD, TYPE, GARBAGE = "lru_cache", "task", "thread", "type", "garbage"
NOT_CONTAINERS = frozenset({CACHE, TASK, THREAD, TYPE, GARBAGE})
"""The kinds of counts; any other is the name of a container's type."""


class Detail(Record):
    """More of one thing that grew since the census before."""

    # What one more of it takes, guessed; None where it cannot be told
    bytes_each: float | None = None
    newest: str = ""  # The newest item's type and shortened text
    chain: tuple[str, ...] = ()  # The steps from a root to it
    note: str = ""  # What is to be said of it, such as that a cache keeps instances
    id: int | None = None  # Of the object looked at; None for what is no object


class Census(Record):
    """What can be reached from a process's roots at one time."""

    at: float  # When it ended: monotonic seconds, or as the caller dates it
    objects: int  # Those that can refer to others
    took: float  # Seconds of work, all slices together
    longest_slice: float  # Seconds of the longest slice
    # By kind ("dict", "lru_cache", "task", "thread", "type", …), then by name: the items
    counts: Mapping[str, Mapping[str, int]]
    details: Mapping[tuple[str, str], Detail]  # More of what grew, by kind and name
    # Items of large containers that were left out; where there are any, counts of types are too low
    unread: int = 0
    held: int = 0  # Bytes that the walk took itself at its end

    @property
    def types(self) -> Mapping[str, int]:
        """Objects by the name of their type."""
        return self.counts.get(TYPE, {})

    def detail(self, kind: str, name: str) -> Detail:
        """More of one thing; an empty detail where it did not grow."""
        return self.details.get((kind, name)) or Detail()


class Garbage(Record):
    """What a full collection freed, and what it could not."""

    garbage: int  # Objects freed, as the collector counts them
    types: Mapping[str, int]  # About how many of each type; empty where nobody could tell
    bytes: int  # What they came to
    over: float = 0.0  # Seconds over which they came; 0 where that is not known
    uncollectable: int = 0  # Objects in `gc.garbage`
    kept: str = ""  # The type that most of those have


SAMPLED = 20_000  # Objects noted: 15 ms

MOST_BLOCKS = 2_000_000
"""Live blocks above which not all objects are listed: it holds the GIL for 30 ms (ADR 5)."""

MOST_YOUNG = 500_000  # Young objects up to which a large heap's are listed: 25 ms

_FEWEST, _SHOWN = 3, 1000
"""Of a type, so many must have ended for it to be named; of `gc.garbage`, so many are looked at."""

_SPREAD = 40_503  # Odd, so that what is made in turns is not met at the same turn each time


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
                is_noted = raw.takes_weak_references(kind) and not raw.is_ours(kind)
                takes_refs[id(kind)] = (kind, is_noted)
            if takes_refs[id(kind)][1]:
                self._notes.append((ref(one), raw.type_name(kind)))
        del objects
        one = None
        # What ended while it was noted was no garbage.
        self._notes = [note for note in self._notes if note[0]() is not None]

    def told(self, objects: int, size: int) -> Garbage:
        """What the collection freed: objects, as it says, and bytes, as the allocators say."""
        types = Counter(name for note, name in self._notes if note() is None)
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
    if made + collected * gc.get_threshold()[0] > MOST_YOUNG:
        return []
    found = gc.get_objects(generation=0)
    # Since 3.14 there is one young generation.
    return found + gc.get_objects(generation=1) if sys.version_info < (3, 14) else found


def commonest(kept: list[Any]) -> str:
    """The type that most of the first objects of a list have; empty for an empty list."""
    types = Counter(raw.type_name(type(one)) for one in kept[:_SHOWN])
    return max(types, key=lambda name: types[name], default="")
