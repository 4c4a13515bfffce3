"""What is known of objects without running their code: blocks, buffers of libraries, types.

CPython hands out multiples of 16 bytes up to 512 (Objects/obmalloc.c); above, glibc's malloc adds a
header of 8. A library is looked up in `sys.modules`: one not imported has no objects here. The
compiled walk asks `kind_of` when it meets a type for the first time, and keeps the answer.
"""

from __future__ import annotations

import sys
from collections import deque
from functools import lru_cache
from gc import get_referents
from sys import getrefcount, getsizeof
from types import (
    BuiltinFunctionType,
    CodeType,
    FrameType,
    FunctionType,
    MethodDescriptorType,
    ModuleType,
)

from membudget import _native
from membudget.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, TypeAlias

Parts: TypeAlias = "tuple[int, Sequence[Any], int, Sequence[Any]]"
"""Bytes of an object itself; what it refers to, or the first of that, and how many that is in
truth; what it may only have borrowed."""

Reader: TypeAlias = "Callable[[Any, int], Parts]"
"""Takes an object and how many of its parts are wanted at most."""

Kind: TypeAlias = "tuple[int, Callable[[Any], int] | None, MethodDescriptorType | None]"
"""A number known to the compiled sizer; the function to ask; a `__sizeof__` written in C."""

SHARED, OBJECT, DICT, ARRAY, VIEW, ASKED, FOREIGN, LIST, TUPLE, SET, DEQUE = range(11)

Codes: TypeAlias = dict[type, int]
CONTAINERS: Codes = {dict: DICT, list: LIST, tuple: TUPLE, set: SET, frozenset: SET, deque: DEQUE}
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

_SHARED_TYPES = (type, ModuleType, FunctionType, BuiltinFunctionType, CodeType, FrameType)
_SHARED_BY_NAME = (
    ("enum", "Enum"),
    ("logging", "Logger"),
    ("datetime", "tzinfo"),
    ("threading", "Thread"),
    ("asyncio", "AbstractEventLoop"),
    ("numpy", "dtype"),
)
"""What everybody shares, the latter where the program has imported it: module and type."""

_VIEWS = (memoryview, type(get_referents(memoryview(b""))[0]))
"""The second stands between a view and what it looks at."""

_COLLECTOR = 16  # Bytes before an object that `__sizeof__` leaves out.
_LENT = 3  # References to what a view lent and nobody else holds: a tuple, a variable, an argument.
_SMALL = 512
registered: dict[type[Any], Callable[[Any], int]] = {}  # The program's own functions, by type.

# A metaclass may answer for its classes with code of its own; these do not ask it.
_bases_of: Callable[[type[Any]], tuple[type[Any], ...]] = type.__dict__["__mro__"].__get__
_names_of: Callable[[type[Any]], Mapping[str, Any]] = type.__dict__["__dict__"].__get__
_name_of: Callable[[type[Any]], str] = type.__dict__["__name__"].__get__
_module_of: Callable[[type[Any]], str] = type.__dict__["__module__"].__get__
_PLAIN: Any = type("Plain", (), {})()
_PREFIX = getsizeof(_PLAIN) - object.__sizeof__(_PLAIN)
"""Bytes before an object that `__sizeof__` leaves out: the collector's header and the like."""


def allocated(size: int) -> int:
    """The bytes the allocator takes for a request of `size` bytes. Cost: 0.1 µs."""
    return (size + 15) & ~15 if size <= _SMALL else (size + 23) & ~15


def malloced(size: int) -> int:
    """The bytes glibc's malloc takes for a request of `size` bytes of a library's own; 0 for 0."""
    return max(32, (size + 23) & ~15) if size else 0


def checked(size: object, name: str) -> int:
    """A size that a function of the program returned; refused where it is no int from 0 on."""
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise ConfigError(f"{name} came out as {size!r}: return bytes as an int, at least 0")
    return size


def own_bytes(item: object, kind: type[Any]) -> int:
    """The bytes of an object without what it refers to; runs no Python code of its class."""
    if type(kind.__sizeof__) is MethodDescriptorType:
        return allocated(getsizeof(item))
    return allocated(object.__sizeof__(item) + _PREFIX)


def asked_of(kind: type[Any]) -> Callable[[Any], int] | None:
    """What asks the program's function for a type: that of the nearest registered class."""
    for base in _bases_of(kind) if registered else ():
        # By identity: a metaclass has ideas of equality. Another thread may register one.
        for known, weigh in tuple(registered.items()):
            if base is known:
                return lambda item: checked(
                    weigh(item), f"the size registered for {type(item).__name__}"
                )
    return None


def is_shared(kind: type[Any]) -> bool:
    """Whether its objects weigh nothing: everybody's, or, as caches, counting what they hold."""
    return (
        issubclass(kind, _SHARED_TYPES)
        or any("held_bytes" in _names_of(base) for base in _bases_of(kind))
        or any(is_named(kind, module, name) for module, name in _SHARED_BY_NAME)
        # Cython's functions lead to their module's globals.
        or _name_of(kind) == "cython_function_or_method"
    )


def is_named(kind: type[Any], module: str, name: str) -> bool:
    """Whether a type is, or derives from, one that an imported module has under such a name."""
    # A module in the middle of its own import has not named its types yet.
    named = getattr(sys.modules.get(module), name, None)
    return named is not None and issubclass(kind, named)


def kind_of(kind: type[Any]) -> Kind:
    """How the compiled sizer reads objects of a type. Cost: 5 to 15 µs."""
    ask = asked_of(kind)
    if ask is not None:
        return ASKED, ask, None
    methods = [_names_of(base).get("__sizeof__") for base in _bases_of(kind)]
    size = next((one for one in methods if type(one) is MethodDescriptorType), None)
    for known, number in CONTAINERS.items():  # By identity, as above.
        if kind is known:
            return number, None, size
    if issubclass(kind, dict):
        return DICT, None, size
    if any(kind is view for view in _VIEWS):
        return VIEW, None, size
    if is_shared(kind):
        return SHARED, None, None
    return _kind_in_library(kind) or _kind_by_size(size)


def _kind_in_library(kind: type[Any]) -> Kind | None:
    if is_named(kind, "numpy", "generic"):
        return OBJECT, None, None
    if is_named(kind, "numpy", "ndarray") and _arrays_are_known():
        return ARRAY, None, None
    read = reader_by_name(kind)
    return None if read is None else (ASKED, _by_reader(read), None)


def _kind_by_size(size: MethodDescriptorType | None) -> Kind:
    """Of any other type: in the walk only a `__sizeof__` of the standard library is called."""
    if size is None or (_module_of(size.__objclass__).partition(".")[0] in sys.stdlib_module_names):
        return OBJECT, None, size

    def ask(item: Any) -> int:
        try:
            return allocated(int(size(item)) + _COLLECTOR)
        except Exception:  # noqa: BLE001  # a library's own trouble must not keep a value out
            return 0

    return FOREIGN, ask, None


def _by_reader(read: Reader) -> Callable[[Any], int]:
    def ask(item: Any) -> int:
        size, _, _, lent = read(item, 0)
        for base in lent:
            if getrefcount(base) <= _LENT:
                size += read(base, 0)[0]
        return size

    return ask


@lru_cache(maxsize=1)
def _arrays_are_known() -> bool:
    """Whether NumPy's arrays are laid out as the compiled sizer knows them."""
    numpy = sys.modules["numpy"]
    core: Any = _native.core
    whole = numpy.empty(3, dtype=object)
    return bool(core.read_arrays(numpy.ndarray.__dict__["nbytes"], whole, whole[1:]))


def reader_by_name(kind: type[Any]) -> Reader | None:
    """What reads objects of a type whose parts the collector does not know."""
    found = (read for module, name, read in _READERS if is_named(kind, module, name))
    return next(found, None)


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


def _read_range(one: range, _room: int) -> Parts:
    # The collector does not know of ranges, so no walk meets their numbers; the last is its length.
    numbers = (one.start, one.stop, one.step, max(0, (one.stop - one.start) // one.step))
    parts = [own_bytes(number, type(number)) for number in numbers if id(number) not in SINGLETONS]
    return own_bytes(one, range) + sum(parts), (), 0, ()


_READERS: tuple[tuple[str, str, Reader], ...] = (
    ("builtins", "range", _read_range),
    ("numpy", "ndarray", _read_numpy),
    ("torch", "Tensor", _read_torch),
    *(("pyarrow", one, _read_arrow) for one in ("ChunkedArray", "Array", "Table", "RecordBatch")),
)
"""Module, type and what reads objects of it: what a walk does not find by itself."""
