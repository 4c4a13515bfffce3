"""The caches, each with the sizer that its users give it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Contestant:
    """A cache bounded in bytes.

    Attributes:
        modules: What has to be installed.
        make: From the bound in bytes to what sets a value under a key, and what counts entries.
    """

    modules: tuple[str, ...]
    make: Callable[[int], tuple[Callable[[Any, Any], object], Callable[[], int]]]

    @property
    def is_installed(self) -> bool:
        """Whether it can be measured here."""
        return all(find_spec(name) is not None for name in self.modules)


def _ours(limit: int) -> Any:
    from membudget import Cache

    cache: Any = Cache("bench", max_bytes=limit)
    return cache.set, cache.__len__


def _ours_lru(limit: int) -> Any:
    from membudget import Cache

    cache: Any = Cache("bench", max_bytes=limit, policy="lru")
    return cache.set, cache.__len__


def _cachetools(limit: int) -> Any:
    from cachetools import LRUCache

    cache: Any = LRUCache(limit, getsizeof=sys.getsizeof)
    return cache.__setitem__, cache.__len__


def _cachetools_pympler(limit: int) -> Any:
    from cachetools import LRUCache
    from pympler.asizeof import asizeof

    cache: Any = LRUCache(limit, getsizeof=asizeof)
    return cache.__setitem__, cache.__len__


def _cachebox(limit: int) -> Any:
    from cachebox import LRUCache

    sized = sys.getsizeof
    cache: Any = LRUCache(limit, getsizeof=lambda key, value: sized(key) + sized(value))
    return cache.insert, cache.__len__


def _moka_pympler(limit: int) -> Any:
    from moka_py import Moka
    from pympler.asizeof import asizeof

    cache: Any = Moka(limit, policy="lru", weigher=asizeof)  # Key and value.
    return cache.set, cache.count


CONTESTANTS = {
    "membudget": Contestant(("membudget",), _ours),
    "membudget, lru": Contestant(("membudget",), _ours_lru),
    "cachetools, getsizeof": Contestant(("cachetools",), _cachetools),
    "cachebox, getsizeof": Contestant(("cachebox",), _cachebox),
    "cachetools, pympler": Contestant(("cachetools", "pympler"), _cachetools_pympler),
    "moka, pympler": Contestant(("moka_py", "pympler"), _moka_pympler),
}
"""By name; each is made inside the worker, so that nobody pays for another's imports."""
