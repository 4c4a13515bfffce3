"""The sizer in plain Python, for where there is no compiled core or MEMBUDGET_PURE=1 asks for it.

`gc.get_referents` shows attributes without making an instance's `__dict__`. Siblings form a level,
weighed one by one with all below; those the walk does not come to weigh as much on average.
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from gc import get_referents
from itertools import islice
from sys import getrefcount, getsizeof
from typing import TYPE_CHECKING, Any

from membudget.sizing.kinds import (
    ATOMS,
    SINGLETONS,
    allocated,
    asked_of,
    is_shared,
    own_bytes,
    reader_by_name,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from membudget.sizing.kinds import Parts, Reader

_SEQUENCES: tuple[type[Any], ...] = (list, tuple, set, frozenset, deque)

_EMPTY_LIST = getsizeof([])
_LIST = allocated(_EMPTY_LIST)

_MANAGED_DICT = 1 << 4
_VALUES_HEADER = 8 if sys.version_info >= (3, 13) else 0
_LEAST_SHARE = 64  # Siblings looked at wherever a sample is taken.
_WORD = 64  # A str of up to so many characters may be borrowed.
_ALONE = 5  # References to a str with one owner within and one outside: these, a list, two names.


def weigh(value: object, nodes: int) -> tuple[int, int, bool]:
    """Bytes of an object, how many were looked at, and whether these were all. Cost: 1 µs each."""
    if type(value) in ATOMS:
        return 0 if id(value) in SINGLETONS else allocated(getsizeof(value)), 1, True
    walk = _Walk(nodes, takes_all=True)
    size = walk.weigh(value)
    if walk.is_cut:
        walk = _Walk(nodes, takes_all=False)
        size = walk.weigh(value)
    return size, nodes - walk.left, not walk.is_cut


class _Level:
    """Siblings being weighed: how many there are in truth, how many were looked at, their bytes."""

    __slots__ = ("count", "done", "rest", "size")

    def __init__(self, parts: Sequence[Any], count: int) -> None:
        self.rest = iter(parts)
        self.count = count
        self.done = 0
        self.size = 0.0


class _Walk:
    """A walk that looks at `nodes` objects at most; `is_cut` where there are parts beyond them."""

    def __init__(self, nodes: int, *, takes_all: bool) -> None:
        self.left = nodes
        self.is_cut = False
        self._takes_all = takes_all
        self._weighed = 0
        self._seen: set[int] = set()
        self._borrowed: list[Any] = []
        self._readers = _EXACTLY.copy()

    def weigh(self, value: object) -> int:
        size = self._descend([value])
        # What was borrowed is taken to stand in the same proportion where nobody looked.
        scale = size / self._weighed if self._weighed else 1.0
        while self._borrowed:
            words, others = _returned(self._borrowed)
            size += (words + self._descend(others)) * scale
        return int(size)

    def _descend(self, parts: Sequence[Any]) -> float:
        levels = [_Level(parts, len(parts))]
        while True:
            below = self._next_below(levels[-1])
            if below is not None:
                levels.append(below)
                continue
            done = levels.pop()
            # Those not looked at are taken to weigh what the others do on average.
            total = done.size * done.count / done.done if done.done else 0.0
            if not levels:
                return total
            levels[-1].size += total

    def _next_below(self, level: _Level) -> _Level | None:
        """Weigh siblings up to the next with something below it; None where there is none."""
        for item in level.rest:
            if self.left <= 0:
                self.is_cut = True
                return None
            self.left -= 1
            level.done += 1
            kind = type(item)
            if id(item) in self._seen or id(item) in SINGLETONS:
                continue
            if kind is str and getrefcount(item) > _ALONE and len(item) <= _WORD:
                self._borrowed.append(item)
                continue
            self._seen.add(id(item))
            parts: Sequence[Any] = ()
            if kind in ATOMS:
                own, count = allocated(getsizeof(item)), 0
            else:
                read = self._readers.get(kind)
                if read is None:
                    read = self._readers[kind] = _reader_of(kind)
                among = 1 if self._takes_all else level.count - level.done + 1
                share = max(_LEAST_SHARE, self.left // among)
                own, parts, count, lent = read(item, share)
                self._borrowed += lent
                self.is_cut |= count > len(parts)
            self._weighed += own
            level.size += own
            if count:
                return _Level(parts, count)
        return None


def _returned(borrowed: list[Any]) -> tuple[int, list[Any]]:
    """Of the borrowed that nobody outside refers to: bytes of words, and the others. Empties it."""
    times = Counter(map(id, borrowed))
    unique = dict(zip(map(id, borrowed), borrowed, strict=True))
    borrowed.clear()
    words, others = 0, []
    for item in unique.values():
        # Each borrower refers to it once; then `unique`, `item` and the argument itself.
        outside = getrefcount(item) - times[id(item)] - 3
        if type(item) is not str:
            if outside <= 0:
                others.append(item)
        elif outside <= 1 and id(item) not in SINGLETONS:
            words += allocated(getsizeof(item))
    return words, others


def _reader_of(kind: type[Any]) -> Reader:
    """What reads objects of this type. Cost: about 2 µs, so a walk asks once for each type."""
    ask = asked_of(kind)
    if ask is not None:
        return lambda item, _room: (ask(item), (), 0, ())
    if issubclass(kind, dict):
        return _read_dict
    if issubclass(kind, _SEQUENCES):
        return _read_items
    if issubclass(kind, memoryview):
        return _read_view
    if is_shared(kind):
        return lambda _item, _room: (0, (), 0, ())
    return reader_by_name(kind) or _read_instance


def _read_dict(item: dict[Any, Any], room: int) -> Parts:
    # Nothing that the collector tracks is made on the way, so no finalizer can run and change the
    # dict meanwhile.
    count = 2 * dict.__len__(item)
    if count <= room:
        parts = list(dict.keys(item))
        parts += dict.values(item)
        if type(item) is not dict:
            parts += get_referents(item)
            count = len(parts)
    else:
        keys, values = islice(dict.keys(item), room), islice(dict.values(item), room)
        parts = [part for pair in zip(list(keys), list(values), strict=False) for part in pair]
    return own_bytes(item, type(item)), parts, count, ()


def _read_items(item: Any, room: int) -> Parts:
    size = own_bytes(item, type(item))
    if type(item) is list:
        # Its slots are a block of their own.
        size = _LIST + allocated(getsizeof(item) - _EMPTY_LIST)
    base: Any = next(base for base in _SEQUENCES if issubclass(type(item), base))
    count = base.__len__(item)
    if count <= room:
        parts = get_referents(item)
        return size, parts, len(parts), ()
    if base in (list, tuple):
        return size, base.__getitem__(item, slice(None, None, -(-count // room))), count, ()
    return size, list(islice(base.__iter__(item), room)), count, ()


def _read_view(item: memoryview, _room: int) -> Parts:
    try:
        lent: tuple[Any, ...] = (item.obj,)
    except ValueError:  # It was released.
        lent = ()
    return own_bytes(item, type(item)), (), 0, lent


def _read_instance(item: object, _room: int) -> Parts:
    parts, kind = get_referents(item), type(item)
    size = own_bytes(item, kind)
    if kind.__flags__ & _MANAGED_DICT:  # There is a block in which it keeps its attributes.
        slots = len(parts)
        size += allocated(_VALUES_HEADER + (slots + 2 + 7) // 8 * 8 + slots * 8)
    return size, parts, len(parts), ()


_EXACTLY: dict[type[Any], Reader] = {dict: _read_dict, **dict.fromkeys(_SEQUENCES, _read_items)}
"""What reads objects of exactly these types."""
