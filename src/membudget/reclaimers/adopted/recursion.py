"""Whether a function comes back to itself, as far as its code tells.

Before CPython 3.13, a call through an object of ours counts for the recursion limit, so a function
that recurses through its own cache would go a third less deep. Such functions are left alone.

Asked at the first miss, when the names of a module are all bound: then what a name stands for can
be followed, through functions, methods of the same class and other caches. What is called through
attributes of other objects is not seen.
"""

from __future__ import annotations

import builtins
import opcode
import sys
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from membudget.reclaimers.adopted.wrappers import WRAPPER

if TYPE_CHECKING:
    from collections.abc import Iterator

MATTERS = sys.version_info < (3, 13)
"""Whether the question needs an answer on this interpreter."""

_LOAD_GLOBAL = opcode.opmap["LOAD_GLOBAL"]
_EXTENDED = opcode.opmap["EXTENDED_ARG"]
_MOST = 300
"""Functions that are followed: 3 ms at most, once for each cache."""


def comes_back(function: Any) -> bool:
    """Whether a call of it may lead to another one. Cost: about 10 µs for each function followed.

    Args:
        function: A callable; of what is no function, nothing is known.
    """
    called = [one] if (one := _function_in(function)) is not None else []
    origin = called[0].__code__ if called else None
    owner = getattr(function, "__self__", None)
    for current in called:  # It grows meanwhile.
        codes = list(_all_of(current.__code__))
        for value in (*_values(current, codes), *_attributes(current, codes, owner)):
            inner = _function_in(value)
            if inner is None:
                continue
            if inner.__code__ is origin:
                return True
            if inner not in called and len(called) < _MOST:
                called.append(inner)
    return False


def _function_in(value: Any) -> FunctionType | None:
    """The Python function that a callable comes down to, past caches, methods and partials."""
    while True:
        kind = type(value)
        if kind is partial:
            value = value.func
        elif kind is WRAPPER:
            value = vars(value).get("__wrapped__")
        elif kind in (MethodType, staticmethod, classmethod):
            value = value.__func__
        else:
            return value if kind is FunctionType else None


def _values(function: FunctionType, codes: list[CodeType]) -> Iterator[Any]:
    """What its global and free names stand for now."""
    for name in {name for code in codes for name in _globals_in(code)}:
        found = function.__globals__.get(name)
        yield found if found is not None else getattr(builtins, name, None)
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # Not bound yet.
            continue


def _attributes(function: FunctionType, codes: list[CodeType], owner: Any) -> Iterator[Any]:
    """What its attribute names stand for in its own class and, of a bound method, its object."""
    *path, _ = function.__qualname__.split(".")
    place: Any = function.__globals__
    for part in path:
        value = place.get(part)
        place = type.__getattribute__(value, "__dict__") if isinstance(value, type) else {}
    places = [place] if path else []
    if owner is not None:
        places += [vars(one) for one in (owner, *type(owner).__mro__) if hasattr(one, "__dict__")]
    for name in {name for code in codes for name in code.co_names}:
        yield from (place[name] for place in places if name in place)


def _all_of(code: CodeType) -> Iterator[CodeType]:
    """The code and all that is defined in it, such as generator expressions."""
    yield code
    for constant in code.co_consts:
        if type(constant) is CodeType:
            yield from _all_of(constant)


def _globals_in(code: CodeType) -> Iterator[str]:
    extended = 0
    for operation, argument in zip(code.co_code[::2], code.co_code[1::2], strict=True):
        if operation == _LOAD_GLOBAL:
            yield code.co_names[(extended | argument) >> 1]
        extended = (extended | argument) << 8 if operation == _EXTENDED else 0
