"""How the compiled sizer reads objects of a type: looked up here once for each type.

The compiled walk runs no Python code. When it meets a type for the first time it stops, asks
`kind_of` and begins again; the answer is kept until the class dies or `forget_types` is called.
"""

from __future__ import annotations

import sys
from collections import deque
from functools import lru_cache
from gc import get_referents
from sys import getrefcount
from types import MethodDescriptorType

from membudget import _native
from membudget.sizing.readers import (
    ARRAYS,
    SHARED_BY_NAME,
    SHARED_TYPES,
    allocated,
    bases_of,
    checked,
    is_holder,
    is_named,
    names_of,
    registered_for,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from membudget.sizing.readers import Reader

Kind: TypeAlias = "tuple[int, Callable[[Any], int] | None, MethodDescriptorType | None]"
"""A number known to the compiled sizer; the function to ask; a `__sizeof__` written in C."""

SHARED, OBJECT, DICT, ARRAY, VIEW, ASKED, FOREIGN, LIST, TUPLE, SET, DEQUE = range(11)

_EXACTLY: dict[type[Any], int] = {
    list: LIST,
    tuple: TUPLE,
    set: SET,
    frozenset: SET,
    deque: DEQUE,
}

_VIEWS = (memoryview, type(get_referents(memoryview(b""))[0]))
"""The second stands between a view and what it looks at."""

_name_of: Callable[[type[Any]], str] = type.__dict__["__name__"].__get__
_module_of: Callable[[type[Any]], str] = type.__dict__["__module__"].__get__

_COLLECTOR = 16
"""Bytes before an object that `__sizeof__` leaves out."""

_LENT = 3
"""References to what a view lent and nobody else holds: the tuple it came in, the loop's variable
and the argument."""


def kind_of(kind: type[Any]) -> Kind:
    """How objects of a type are read. Cost: 5 to 15 µs."""
    weigh = registered_for(kind)
    if weigh is not None:
        return ASKED, _checked(weigh), None
    size = _size_method(kind)
    for known, number in _EXACTLY.items():  # By identity: a metaclass has ideas of equality.
        if kind is known:
            return number, None, size
    if issubclass(kind, dict):
        return DICT, None, size
    if any(kind is view for view in _VIEWS):
        return VIEW, None, size
    if _is_shared(kind):
        return SHARED, None, None
    return _kind_in_library(kind) or _kind_by_size(size)


def _kind_in_library(kind: type[Any]) -> Kind | None:
    if is_named(kind, [("numpy", "generic")]):
        return OBJECT, None, None
    if is_named(kind, [("numpy", "ndarray")]) and _arrays_are_known():
        return ARRAY, None, None
    for module, name, read in ARRAYS:
        if is_named(kind, [(module, name)]):
            return ASKED, _by_reader(read), None
    return None


def _kind_by_size(size: MethodDescriptorType | None) -> Kind:
    """Of a type like any other: its `__sizeof__` is called in the walk only if it is trusted."""
    if size is None or _is_trusted(size):
        return OBJECT, None, size
    return FOREIGN, _by_method(size), None


def _is_shared(kind: type[Any]) -> bool:
    if issubclass(kind, SHARED_TYPES) or is_holder(kind) or is_named(kind, SHARED_BY_NAME):
        return True
    # Cython's functions lead to their module's globals.
    return _name_of(kind) == "cython_function_or_method"


def _size_method(kind: type[Any]) -> MethodDescriptorType | None:
    """The nearest `__sizeof__` that is written in C."""
    for base in bases_of(kind):
        method = names_of(base).get("__sizeof__")
        if type(method) is MethodDescriptorType:
            return method
    return None


def _is_trusted(size: MethodDescriptorType) -> bool:
    """Whether it runs no Python code: that of the standard library does not."""
    return _module_of(size.__objclass__).partition(".")[0] in sys.stdlib_module_names


@lru_cache(maxsize=1)
def _arrays_are_known() -> bool:
    """Whether NumPy's arrays are laid out as the compiled sizer knows them."""
    numpy = sys.modules["numpy"]
    core: Any = _native.core
    whole = numpy.empty(3, dtype=object)
    return bool(core.read_arrays(numpy.ndarray.__dict__["nbytes"], whole, whole[1:]))


def _checked(weigh: Callable[[Any], int]) -> Callable[[Any], int]:
    def ask(item: Any) -> int:
        return checked(weigh(item), f"the size registered for {type(item).__name__}")

    return ask


def _by_reader(read: Reader) -> Callable[[Any], int]:
    def ask(item: Any) -> int:
        size, _, _, lent = read(item, 0)
        for base in lent:
            if getrefcount(base) <= _LENT:
                size += read(base, 0)[0]
        return size

    return ask


def _by_method(method: MethodDescriptorType) -> Callable[[Any], int]:
    def ask(item: Any) -> int:
        try:
            return allocated(int(method(item)) + _COLLECTOR)
        except Exception:  # noqa: BLE001  # a library's own trouble must not keep a value out
            return 0

    return ask
