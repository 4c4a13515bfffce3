"""What is known of objects without running their code: blocks, buffers of libraries, types.

CPython's small-object allocator hands out multiples of 16 bytes up to 512 (Objects/obmalloc.c);
above that glibc's malloc adds a header of 8 and rounds to 16.

NumPy, PyTorch and Arrow hold buffers outside Python objects. A library is looked up in
`sys.modules` and never imported: a program that has not imported it cannot hold its objects.
DataFrames and Series need nothing of their own, since the walk finds the arrays they consist of;
asking pandas would run its Python code and make its indexes grow.
"""

from __future__ import annotations

import sys
from collections import deque
from types import (
    BuiltinFunctionType,
    CodeType,
    FrameType,
    FunctionType,
    MethodDescriptorType,
    ModuleType,
)

from membudget.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, TypeAlias

Parts: TypeAlias = "tuple[int, Sequence[Any], int, Sequence[Any]]"
"""Bytes of an object itself; what it refers to, or the first of that, and how many that is in
truth; what it may only have borrowed."""

Reader: TypeAlias = "Callable[[Any, int], Parts]"
"""Takes an object and how many of its parts are wanted at most."""

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

# A metaclass may answer for its classes with code of its own; these do not ask it.
bases_of: Callable[[type[Any]], tuple[type[Any], ...]] = type.__dict__["__mro__"].__get__
names_of: Callable[[type[Any]], Mapping[str, Any]] = type.__dict__["__dict__"].__get__

registered: dict[type[Any], Callable[[Any], int]] = {}
"""The program's own functions, by type."""

CONTAINERS = frozenset({dict, list, tuple, set, frozenset, deque})
"""The exact types of built-in containers."""

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


_SMALL = 512


class _Plain:
    pass


_PREFIX = sys.getsizeof(_Plain()) - object.__sizeof__(_Plain())
"""Bytes before an object that `__sizeof__` leaves out: the collector's header and the like."""


def allocated(size: int) -> int:
    """The bytes the allocator takes for a request of `size` bytes. Cost: 0.1 µs."""
    return (size + 15) & ~15 if size <= _SMALL else (size + 23) & ~15


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


def _read_numpy(array: Any, room: int) -> Parts:
    # Shape and strides, and the data where they are its own, are blocks that malloc gave.
    size = allocated(type(array).__basicsize__) + malloced(16 * array.ndim)
    if not array.flags.owndata:
        # The items of a view belong to what it looks at.
        return size, (), 0, () if array.base is None else (array.base,)
    items = array.flat[:room].tolist() if array.dtype == object else ()
    return size + malloced(array.nbytes), items, array.size if items else 0, ()


def _read_torch(tensor: Any, _room: int) -> Parts:
    size = own_bytes(tensor, type(tensor))
    if tensor._is_view():  # noqa: SLF001  # how PyTorch's documentation asks for it
        return size, (), 0, (tensor._base,)  # noqa: SLF001  # likewise
    if tensor.device.type == "cpu":
        size += allocated(tensor.untyped_storage().nbytes())
    return size, (), 0, ()


def _read_arrow(array: Any, _room: int) -> Parts:
    return own_bytes(array, type(array)) + array.nbytes, (), 0, ()


ARRAYS: tuple[tuple[str, str, Reader], ...] = (
    ("numpy", "ndarray", _read_numpy),
    ("torch", "Tensor", _read_torch),
    ("pyarrow", "ChunkedArray", _read_arrow),
    ("pyarrow", "Array", _read_arrow),
    ("pyarrow", "Table", _read_arrow),
    ("pyarrow", "RecordBatch", _read_arrow),
)
"""Module, type and what reads objects of that type."""
