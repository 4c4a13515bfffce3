"""The contestants: each as a user would write it, by the statements that a loop repeats.

A call through a function of ours would cost more than what is measured, so reads and writes are
given as statements with the names they use, and are compiled into the loops (see `loops`).
"""

from __future__ import annotations

import sys
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Made:
    """A cache as the loops use it.

    Attributes:
        names: What the statements refer to.
        has: Whether a key is found, by whatever way; not timed.
        count: Entries held.
        clear: Lets go of all.
        expire: Frees what has expired and returns when it has, where there is such a thing.
        sweeps_itself: Whether that only waits for a thread of the cache's own to do it.
    """

    names: dict[str, Any]
    has: Callable[[Any], Any]
    count: Callable[[], int]
    clear: Callable[[], object]
    expire: Callable[[], object] | None = None
    sweeps_itself: bool = False


@dataclass(frozen=True)
class Contestant:
    """One cache in one of its forms.

    Attributes:
        form: "plain", bounded in entries; "full", bounded in bytes with a time to live an entry.
        module: What has to be installed.
        make: From the number of entries to bound it at, one key, one value, and the seconds to live
            (used by the full ones).
        read: What a lookup is.
        write: What a set is; None where the cache makes its values itself on a lookup.
    """

    form: str
    module: str
    make: Callable[[int, Any, Any, float], Made]
    read: str
    write: str | None

    @property
    def is_installed(self) -> bool:
        """Whether it can be measured here."""
        return find_spec(self.module) is not None


def _dict(_entries: int, _key: Any, _value: Any, _ttl: float) -> Made:
    cache: dict[Any, Any] = {}
    return Made({"cache": cache, "get": cache.get}, cache.get, cache.__len__, cache.clear)


def _ordered(entries: int, _key: Any, _value: Any, _ttl: float) -> Made:
    cache: OrderedDict[Any, Any] = OrderedDict()
    names = {"cache": cache, "get": cache.get, "move": cache.move_to_end, "pop": cache.popitem}
    names |= {"lock": threading.RLock(), "most": entries}
    return Made(names, cache.get, cache.__len__, cache.clear)


def _functools(entries: int, _key: Any, value: Any, _ttl: float) -> Made:
    def made(_key: Any) -> Any:
        return value

    cached = lru_cache(entries)(made)

    def has(key: Any) -> bool:
        hits = cached.cache_info().hits
        cached(key)
        return cached.cache_info().hits > hits

    return Made({"get": cached}, has, lambda: cached.cache_info().currsize, cached.cache_clear)


def _cachetools(entries: int, _key: Any, _value: Any, _ttl: float) -> Made:
    from cachetools import LRUCache

    cache: Any = LRUCache(entries)
    names = {"cache": cache, "get": cache.get, "lock": threading.RLock()}
    return Made(names, cache.get, cache.__len__, cache.clear)


def _cachetools_full(entries: int, _key: Any, value: Any, ttl: float) -> Made:
    from cachetools import TLRUCache

    def until(_key: Any, _value: Any, now: float) -> float:
        return now + ttl

    cache: Any = TLRUCache(entries * sys.getsizeof(value), until, getsizeof=sys.getsizeof)
    names = {"cache": cache, "get": cache.get, "lock": threading.RLock()}
    return Made(names, cache.get, cache.__len__, cache.clear, cache.expire)


def _cachebox(entries: int, _key: Any, _value: Any, _ttl: float) -> Made:
    from cachebox import LRUCache

    cache: Any = LRUCache(entries)
    names = {"cache": cache, "get": cache.get}
    return Made(names, cache.get, cache.__len__, cache.clear)


def _cachebox_full(entries: int, key: Any, value: Any, ttl: float) -> Made:
    from cachebox import VTTLCache

    sized = sys.getsizeof

    def weigh(key: Any, value: Any) -> int:
        return sized(key) + sized(value)

    cache: Any = VTTLCache(entries * weigh(key, value), getsizeof=weigh)
    names = {"get": cache.get, "put": cache.insert, "ttl": ttl}
    return Made(names, cache.get, cache.__len__, cache.clear, cache.expire)


def _moka(entries: int, _key: Any, _value: Any, _ttl: float) -> Made:
    from moka_py import Moka

    cache: Any = Moka(entries, policy="lru")
    names = {"get": cache.get, "put": cache.set}
    return Made(names, cache.get, cache.count, cache.clear, cache.run_pending_tasks)


def _moka_full(entries: int, key: Any, value: Any, ttl: float) -> Made:
    from moka_py import Moka

    sized = sys.getsizeof

    def weigh(key: Any, value: Any) -> int:
        return sized(key) + sized(value)

    cache: Any = Moka(entries * weigh(key, value), policy="lru", weigher=weigh)
    names = {"get": cache.get, "put": cache.set, "ttl": ttl}
    return Made(names, cache.get, cache.count, cache.clear, cache.run_pending_tasks)


def _theine(entries: int, _key: Any, _value: Any, ttl: float) -> Made:
    from theine import Cache

    cache: Any = Cache(entries)

    def expire() -> None:
        while len(cache):  # Its own thread frees them, once a second.
            time.sleep(0.02)

    names = {"get": cache.get, "put": cache.set, "ttl": timedelta(seconds=ttl)}
    return Made(
        names, lambda key: cache.get(key)[1], cache.__len__, cache.clear, expire, sweeps_itself=True
    )


def _lru_dict(entries: int, _key: Any, _value: Any, _ttl: float) -> Made:
    from lru import LRU

    cache: Any = LRU(entries)
    return Made({"cache": cache, "get": cache.get}, cache.get, cache.__len__, cache.clear)


def _ours(policy: str | None, *, is_full: bool) -> Callable[[int, Any, Any, float], Made]:
    """A cache under a registry of its own: no budget runs, as in a program that has none."""

    def make(entries: int, key: Any, value: Any, ttl: float) -> Made:
        from membudget import Cache, Registry

        chosen: dict[str, Any] = {} if policy is None else {"policy": policy}
        if is_full:
            probe: Any = Cache("probe", max_bytes="1GiB", registry=Registry(), **chosen)
            probe.set(key, value, ttl=ttl)
            chosen["max_bytes"] = entries * probe.held_bytes()
        else:
            chosen["max_entries"] = entries
        cache: Any = Cache("bench", registry=Registry(), **chosen)
        names = {"get": cache.get, "put": cache.set, "ttl": ttl}

        def expire() -> None:
            cache.sweep(time.monotonic() + 3600)

        return Made(names, cache.get, cache.__len__, cache.clear, expire)

    return make


def _ours_as_dict(entries: int, _key: Any, _value: Any, _ttl: float) -> Made:
    from membudget import BoundedDict, Registry

    cache: Any = BoundedDict("bench", max_items=entries, registry=Registry())
    return Made({"cache": cache, "get": cache.get}, cache.get, cache.__len__, cache.clear)


_ORDERED = (
    "with lock: get(key) is None or move(key)",
    "with lock: cache[key] = value; move(key); len(cache) > most and pop(last=False)",
)
_LOCKED = ("with lock: get(key)", "with lock: cache[key] = value")
_ITEM = "cache[key] = value"
_PUT, _PUT_TTL = "put(key, value)", "put(key, value, ttl)"
_OURS_TTL = "put(key, value, ttl=ttl)"

CONTESTANTS = {
    "dict": Contestant("plain", "sys", _dict, "get(key)", _ITEM),
    "OrderedDict and lock": Contestant("plain", "collections", _ordered, *_ORDERED),
    "functools.lru_cache": Contestant("plain", "functools", _functools, "get(key)", None),
    "cachetools LRU": Contestant("plain", "cachetools", _cachetools, *_LOCKED),
    "cachebox LRU": Contestant("plain", "cachebox", _cachebox, "get(key)", _ITEM),
    "moka lru": Contestant("plain", "moka_py", _moka, "get(key)", _PUT),
    "theine": Contestant("plain", "theine", _theine, "get(key)", _PUT),
    "lru-dict": Contestant("plain", "lru", _lru_dict, "get(key)", _ITEM),
    "membudget": Contestant("plain", "membudget", _ours(None, is_full=False), "get(key)", _PUT),
    "membudget lru": Contestant(
        "plain", "membudget", _ours("lru", is_full=False), "get(key)", _PUT
    ),
    "membudget BoundedDict": Contestant("plain", "membudget", _ours_as_dict, "get(key)", _ITEM),
    "membudget full": Contestant(
        "full", "membudget", _ours(None, is_full=True), "get(key)", _OURS_TTL
    ),
    "membudget lru full": Contestant(
        "full", "membudget", _ours("lru", is_full=True), "get(key)", _OURS_TTL
    ),
    "cachebox VTTL": Contestant("full", "cachebox", _cachebox_full, "get(key)", _PUT_TTL),
    "moka full": Contestant("full", "moka_py", _moka_full, "get(key)", _PUT_TTL),
    "cachetools TLRU": Contestant("full", "cachetools", _cachetools_full, *_LOCKED),
    "theine ttl": Contestant("full", "theine", _theine, "get(key)", _PUT_TTL),
}
"""By name. theine has no bound in bytes; its full form has a time to live an entry and no more."""
