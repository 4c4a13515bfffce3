"""The contestants: what a program might keep its values in."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

_MIB = 1 << 20
_MOST_ITEMS = 100_000
_MOST_BYTES = 200 * _MIB


@dataclass(frozen=True)
class Store:
    """A cache by the two things a program does with it.

    Attributes:
        get: The value of a key, or None.
        put: Keep a value under a key.
        size: How many entries there are.
        figures: What it says of itself at the end.
    """

    get: Callable[[Any], Any]
    put: Callable[[Any, Any], object]
    size: Callable[[], int]
    figures: Callable[[], dict[str, Any]] = dict


def _governed() -> Store:
    """A membudget cache without any bound of its own; the limit is found, not told."""
    import membudget
    from membudget.sinks import stderr_sink

    budget = membudget.start(sinks=[stderr_sink()])
    cache: Any = budget.cache("values")

    def figures() -> dict[str, Any]:
        stats = budget.stats()
        return {
            "governed": stats.governed,
            "peak_judged": stats.peak,
            "late": stats.late.times,
            "latest": stats.late.latest,
            "seconds_at": dict(stats.seconds_at),
        }

    return Store(cache.get, cache.set, cache.__len__, figures)


def _plain() -> Store:
    values: dict[Any, Any] = {}
    return Store(values.get, values.__setitem__, values.__len__)


def _watched() -> Store:
    """What a service writes for itself: a thread that looks each second, and clears at 80 %."""
    import psutil

    values: dict[Any, Any] = {}
    size, limit = psutil.Process().memory_info, 400 * _MIB

    def watch() -> None:
        while True:
            time.sleep(1)
            if size().rss > 0.8 * limit:
                values.clear()

    threading.Thread(target=watch, daemon=True).start()
    return Store(values.get, values.__setitem__, values.__len__)


def _lru() -> Store:
    from cachetools import LRUCache

    return _locked(LRUCache(_MOST_ITEMS))


def _ttl() -> Store:
    from cachetools import TTLCache

    return _locked(TTLCache(_MOST_ITEMS, ttl=3600))


def _lru_of_bytes() -> Store:
    """Bounded by `sys.getsizeof`, which a user would reach for; it sees one object deep."""
    from cachetools import LRUCache

    return _locked(LRUCache(_MOST_BYTES, getsizeof=sys.getsizeof))


def _locked(cache: MutableMapping[Any, Any]) -> Store:
    """A cache that is no thread's own, behind the lock that its documentation asks for."""
    lock = threading.RLock()

    def get(key: Any) -> Any:
        with lock:
            return cache.get(key)

    def put(key: Any, value: Any) -> None:
        with lock:
            cache[key] = value

    return Store(get, put, cache.__len__)


CONTESTANTS = {
    "membudget": _governed,
    "LRUCache(100_000)": _lru,
    "TTLCache(100_000)": _ttl,
    "LRUCache(200 MiB by getsizeof)": _lru_of_bytes,
    "dict cleared by a psutil loop": _watched,
    "dict": _plain,
}
"""By name; each is made inside the worker, so that nobody pays for another's imports."""
