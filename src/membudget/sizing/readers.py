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
    from collections.abc import Callable, Iterable, Mapping

    from membudget.sizing.arrays import Parts, Reader

_COLLECTIONS: tuple[type[Any], ...] = (set, frozenset, deque)

SHARED_TYPES = (type, ModuleType, FunctionType, BuiltinFunctionType, CodeType, FrameType)
"""What everybody shares."""

SHARED_BY_NAME = (
    ("enum", "Enum"),
    ("logging", "Logger"),
    ("datetime", "tzinfo"),
    ("threading", "Thread"),
    ("asyncio", "AbstractEventLoop"),
    ("numpy", "dtype"),
)
"""The same, where the program has imported them: module and type."""

_EMPTY_LIST = getsizeof([])
_LIST = allocated(_EMPTY_LIST)

# A metaclass may answer for its classes with code of its own; these do not ask it.
bases_of: Callable[[type[Any]], tuple[type[Any], ...]] = type.__dict__["__mro__"].__get__
names_of: Callable[[type[Any]], Mapping[str, Any]] = type.__dict__["__dict__"].__get__

registered: dict[type[Any], Callable[[Any], int]] = {}
"""The program's own functions, by type."""


def reader_of(kind: type[Any]) -> Reader:
    """What reads objects of this type. Cost: about 2 µs, so a walk asks once for each type."""
    weigh = registered_for(kind)
    if weigh is not None:
        return _reader_by(weigh)
    for known, read in _BY_BASE:
        if issubclass(kind, known):
            return read
    if is_holder(kind) or is_named(kind, SHARED_BY_NAME):
        return _read_shared
    for module, name, read in ARRAYS:
        if is_named(kind, ((module, name),)):
            return read
    return _read_instance


def registered_for(kind: type[Any]) -> Callable[[Any], int] | None:
    """The program's function for a type: that of the nearest registered class."""
    for base in bases_of(kind) if registered else ():
        # By identity: a metaclass has ideas of equality. Another thread may register one.
        for known, weigh in tuple(registered.items()):
            if base is known:
                return weigh
    return None


def is_holder(kind: type[Any]) -> bool:
    """Whether its objects count what they hold themselves, as caches do."""
    return any("held_bytes" in names_of(base) for base in bases_of(kind))


def is_named(kind: type[Any], names: Iterable[tuple[str, str]]) -> bool:
    """Whether a type is, or derives from, one that an imported module has under such a name."""
    for module, name in names:
        # A module in the middle of its own import has not named its types yet.
        named = getattr(sys.modules.get(module), name, None)
        if named is not None and issubclass(kind, named):
            return True
    return False


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
    (SHARED_TYPES, _read_shared),
)
