"""The search for caches that were made without us: cachetools with its locks, earlier functools.

A cache of cachetools may only be changed under the lock that its program uses for it. Where
`cachetools.cached` was given one, it tells; any other cache of that kind is listed and left alone.

What a program can be seen to hold from outside: the values of its modules and classes.

Only namespaces are read, past every `__getattr__` and `__class__` of the program's own: a look
must not load a lazy module or wake a proxy.
"""

from __future__ import annotations

import sys
import weakref
from types import ModuleType
from typing import TYPE_CHECKING, Any

from membudget.core import Record
from membudget.reclaimers.adopted.single import AdoptedCache, length_of
from membudget.reclaimers.adopted.wrappers import WRAPPER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from membudget.core import Clock
    from membudget.reclaimers.adopted.found import FoundCaches
    from membudget.registry import Registry


_NOTHING: Mapping[str, Any] = {}


def visible_values() -> Iterator[tuple[str, Any]]:
    """Each value with its name as module:NAME or module:Class.NAME. Cost: 0.1 µs a value."""
    for module_name in list(sys.modules):
        for name, value in list(_of_module(module_name).items()):
            yield f"{module_name}:{name}", value
            if issubclass(type(value), type) and _of_class(value).get("__module__") == module_name:
                for attribute, member in list(_of_class(value).items()):
                    yield f"{module_name}:{name}.{attribute}", _unbound(member)


def lookup(name: str) -> Any:
    """The value that module:NAME or module:A.B names now, or None; imports nothing."""
    module_name, _, path = name.partition(":")
    namespace, value = _of_module(module_name), None
    for part in path.split("."):
        value = _unbound(namespace.get(part))
        namespace = _of_class(value) if issubclass(type(value), type) else attributes_of(value)
    return value


def _of_module(name: str) -> Mapping[str, Any]:
    module = sys.modules.get(name)
    if not issubclass(type(module), ModuleType):
        return _NOTHING
    # A module that loads itself at first use does so in a __getattribute__ of its own.
    namespace: Mapping[str, Any] = object.__getattribute__(module, "__dict__")
    return namespace


def _of_class(kind: type) -> Mapping[str, Any]:
    namespace: Mapping[str, Any] = type.__getattribute__(kind, "__dict__")
    return namespace


def attributes_of(value: object) -> Mapping[str, Any]:
    """The attributes an object has of its own, empty where it has no such dict."""
    try:
        namespace: Mapping[str, Any] = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return _NOTHING
    return namespace


def _unbound(member: Any) -> Any:
    return member.__func__ if type(member) in (staticmethod, classmethod) else member


FIRST = 5.0
"""Seconds after the start of the first search: by then a program has imported what it needs."""

EVERY = 600.0
_LOOK_AT_CLOCK = 64


class Untouched(Record):
    """A cache that was seen and is left alone."""

    name: str
    kind: str
    entries: int
    why: str


class Search:
    """A chore that looks through the program's modules, in slices. The governor's thread only.

    Args:
        found: Takes note of functools caches.
        registry: Takes the caches that may be shrunk.
        named: Caches that the owner named, as module:NAME; looked up anew each time.
        is_spared: Whether a cache of this name is left alone.
        names_only: Whether nothing but the named caches is of interest.
        clock: Where time comes from.
    """

    name = "search for caches"
    comes_early = True

    def __init__(
        self,
        found: FoundCaches,
        registry: Registry,
        clock: Clock,
        *,
        named: Sequence[str] = (),
        is_spared: Callable[[str], bool] = lambda _: False,
        names_only: bool = False,
    ) -> None:
        self.untouched: list[Untouched] = []
        self.named = [AdoptedCache(name, _finder(name), now=clock.now) for name in named]
        self._found = found
        self._registry = registry
        self._clock = clock
        self._is_spared = is_spared
        self._locked: dict[int, AdoptedCache] = {}
        self._bare: dict[int, tuple[str, Any]] = {}
        self._values: Iterator[tuple[str, Any]] | None = None
        self._next = float("inf") if names_only else clock.now() + FIRST
        for one in self.named:
            registry.add(one)

    def due(self, now: float) -> bool:
        """Whether a search is under way, or it is time for the next.

        Without cachetools there is nothing to find: what functools makes is told as it is made.
        And whatever is looked at is written to, at a page copied for each that a fork shares.
        """
        return self._values is not None or (now >= self._next and "cachetools" in sys.modules)

    def run(self, until: float) -> int:
        """Look through the next slice; 0, since nothing is let go."""
        if not self.due(self._clock.now()):
            return 0
        if self._values is None:
            self._values, self._bare = visible_values(), {}
        for number, (name, value) in enumerate(self._values):
            self._consider(name, value)
            if number % _LOOK_AT_CLOCK == 0 and self._clock.now() >= until:
                return 0
        self._end()
        return 0

    def _consider(self, name: str, value: Any) -> None:
        if type(value) is WRAPPER:
            self._found.note(value)
        elif "cachetools" not in sys.modules:
            return
        elif _is_cachetools(value):
            self._bare[id(value)] = (name, value)
        elif _is_cachetools(cache := (own := attributes_of(value)).get("cache")):
            self._adopt(name, cache, own.get("cache_lock"))

    def _adopt(self, name: str, cache: Any, lock: Any) -> None:
        if not hasattr(lock, "acquire") or self._is_spared(name):
            self._bare[id(cache)] = (name, cache)
            return
        known = self._locked.get(id(cache))
        if known is None or known.entries is None:
            adopted = AdoptedCache(name, weakref.ref(cache), lock, now=self._clock.now)
            self._locked[id(cache)] = adopted
            self._registry.add(adopted)

    def _end(self) -> None:
        self._values, self._next = None, self._clock.now() + EVERY
        self._locked = {key: one for key, one in self._locked.items() if one.entries is not None}
        known = {*self._locked, *(id(lookup(one.name)) for one in self.named)}
        self.untouched = [
            Untouched(
                name=name,
                kind=type(cache).__name__,
                entries=length_of(cache) or 0,
                why="spared by name"
                if self._is_spared(name)
                else f"no lock of its own is known: --adopt {name} says that none is needed",
            )
            for key, (name, cache) in self._bare.items()
            if key not in known
        ]
        self._bare = {}


def _finder(name: str) -> Callable[[], Any]:
    return lambda: lookup(name)


def _is_cachetools(value: object) -> bool:
    library = sys.modules.get("cachetools")
    return library is not None and issubclass(type(value), library.Cache)
