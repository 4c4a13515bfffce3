"""What the library's own caches and containers hold, as roots of a walk.

A walk does not enter what is ours: a cache that fills is no leak, and has told where it ends. But
what lies in one may grow by itself, such as a list that is appended to: nothing else leads there.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any
from weakref import ref

from membudget.cache.cache import PIECE, GovernedTable, pieces_of
from membudget.heap import raw
from membudget.heap.owner import is_own_dict
from membudget.heap.walk import Cursor, Several

if TYPE_CHECKING:
    from collections.abc import Iterator

    from membudget.registry import Registry

_CONTAINERS = f"{raw.OURS}.containers."


def held_values(registry: Registry) -> Iterator[tuple[str, Several]]:
    """The values of all registered caches and containers by name: `cache "sessions"`, lazily.

    No lock is taken, nothing counts as used, and what is kept alive from one step to the next is
    one holder and at most 256 values. Cost: 30 ns a value.
    """
    holders: list[ref[Any]] = [ref(one) for one in registry.holders()]
    for place in holders:
        if (holder := place()) is None:  # Let go of since: this may take minutes.
            continue
        kind = type(holder)  # Not by what it says of itself: that may be code.
        is_container = any(raw.module_of(one).startswith(_CONTAINERS) for one in raw.bases_of(kind))
        label = f'{kind.__name__ if is_container else "cache"} "{holder.name}"'
        if issubclass(kind, GovernedTable):
            for values in pieces_of(holder):
                yield label, Several(values)
        elif is_container:  # Of the program's own containers it is told where they stand.
            for values in _of_a_container(holder):
                yield label, Several(inner for item in values for inner in _opened(item))


def _of_a_container(holder: Any) -> Iterator[list[Any]]:
    """The items of what a container of ours refers to, beside much that holds none."""
    for one in raw.referents(holder):
        is_own = type(one) is dict and is_own_dict(holder, one)
        for part in list(one.values()) if is_own else [one]:
            if issubclass(type(part), GovernedTable):
                yield from pieces_of(part)
            elif type(part) in {list, deque}:
                cursor = Cursor(part, type(part))
                while (found := cursor.read(PIECE)) is not None:
                    yield found


def _opened(item: Any) -> list[Any]:
    """An item, or where it is an entry of ours what that refers to."""
    if not raw.is_our_module(raw.module_of(type(item))):
        return [item]
    # Not its class, which would lead into this library.
    return [one for one in raw.referents(item) if one is not type(item)]
