"""Reads of foreign objects that run no line of the program's own.

A type is asked by the descriptors of `type` itself, past its metaclass; a container by its builtin
method; an attribute only where no class of the object defines the name, so that no property and no
`__getattr__` is called. Nothing makes an instance's `__dict__`: attributes live in the object until
somebody asks for that dict, and `gc.get_referents` hands out the values without it.
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
    from collections.abc import Callable, Iterable, Mapping
    from types import CodeType

_HAS_GC = 1 << 14  # Py_TPFLAGS_HAVE_GC: the object can refer to others
_IMMUTABLE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE
OURS = __name__.partition(".")[0]
HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
"""The folder of this library."""

CACHE = functools._lru_cache_wrapper  # noqa: SLF001  # the type that lru_cache makes

_flags: Callable[[type], int] = type.__dict__["__flags__"].__get__
_weak_offset: Callable[[type], int] = type.__dict__["__weakrefoffset__"].__get__
_name: Callable[[type], str] = type.__dict__["__name__"].__get__
_qualname: Callable[[type], Any] = type.__dict__["__qualname__"].__get__
_module: Callable[[type], Any] = type.__dict__["__module__"].__get__
_module_namespace: Callable[[Any], dict[str, Any]]
_module_namespace = ModuleType.__dict__["__dict__"].__get__  # type: ignore[index]  # a descriptor

bases_of: Callable[[type], tuple[type, ...]] = type.__dict__["__mro__"].__get__
"""A type and all it derives from, in the order in which attributes are looked up."""

namespace_of: Callable[[type], Mapping[Any, Any]] = type.__dict__["__dict__"].__get__
"""What a class defines itself, read only."""

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


def type_name(kind: type) -> str:
    """A type as module.Class; builtins by their bare name."""
    module, name = module_of(kind), _qualname(kind)
    if type(name) is not str:
        name = _name(kind)
    return name if module in ("builtins", "") else f"{module}.{name}"


def container_of(kind: type) -> type | None:
    """The builtin container that a type is or derives from, or None."""
    for base in bases_of(kind):
        for builtin in LENGTHS:
            if base is builtin:
                return builtin
    return None


def is_ours(kind: type) -> bool:
    """Whether a type or one that it derives from is part of this library."""
    return any(is_our_module(module_of(base)) for base in bases_of(kind))


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
    """An instance attribute where reading it is a plain look-up, else None: nothing is run.

    Cost: below 1 µs a class that the object derives from.
    """
    for base in bases_of(type(obj)):
        if name in namespace_of(base):
            if _is_descriptor(type(namespace_of(base)[name])):
                return None
            break  # A plain default: the look-up finds the object's own value before it.
    try:
        return object.__getattribute__(obj, name)
    except AttributeError:
        return None


def _is_descriptor(kind: type) -> bool:
    """Whether a class's attribute of this type would be asked when an object's is read."""
    return any(
        part in namespace_of(base) for base in bases_of(kind) for part in ("__get__", "__set__")
    )


def slot_of(obj: object, value: object) -> str | None:
    """The slot of an object that holds this very value, or None; reading one runs no code."""
    for base in bases_of(type(obj)):
        for name, member in list(namespace_of(base).items()):
            if type(member) is MemberDescriptorType and type(name) is str:
                try:
                    if MemberDescriptorType.__get__(member, obj, type(obj)) is value:
                        return name
                except (AttributeError, TypeError):  # It is empty.
                    pass
    return None


def function_name(called: object) -> str:
    """A function, method or partial as module.qualname; anything else by its type."""
    for _ in range(5):
        if type(called) is MethodType:
            called = called.__func__
        elif type(called) is functools.partial:
            called = called.func
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
