"""The names of a program's modules: read past every `__getattr__` of the program's own.

A look must not load a lazy module or wake a proxy.
"""

from __future__ import annotations

import sys
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

FIRST = 5.0  # Seconds to the first search: by then a program has imported what it needs.
_LATE = 60.0  # Seconds after which what a program was to make at its start is missed.
_FEW_NAMED = 5


class NamedCaches:
    """A chore that looks whether the names given are caches, until all are, or were told as wrong.

    Each is told once: what is not there may still come, and is then shrunk as asked.
    """

    name = "names of caches"

    def __init__(
        self, names: Sequence[str], note: Callable[[str, str], None], now: Callable[[], float]
    ) -> None:
        self._left, self._note, self._now = list(names), note, now
        self._began = now()
        self._next = self._began + FIRST

    def due(self, now: float) -> bool:
        """Whether some were not found yet, and it is time to look again."""
        return bool(self._left) and now >= self._next

    def run(self, until: float) -> int:  # noqa: ARG002  # a name takes microseconds
        """Look at those left."""
        now = self._now()
        self._next = now + FIRST
        for name in tuple(self._left):
            wrong = _wrong_with(name, is_late=now - self._began >= _LATE)
            if wrong is not None:
                self._left.remove(name)
            if wrong:
                self._note(
                    f"adopt {name}", f"--adopt {name} (caches.adopt) finds no cache: {wrong}"
                )
        return 0


def _wrong_with(name: str, *, is_late: bool) -> str | None:
    """What keeps module:NAME from being a cache: "" for nothing; None where that may yet come."""
    module, _, path = name.partition(":")
    namespace, value = _of_module(module), lookup(name)
    is_main = namespace.get("__name__") == "__main__"
    is_made = not getattr(namespace.get("__spec__"), "_initializing", is_main)
    if value is None and (path in namespace or not ((namespace and is_made) or is_late)):
        return None  # A main module, or a function of any, may make it at any time.
    if not namespace:
        return f"no module {module} is loaded: name it as the program imports it"
    if value is None:
        known = list(namespace.items())
        there = [one for one, own in known if one[:2] != "__" and _may_be_cache(own)]
        has = f"it has {', '.join(there[:_FEW_NAMED])}" if there else "check the name"
        return f"{module} has no {path} so far: {has}"
    if _may_be_cache(value):
        return ""
    right = "name a dict, a mapping with popitem(), or a function with cache_clear()"
    return f"it is of type {type(value).__name__}: {right}"


def _may_be_cache(value: Any) -> bool:
    # Of what answers to names by itself nobody can tell, without waking it.
    kinds = "popitem", "cache_clear", "__getattr__"
    return any(hasattr(type(value), one) or one in attributes_of(value) for one in kinds)


def visible_values() -> Iterator[tuple[str, Any]]:
    """Each value with its name as module:NAME or module:Class.NAME. Cost: 0.1 µs a value."""
    for module in list(sys.modules):
        for name, value in list(_of_module(module).items()):
            yield f"{module}:{name}", value
            if issubclass(type(value), type) and attributes_of(value).get("__module__") == module:
                for attribute, member in list(attributes_of(value).items()):
                    yield f"{module}:{name}.{attribute}", _unbound(member)


def lookup(name: str) -> Any:
    """The value that module:NAME or module:A.B names now, or None; imports nothing."""
    module, _, path = name.partition(":")
    namespace, value = _of_module(module), None
    for part in path.split("."):
        value = _unbound(namespace.get(part))
        namespace = attributes_of(value)
    return value


def _of_module(name: str) -> Mapping[str, Any]:
    # A module that loads itself at first use does so in a __getattribute__ of its own.
    module = sys.modules.get(name)
    if module is None:  # The script that runs is "__main__", and is known by its file.
        main = sys.modules.get("__main__")
        file = f"/{attributes_of(main).get('__file__')}"
        module = main if file.endswith(f"/{name.replace('.', '/')}.py") else None
    return attributes_of(module) if issubclass(type(module), ModuleType) else {}


def attributes_of(value: object) -> Mapping[str, Any]:
    """The attributes an object or a class has of its own, empty where it has no such dict."""
    try:
        namespace: Mapping[str, Any] = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return namespace


def _unbound(member: Any) -> Any:
    return member.__func__ if type(member) in (staticmethod, classmethod) else member
