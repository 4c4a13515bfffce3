"""The blocks that single objects occupy: the allocator's size classes and the objects' own bytes.

CPython's small-object allocator hands out multiples of 16 bytes up to 512 (Objects/obmalloc.c);
above that glibc's malloc adds a header of 8 and rounds to 16. An instance of an ordinary class
keeps its attributes in a block of values beside it from 3.11 on, which `sys.getsizeof` leaves out:
one slot more than it has attributes, and a byte each for their order (Objects/dictobject.c).
"""

from __future__ import annotations

import sys
from types import MethodDescriptorType
from typing import Any

from membudget.errors import ConfigError

SMALL = 512
_MANAGED_DICT = 1 << 4
_VALUES_HEADER = 8 if sys.version_info >= (3, 13) else 0


class _Plain:
    pass


_PREFIX = sys.getsizeof(_Plain()) - object.__sizeof__(_Plain())
"""Bytes before an object that `__sizeof__` leaves out: the collector's header and the like."""


def allocated(size: int) -> int:
    """The bytes the allocator takes for a request of `size` bytes. Cost: 0.1 µs."""
    return (size + 15) & ~15 if size <= SMALL else (size + 23) & ~15


def malloced(size: int) -> int:
    """The bytes glibc's malloc takes for a request of `size` bytes of a library's own; 0 for 0."""
    return max(32, (size + 23) & ~15) if size else 0


def checked(size: object, name: str) -> int:
    """A size that a function of the program returned.

    Raises:
        ConfigError: It is not an int, or below zero.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise ConfigError(f"{name} came out as {size!r}: return bytes as an int, at least 0")
    return size


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


ATOMS = frozenset({str, int, float, bytes, complex, bytearray})
"""The exact types that refer to nothing and of which there are many."""

_ONCE = (
    *(None, True, False, Ellipsis, NotImplemented, (), "", b""),
    *range(-5, 257),
    # Of a character there may be two: the static one and, from a module's names, another.
    *map(chr, range(256)),
    *map(sys.intern, map(chr, range(256))),
    *(bytes((code,)) for code in range(256)),
)

SINGLETONS = frozenset(map(id, _ONCE))
"""The identities of objects that exist once in the interpreter and weigh nothing."""
