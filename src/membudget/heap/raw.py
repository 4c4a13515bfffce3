"""Reads of foreign objects that run no line of the program's own.

A type is asked by the descriptors of `type` itself, past its metaclass; a container by its builtin
method, past what a subclass overrides; an attribute only where no class of the object defines the
name, so that no property and no `__getattr__` is called. Nothing here makes an instance's
`__dict__`: from CPython 3.11 on, attributes live in the object until somebody asks for that dict,
and `gc.get_referents` hands out the values without it.
"""

from __future__ import annotations

import functools
import os
import sys
from collections import deque
from gc import get_referents
from types import FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import CodeType

_HAS_GC = 1 << 14
"""Py_TPFLAGS_HAVE_GC: the object can refer to others."""

_IMMUTABLE = 1 << 8
"""Py_TPFLAGS_IMMUTABLETYPE."""

OURS = __name__.partition(".")[0]
HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
"""The folder of this library."""

CACHE = functools._lru_cache_wrapper  # noqa: SLF001  # the type that lru_cache makes

_flags: Callable[[type], int] = type.__dict__["__flags__"].__get__
_weak_offset: Callable[[type], int] = type.__dict__["__weakrefoffset__"].__get__
_mro: Callable[[type], tuple[type, ...]] = type.__dict__["__mro__"].__get__
_namespace: Callable[[type], Mapping[Any, Any]] = type.__dict__["__dict__"].__get__
_name: Callable[[type], str] = type.__dict__["__name__"].__get__
_qualname: Callable[[type], Any] = type.__dict__["__qualname__"].__get__
_module: Callable[[type], Any] = type.__dict__["__module__"].__get__
_module_namespace: Callable[[Any], dict[str, Any]]
_module_namespace = ModuleType.__dict__["__dict__"].__get__  # type: ignore[index]  # a descriptor

LENGTHS: dict[type, Callable[[Any], int]] = {
    dict: dict.__len__,
    list: list.__len__,
    set: set.__len__,
    deque: deque.__len__,
    tuple: tuple.__len__,
    frozenset: frozenset.__len__,
}
"""The builtin containers and how each counts its items."""


def is_one_of(kind: type, kinds: Iterable[type]) -> bool:
    """Whether a type is one of these; `in` would ask the metaclass, which may define `__eq__`."""
    return any(kind is one for one in kinds)


def refers(kind: type) -> bool:
    """Whether objects of this type can refer to others."""
    return bool(_flags(kind) & _HAS_GC)


def referents(obj: object) -> list[Any]:
    """What an object refers to; of a module nothing, since its C code may list dead objects."""
    return [] if issubclass(type(obj), ModuleType) else get_referents(obj)


def is_fixed(kind: type) -> bool:
    """Whether nobody can have put a method of their own into a type: it is the interpreter's."""
    return bool(_flags(kind) & _IMMUTABLE)


def takes_weak_references(kind: type) -> bool:
    """Whether objects of this type can be referred to weakly."""
    return _weak_offset(kind) != 0


def bases_of(kind: type) -> tuple[type, ...]:
    """A type and all it derives from, in the order in which attributes are looked up."""
    return _mro(kind)


def namespace_of(kind: type) -> Mapping[Any, Any]:
    """What a class defines itself, read only."""
    return _namespace(kind)


def globals_of(module: object) -> dict[str, Any]:
    """A module's namespace, itself; empty for what is no module and only stands in its place."""
    return _module_namespace(module) if issubclass(type(module), ModuleType) else {}


def module_of(kind: type) -> str:
    """The module that a type says it is from; empty where it says nothing readable."""
    try:
        module = _module(kind)
    except AttributeError:
        return ""
    return module if type(module) is str else ""


def qualname_of(kind: type) -> str:
    """A type's name within its module."""
    name = _qualname(kind)
    return name if type(name) is str else _name(kind)


def type_name(kind: type) -> str:
    """A type as module.Class; builtins by their bare name."""
    module, name = module_of(kind), qualname_of(kind)
    return name if module in ("builtins", "") else f"{module}.{name}"


def container_of(kind: type) -> type | None:
    """The builtin container that a type is or derives from, or None."""
    for base in _mro(kind):
        for builtin in LENGTHS:
            if base is builtin:
                return builtin
    return None


def is_ours(kind: type) -> bool:
    """Whether a type or one that it derives from is part of this library."""
    return any(is_our_module(module_of(base)) for base in _mro(kind))


def is_our_module(name: str) -> bool:
    """Whether a module's name is one of this library's."""
    return name == OURS or name.startswith(OURS + ".")


def is_our_code(code: CodeType) -> bool:
    """Whether code is this library's own."""
    return code.co_filename.startswith(HERE)


def is_standard(kind: type) -> bool:
    """Whether a type comes from the interpreter or its standard library."""
    return is_standard_module(module_of(kind))


def is_standard_module(name: object) -> bool:
    """Whether a module's name is the interpreter's or one of its standard library's."""
    root = name.partition(".")[0] if type(name) is str else ""
    return root in {"", "builtins"} or (root in sys.stdlib_module_names and root != "__main__")


def read(obj: object, name: str) -> Any:
    """An instance attribute where reading it is a plain look-up, else None.

    Properties and methods are none: reading one would run it. Cost: below 1 µs a class that
    the object derives from.
    """
    for base in _mro(type(obj)):
        if name in _namespace(base):
            if _is_descriptor(type(_namespace(base)[name])):
                return None
            break  # A plain default: the look-up finds the object's own value before it.
    try:
        return object.__getattribute__(obj, name)
    except AttributeError:
        return None


def _is_descriptor(kind: type) -> bool:
    """Whether a class's attribute of this type would be asked when an object's is read."""
    return any(part in _namespace(base) for base in _mro(kind) for part in ("__get__", "__set__"))


def slots_of(kind: type) -> Iterator[tuple[str, Any]]:
    """The slots of a type, each as its name and descriptor; reading one runs no foreign code."""
    for base in _mro(kind):
        for name, member in list(_namespace(base).items()):
            if type(member) is MemberDescriptorType and type(name) is str:
                yield name, member


def slot(member: Any, obj: object) -> Any:
    """What a slot holds, or None where it is empty."""
    try:
        return MemberDescriptorType.__get__(member, obj, type(obj))
    except (AttributeError, TypeError):
        return None


def function_name(called: object) -> str:
    """A function, method or partial as module.qualname; anything else by its type."""
    for _ in range(5):
        kind = type(called)
        if kind is MethodType:
            called = called.__func__  # type: ignore[attr-defined]  # an exact method
        elif module_of(kind) == "functools" and qualname_of(kind) == "partial":
            called = called.func  # type: ignore[attr-defined]  # a slot of functools.partial
        else:
            break
    if type(called) is FunctionType:
        module, name = called.__module__, called.__qualname__.replace(".<locals>", "")
        return f"{module}.{name}" if type(module) is str else name
    return f"<{type_name(type(called))}>"


def cache_sizes(wrapper: Any) -> tuple[int, int | None]:
    """The entries of a cache of functools, and how many it may have; its own figures stay."""
    _, _, most, entries = CACHE.cache_info(wrapper)
    return entries, most


_MANY = 10_000
"""Entries of a bounded cache up to which it is entered: `gc.get_referents` lists them all."""


def is_heavy(cache: Any) -> bool:
    """Whether listing what a cache of functools refers to would hold the GIL for long."""
    entries, most = cache_sizes(cache)
    return most is not None and entries > _MANY


_MOST = 4096
"""Types kept at a time: a program that makes a class for each request leaves dead ones behind."""

_FIXED = (tuple, frozenset)
"""Containers that never grow."""

SPECIAL = frozenset({"functools._lru_cache_wrapper", "_asyncio.Task", "asyncio.tasks.Task"})
"""Types whose every object is met."""


class Kind:
    """One type: whether it is passed over, how its items are counted, how many were seen.

    Attributes:
        leaf: Its objects are neither counted nor entered.
        builtin: The builtin container it derives from, or None.
        length: Counts the items of one, or None.
        is_module: Whether its objects are modules, of which only the namespace is entered.
        grows: Whether it is a container that can grow.
        special: Whether each object of it is met.
        notice: The count at which one is met, to be shown as an example; 0 for never.
    """

    __slots__ = (
        "builtin",
        "count",
        "grows",
        "is_module",
        "leaf",
        "length",
        "name",
        "notice",
        "special",
        "type",
    )

    def __init__(self, kind: type, before: Mapping[str, int]) -> None:
        self.type = kind
        self.leaf = not refers(kind) or is_ours(kind)
        self.builtin = None if self.leaf else container_of(kind)
        self.length: Callable[[object], int] | None = None
        if self.builtin is not None:
            # The built-in len() is quicker, and safe where nothing overrides it.
            self.length = len if kind is self.builtin else LENGTHS[self.builtin]  # type: ignore[assignment]
        self.is_module = issubclass(kind, ModuleType)
        self.grows = self.builtin is not None and self.builtin not in _FIXED
        self.name = "" if self.leaf else type_name(kind)
        self.special = self.name in SPECIAL
        self.count = 0
        self.notice = before[self.name] + 1 if self.name in before else 0


class Kinds:
    """The types met so far. One thread at a time; keeps at most 4096 of them alive.

    Args:
        before: Counts by name of an earlier census.

    Attributes:
        known: By the type's id.
        leaves: The ids of the types among them that are passed over.
    """

    def __init__(self, before: Mapping[str, int]) -> None:
        self.known: dict[int, Kind] = {}
        self.leaves: set[int] = set()
        self._before = before
        self._counted: dict[str, int] = {}

    def of(self, kind: type) -> Kind:
        """What is known of a type; by its id, since a metaclass may define `__hash__`."""
        one = self.known.get(id(kind))
        if one is None:
            if len(self.known) >= _MOST:
                self._settle()
            one = self.known[id(kind)] = Kind(kind, self._before)
            if one.leaf:
                self.leaves.add(id(kind))
        return one

    def counts(self) -> dict[str, int]:
        """Objects seen, by the name of their type."""
        self._settle()
        return self._counted

    def _settle(self) -> None:
        for one in self.known.values():
            if one.count:
                self._counted[one.name] = self._counted.get(one.name, 0) + one.count
        self.known.clear()
        self.leaves.clear()
