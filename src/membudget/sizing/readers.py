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
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from membudget.sizing.arrays import array_reader
from membudget.sizing.blocks import allocated, own_bytes, values_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.sizing.arrays import Parts, Reader

_SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType, CodeType, FrameType)
_SHARED_BY_NAME = (
    ("enum", "Enum"),
    ("logging", "Logger"),
    ("datetime", "tzinfo"),
    ("threading", "Thread"),
    ("asyncio", "AbstractEventLoop"),
)
_COLLECTIONS: tuple[type[Any], ...] = (set, frozenset, deque)

_LIST = sys.getsizeof([])

registered: dict[type[Any], Callable[[Any], int]] = {}
"""The program's own functions, by type."""


def reader_of(kind: type[Any]) -> Reader:
    """What reads objects of this type. Cost: about 1 µs, so a walk asks once for each type."""
    if registered:
        for base in kind.__mro__:
            if base in registered:
                return _reader_by(registered[base])
    if issubclass(kind, dict):
        return _read_dict
    if issubclass(kind, (list, tuple)):
        return _read_sequence
    if issubclass(kind, _COLLECTIONS):
        return _read_collection
    if issubclass(kind, memoryview):
        return _read_view
    if issubclass(kind, _SHARED) or _is_shared_by_name(kind):
        return _read_shared
    return array_reader(kind) or _read_instance


def _is_shared_by_name(kind: type[Any]) -> bool:
    for module, name in _SHARED_BY_NAME:
        known = getattr(sys.modules.get(module), name, None)
        if known is not None and issubclass(kind, known):
            return True
    return False


def _reader_by(weigh: Callable[[Any], int]) -> Reader:
    return lambda item, _room: (weigh(item), (), 0, ())


def _read_dict(item: dict[Any, Any], room: int) -> Parts:
    # Two lists rather than pairs: nothing that the collector tracks is made on the way, so no
    # finalizer can run and change the dict meanwhile.
    keys = list(islice(dict.keys(item), room))
    values = list(islice(dict.values(item), room))
    parts = [part for pair in zip(keys, values, strict=False) for part in pair]
    count = 2 * dict.__len__(item)
    if type(item) is not dict and count <= room:
        parts += get_referents(item)  # A subclass has attributes, too.
        count = len(parts)
    return own_bytes(item, type(item)), parts, count, ()


def _read_sequence(item: Any, room: int) -> Parts:
    size = own_bytes(item, type(item))
    base = tuple if issubclass(type(item), tuple) else list
    if base is list:
        # Its slots are a block of their own, rounded once more.
        size = allocated(_LIST) + allocated(size - _LIST)
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
