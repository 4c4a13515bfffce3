"""What an object consists of: its own bytes and what it refers to, read without running its code.

`gc.get_referents` asks the type's own traversal, as the garbage collector does, so it sees the
attributes of an instance without making its `__dict__`. Containers are read by their built-in
base, since a subclass may have other ideas of iterating.
"""

from __future__ import annotations

import sys
from collections import deque
from gc import get_referents
from itertools import islice
from sys import getsizeof
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from membudget.sizing.arrays import ARRAYS
from membudget.sizing.blocks import allocated, checked, own_bytes, values_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.sizing.arrays import Parts, Reader

_COLLECTIONS: tuple[type[Any], ...] = (set, frozenset, deque)

_EMPTY_LIST = getsizeof([])
_LIST = allocated(_EMPTY_LIST)

registered: dict[type[Any], Callable[[Any], int]] = {}
"""The program's own functions, by type."""


def reader_of(kind: type[Any]) -> Reader:
    """What reads objects of this type. Cost: about 2 µs, so a walk asks once for each type."""
    if registered:
        for base in kind.__mro__:
            if base in registered:
                return _reader_by(registered[base])
    for known, read in _BY_BASE:
        if issubclass(kind, known):
            return read
    if hasattr(kind, "held_bytes"):  # A holder counts itself.
        return _read_shared
    for module, name, read in (*_SHARED_BY_NAME, *ARRAYS):
        # A module in the middle of its own import has not named its types yet.
        named = getattr(sys.modules.get(module), name, None)
        if named is not None and issubclass(kind, named):
            return read
    return _read_instance


def _reader_by(weigh: Callable[[Any], int]) -> Reader:
    def read(item: Any, _room: int) -> Parts:
        return checked(weigh(item), f"the size registered for {type(item).__name__}"), (), 0, ()

    return read


def _read_dict(item: dict[Any, Any], room: int) -> Parts:
    parts = _keys_and_values(item, room)
    return allocated(getsizeof(item)), parts, 2 * dict.__len__(item), ()


def _read_dict_subclass(item: dict[Any, Any], room: int) -> Parts:
    parts = _keys_and_values(item, room)
    count = 2 * dict.__len__(item)
    if count <= room:
        parts += get_referents(item)
        count = len(parts)
    return own_bytes(item, type(item)), parts, count, ()


def _keys_and_values(item: dict[Any, Any], room: int) -> list[Any]:
    # Nothing that the collector tracks is made on the way, so no finalizer can run and change the
    # dict meanwhile.
    if 2 * dict.__len__(item) <= room:
        parts = list(dict.keys(item))
        parts += dict.values(item)
        return parts
    keys = list(islice(dict.keys(item), room))
    values = list(islice(dict.values(item), room))
    return [part for pair in zip(keys, values, strict=False) for part in pair]


def _read_sequence(item: Any, room: int) -> Parts:
    kind = type(item)
    base = tuple if issubclass(kind, tuple) else list
    size = own_bytes(item, kind)
    if kind is list:
        # Its slots are a block of their own.
        size = _LIST + allocated(getsizeof(item) - _EMPTY_LIST)
    count = base.__len__(item)
    if count <= room:
        parts = get_referents(item)
        return size, parts, len(parts), ()
    return size, base.__getitem__(item, slice(None, None, -(-count // room))), count, ()


def _read_collection(item: Any, room: int) -> Parts:
    size = own_bytes(item, type(item))
    base = next(base for base in _COLLECTIONS if issubclass(type(item), base))
    count = base.__len__(item)
    if count <= room:
        parts = get_referents(item)
        return size, parts, len(parts), ()
    return size, list(islice(base.__iter__(item), room)), count, ()


def _read_view(item: memoryview, _room: int) -> Parts:
    try:
        lender = item.obj
    except ValueError:  # It was released.
        return own_bytes(item, type(item)), (), 0, ()
    return own_bytes(item, type(item)), (), 0, (lender,)


def _read_instance(item: object, _room: int) -> Parts:
    parts = get_referents(item)
    kind = type(item)
    return own_bytes(item, kind) + values_bytes(kind, len(parts) - 1), parts, len(parts), ()


def _read_shared(_item: object, _room: int) -> Parts:
    return 0, (), 0, ()


BUILT_IN: dict[type[Any], Reader] = {
    dict: _read_dict,
    list: _read_sequence,
    tuple: _read_sequence,
    set: _read_collection,
    frozenset: _read_collection,
    deque: _read_collection,
}
"""What reads objects of exactly these types."""

_BY_BASE: tuple[tuple[type[Any] | tuple[type[Any], ...], Reader], ...] = (
    (dict, _read_dict_subclass),
    ((list, tuple), _read_sequence),
    (_COLLECTIONS, _read_collection),
    (memoryview, _read_view),
    (
        (type, ModuleType, FunctionType, BuiltinFunctionType, CodeType, FrameType),
        _read_shared,
    ),
)

_SHARED_BY_NAME: tuple[tuple[str, str, Reader], ...] = (
    ("enum", "Enum", _read_shared),
    ("logging", "Logger", _read_shared),
    ("datetime", "tzinfo", _read_shared),
    ("threading", "Thread", _read_shared),
    ("asyncio", "AbstractEventLoop", _read_shared),
)
