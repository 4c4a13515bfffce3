"""What a census found: how many of everything, and more of what grew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.core import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

CACHE = "lru_cache"
TASK = "task"
THREAD = "thread"
TYPE = "type"
GARBAGE = "garbage"
NOT_CONTAINERS = frozenset({CACHE, TASK, THREAD, TYPE, GARBAGE})
"""The kinds of counts; any other is the name of a container's type."""


class Detail(Record):
    """More of one thing that grew since the census before.

    Attributes:
        bytes_each: What one more of it takes, guessed; None where it cannot be told.
        newest: The newest item's type and shortened text.
        chain: The steps from a root to it.
        note: What is to be said of it, such as that a cache keeps instances.
        id: Of the object looked at; None for what is no object.
    """

    bytes_each: float | None = None
    newest: str = ""
    chain: tuple[str, ...] = ()
    note: str = ""
    id: int | None = None


class Census(Record):
    """What can be reached from a process's roots at one time.

    Attributes:
        at: When it ended, monotonic seconds.
        wall: When it ended, Unix seconds.
        objects: Those that can refer to others.
        took: Seconds of work, all slices together.
        longest_slice: Seconds of the longest slice.
        counts: By kind ("dict", "lru_cache", "task", "thread", "type", …), then by name: the items.
        details: More of what grew, by kind and name.
        unread: Items of large containers that were left out; where there are any, counts of types
            are too low.
        held: Bytes that the walk took itself at its end.
    """

    at: float
    wall: float
    objects: int
    took: float
    longest_slice: float
    counts: Mapping[str, Mapping[str, int]]
    details: Mapping[tuple[str, str], Detail]
    unread: int = 0
    held: int = 0

    @property
    def types(self) -> Mapping[str, int]:
        """Objects by the name of their type."""
        return self.counts.get(TYPE, {})

    def detail(self, kind: str, name: str) -> Detail:
        """More of one thing; an empty detail where it did not grow."""
        return self.details.get((kind, name)) or Detail()
