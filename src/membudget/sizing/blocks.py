"""The blocks that single objects occupy: the allocator's size classes and the objects' own bytes.

CPython's small-object allocator hands out multiples of 16 bytes up to 512 (Objects/obmalloc.c);
above that glibc's malloc adds a header of 8 and rounds to 16. An instance of an ordinary class
keeps its attributes in a block of values beside it from 3.11 on, which `sys.getsizeof` leaves out:
one slot more than it has attributes, and a byte each for their order (Objects/dictobject.c).
"""

from __future__ import annotations

import sys
from types import MethodDescriptorType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_SMALL = 512
_MANAGED_DICT = 1 << 4
_VALUES_HEADER = 8 if sys.version_info >= (3, 13) else 0


class _Plain:
    pass


_PREFIX = sys.getsizeof(_Plain()) - object.__sizeof__(_Plain())
"""Bytes before an object that `__sizeof__` leaves out: the collector's header and the like."""


def allocated(size: int) -> int:
    """The bytes the allocator takes for a request of `size` bytes. Cost: 0.1 µs."""
    return (size + 15) & ~15 if size <= _SMALL else (size + 23) & ~15


def own_bytes(item: object, kind: type[Any]) -> int:
    """The bytes of an object without what it refers to; runs no Python code of its class."""
    if type(kind.__sizeof__) is MethodDescriptorType:
        return allocated(sys.getsizeof(item))
    return allocated(object.__sizeof__(item) + _PREFIX)


def values_bytes(kind: type[Any], attributes: int) -> int:
    """The bytes of the block in which an instance keeps its attributes; 0 where it has none."""
    if not kind.__flags__ & _MANAGED_DICT:
        return 0
    slots = attributes + 1
    return allocated(_VALUES_HEADER + (slots + 2 + 7) // 8 * 8 + slots * 8)


def _of_int(value: int) -> int:
    return 0 if -5 <= value <= 256 else (sys.getsizeof(value) + 15) & ~15  # noqa: PLR2004  # the interpreter keeps these ints


def _of_str(value: str) -> int:
    # The empty string and single Latin-1 characters exist once in the interpreter.
    return allocated(sys.getsizeof(value)) if len(value) > 1 or value > "\xff" else 0


def _of_bytes(value: bytes) -> int:
    return allocated(sys.getsizeof(value)) if len(value) > 1 else 0


def _of_number(_value: complex) -> int:
    return 32


def _of_buffer(value: object) -> int:
    return allocated(sys.getsizeof(value))


def _nothing(_value: object) -> int:
    return 0


ATOMS: dict[type[Any], Callable[[Any], int]] = {
    str: _of_str,
    int: _of_int,
    float: _of_number,
    bytes: _of_bytes,
    type(None): _nothing,
    bool: _nothing,
    complex: _of_number,
    bytearray: _of_buffer,
    type: _nothing,
    type(Ellipsis): _nothing,
    type(NotImplemented): _nothing,
}
"""The exact types that refer to nothing, and what one of them weighs."""
