"""The name of the attribute by which an object refers to another.

Values that live in the object have no names that could be listed without making its `__dict__`. So
the names are guessed from the code of its class: each method's `co_names` holds those it stores,
and reading back tells which it is. Where that fails the functions of its module are searched.
"""

from __future__ import annotations

import sys
from itertools import islice
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from membudget.heap import raw

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MOST = 500
"""Names of one class or module that are tried: 0.3 ms."""

_CLASSES = 2000
"""Classes whose names are remembered."""

_TRIES = 3
"""Times that a module is searched in vain for one class."""

_DEEP = 4
"""Functions within functions that are searched."""


class AttributeNames:
    """Finds names, and remembers which a class has. One thread at a time; keeps only texts."""

    def __init__(self) -> None:
        self._by_class: dict[str, list[str]] = {}
        self._by_module: dict[str, list[str]] = {}
        self._vain: dict[str, int] = {}

    def of(self, holder: Any, value: Any) -> str | None:
        """The attribute of `holder` that is this very value, or None.

        Cost: 0.3 µs a name that the class's code knows.
        """
        kind = type(holder)
        for name, member in raw.slots_of(kind):
            if raw.slot(member, holder) is value:
                return name
        name_of_class = raw.type_name(kind)
        names = self._by_class.get(name_of_class)
        if names is None:
            if len(self._by_class) >= _CLASSES:
                self._by_class.clear()
            names = self._by_class[name_of_class] = list(_of_class(kind))
        found = _tried(holder, value, names)
        if found is None and self._vain.get(name_of_class, 0) < _TRIES:
            found = _tried(holder, value, self._in_module(raw.module_of(kind)))
            if found is None:
                self._vain[name_of_class] = self._vain.get(name_of_class, 0) + 1
        if found is not None and (not names or names[0] != found):
            if found in names:
                names.remove(found)
            names.insert(0, found)  # The next object of this class is asked for it first.
        return found

    def own_dict(self, holder: Any, value: dict[Any, Any]) -> bool:
        """Whether a dict that an object refers to is its `__dict__`: its keys read back."""
        try:
            # No more than these are listed: it may be the program's largest dict.
            first = list(islice(dict.items(value), DOUBTS))
        except RuntimeError:  # It was changed meanwhile.
            return False
        return any(
            type(key) is str and item is not None and raw.read(holder, key) is item
            for key, item in first
        )

    def _in_module(self, module: str) -> list[str]:
        names = self._by_module.get(module)
        if names is None:
            names = self._by_module[module] = list(_of_module(module))
        return names


DOUBTS = 20
"""Keys of a dict that are read back before it is taken for one that an attribute holds."""


def _tried(holder: Any, value: Any, names: Iterable[str]) -> str | None:
    for name in names:
        if raw.read(holder, name) is value:
            return name
    return None


def _of_class(kind: type) -> Iterator[str]:
    seen: set[str] = set()
    for base in raw.bases_of(kind):
        for member in list(raw.namespace_of(base).values()):
            yield from _of_function(_unbound(member), seen)
        noted = raw.namespace_of(base).get("__annotations__")
        if type(noted) is dict:
            yield from (key for key in list(noted) if type(key) is str and key not in seen)


def _of_module(name: str) -> Iterator[str]:
    seen: set[str] = set()
    for value in list(raw.globals_of(sys.modules.get(name)).values()):
        if len(seen) >= _MOST:
            return
        yield from _of_function(_unbound(value), seen)
        if issubclass(type(value), type) and raw.module_of(value) == name:
            for member in list(raw.namespace_of(value).values()):
                yield from _of_function(_unbound(member), seen)


def _unbound(member: object) -> object:
    if raw.is_one_of(type(member), (staticmethod, classmethod)):
        return member.__func__  # type: ignore[attr-defined]
    if type(member) is property:
        return member.fget
    return member


def _of_function(function: object, seen: set[str]) -> Iterator[str]:
    if type(function) is FunctionType:
        yield from _of_code(function.__code__, seen, _DEEP)


def _of_code(code: CodeType, seen: set[str], deep: int) -> Iterator[str]:
    for name in code.co_names:
        if name not in seen and len(seen) < _MOST:
            seen.add(name)
            yield name
    if deep:
        for constant in code.co_consts:
            if type(constant) is CodeType:
                yield from _of_code(constant, seen, deep - 1)
