"""The caches, and how each lets go of half of what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from memory import trim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True)
class Made:
    """A cache by what the bench does with it.

    Attributes:
        get: The value of a key, or None.
        put: Keep a value under a key.
        keys: All keys, which changes nothing; `in` counts as a use in cachebox.
        count: Entries held.
        halve: Lets go of half, and says of it what the cache itself says, in bytes.
    """

    get: Callable[[Any], Any]
    put: Callable[[Any, Any], object]
    keys: Callable[[], Iterable[Any]]
    count: Callable[[], int]
    halve: Callable[[], dict[str, float]]


@dataclass(frozen=True)
class Contestant:
    """A cache and one of its ways to shrink.

    Attributes:
        module: What has to be installed.
        make: From a bound in bytes and the entries which that comes to.
    """

    module: str
    make: Callable[[int, int], Made]

    @property
    def is_installed(self) -> bool:
        """Whether it can be measured here."""
        return find_spec(self.module) is not None


def _ours(*, give_back: bool) -> Callable[[int, int], Made]:
    def make(limit: int, _entries: int) -> Made:
        from membudget import Cache, Registry

        cache: Any = Cache("bench", max_bytes=limit, registry=Registry())

        def halve() -> dict[str, float]:
            said = cache.shrink(cache.held_bytes() // 2, give_back=give_back)
            return {"said freed": said.freed, "said measured": said.measured or 0}

        return Made(cache.get, cache.set, cache.keys, cache.__len__, halve)

    return make


def _cachetools(_limit: int, entries: int) -> Made:
    from cachetools import LRUCache

    cache: Any = LRUCache(entries)

    def halve() -> dict[str, float]:
        for _ in range(len(cache) // 2):
            cache.popitem()
        trim()
        return {}

    return Made(cache.get, cache.__setitem__, cache.keys, cache.__len__, halve)


def _cachebox(_limit: int, entries: int) -> Made:
    from cachebox import LRUCache

    cache: Any = LRUCache(entries)

    def halve() -> dict[str, float]:
        cache.drain(len(cache) // 2)
        cache.shrink_to_fit()
        trim()
        return {}

    return Made(cache.get, cache.insert, cache.keys, cache.__len__, halve)


GIVING_BACK = "membudget, give_back=True"

CONTESTANTS = {
    GIVING_BACK: Contestant("membudget", _ours(give_back=True)),
    "membudget, give_back=False": Contestant("membudget", _ours(give_back=False)),
    "cachetools, popitem": Contestant("cachetools", _cachetools),
    "cachebox, drain": Contestant("cachebox", _cachebox),
}
"""By name. The peers shrink in the order of their policy, and malloc_trim runs after it."""
