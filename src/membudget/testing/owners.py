"""Whose a container is: "module.name", "Class.attribute", or the function that keeps it."""

from __future__ import annotations

import gc
import sys
from types import CellType, FrameType, FunctionType, ModuleType
from typing import Any

_DEEPEST = 2
_MANY = 20
"""Referrers looked at: what more refer to is no one's own."""

_FEW = 3
"""Containers gone through to whoever holds them: each costs a look at all objects."""


def owner_of(container: object, ignored: set[int], depth: int = 0) -> str:
    """The name of what holds a container, or "a dict" and the like where nobody was found.

    Cost: 1 to 20 ms: every object is asked whether it refers to this one.

    Args:
        container: Any container, or an lru_cache's wrapper.
        ignored: `id` of objects that refer to it only because we look.
        depth: How many containers were gone through already.
    """
    if named := _own_name(container):
        return named
    ignored = {*ignored, id(ignored)}
    referrers = [one for one in gc.get_referrers(container) if id(one) not in ignored]
    ignored.add(id(referrers))
    others = [one for one in referrers[:_MANY] if not isinstance(one, FrameType)]
    ignored.add(id(others))
    found = ""
    for one in others:
        if found := _held_by(one, container, ignored):
            break
    if found or depth >= _DEEPEST:
        return found or f"a {type(container).__name__}"
    containers = [one for one in others if isinstance(one, (dict, list, tuple, set))]
    ignored.add(id(containers))
    for one in containers[:_FEW]:
        if id(one) not in ignored:
            above = owner_of(one, ignored, depth + 1)
            if not above.startswith(("a ", "in a ")):
                return f"in {above}"
    if any(isinstance(one, FrameType) for one in referrers):
        return f"a local {type(container).__name__}"
    return f"a {type(container).__name__}"


def _own_name(one: Any) -> str:
    """The name of what carries one itself: functions and their wrappers, modules."""
    name = getattr(one, "__qualname__", None) if callable(one) else None
    return f"{one.__module__}.{name}" if isinstance(name, str) else ""


def _held_by(one: Any, container: object, ignored: set[int]) -> str:
    """The name if this referrer is a namespace, an object or a closure."""
    if isinstance(one, dict):
        return _in_namespace(one, container, ignored)
    if isinstance(one, CellType):
        return _in_closure(one, ignored)
    if isinstance(one, (list, tuple, set, ModuleType)):
        return _in_defaults(one, ignored) if isinstance(one, tuple) else ""
    attribute = _attribute(one, container)
    return f"{type(one).__module__}.{type(one).__qualname__}.{attribute}" if attribute else ""


def _in_namespace(space: dict[Any, Any], container: object, ignored: set[int]) -> str:
    key = next((key for key, value in space.items() if value is container), None)
    if not isinstance(key, str):
        return ""
    module = sys.modules.get(space.get("__name__", ""))
    if module is not None and vars(module) is space:
        return f"{module.__name__}.{key}"
    for one in gc.get_referrers(space):
        if id(one) in ignored:
            continue
        if isinstance(one, type):
            return f"{one.__module__}.{one.__qualname__}.{key}"
        if getattr(one, "__dict__", None) is space:
            if isinstance(one, FunctionType):
                return f"{one.__module__}.{one.__qualname__}.{key}"
            return f"{type(one).__module__}.{type(one).__qualname__}.{key}"
    return ""


def _in_closure(cell: CellType, ignored: set[int]) -> str:
    for closure in gc.get_referrers(cell):
        if not isinstance(closure, tuple) or id(closure) in ignored:
            continue
        for one in gc.get_referrers(closure):
            if isinstance(one, FunctionType) and one.__closure__ is closure:
                names = one.__code__.co_freevars
                at = next(i for i, held in enumerate(closure) if held is cell)
                return f"{names[at]} of {one.__module__}.{one.__qualname__}"
    return ""


def _in_defaults(values: tuple[Any, ...], ignored: set[int]) -> str:
    for one in gc.get_referrers(values):
        if isinstance(one, FunctionType) and one.__defaults__ is values and id(one) not in ignored:
            return f"a default argument of {one.__module__}.{one.__qualname__}"
    return ""


def _attribute(one: object, container: object) -> str:
    """The attribute under which an object holds a container, or ""."""
    try:
        space = object.__getattribute__(one, "__dict__")
    except AttributeError:
        space = {}
    for key, value in space.items() if isinstance(space, dict) else ():
        if value is container:
            return str(key)
    for kind in type(one).__mro__:
        for key in (kind.__dict__.get("__slots__") or ()) if kind is not object else ():
            if getattr(one, key, None) is container:
                return str(key)
    return ""
