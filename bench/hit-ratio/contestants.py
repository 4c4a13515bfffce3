"""The contestants: real caches, each bounded in entries or in bytes, asked as a program would."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

OURS = "membudget"
ENTRIES, BYTES = "entries", "bytes"


class Score(NamedTuple):
    """What a contestant came to.

    Attributes:
        hits: Requests answered from the cache.
        bytes_hit: What those answers weighed; 0 where sizes do not count.
    """

    hits: int
    bytes_hit: int = 0


class Contestant(NamedTuple):
    """One cache under one rule.

    Attributes:
        module: What has to be installed.
        replay: Scores a cache of a bound on requests, each a key and a size (0 or more).
        modes: What it can be bounded in.
    """

    module: str
    replay: Callable[[str, int, Sequence[int], Sequence[int]], Score]
    modes: tuple[str, ...] = (ENTRIES, BYTES)

    @property
    def is_installed(self) -> bool:
        """Whether it can take part here."""
        return find_spec(self.module) is not None


def _asked(
    get: Callable[[int], Any],
    put: Callable[[int, int], object],
    bound: int,
    keys: Sequence[int],
    sizes: Sequence[int],
) -> Score:
    """Ask for each key and set what is not there, but for what no cache of that bound could hold.

    A value is its own size.
    """
    if not sizes:
        misses = 0
        for key in keys:
            if get(key) is None:
                misses += 1
                put(key, 1)
        return Score(len(keys) - misses)
    hits = bytes_hit = 0
    for key, size in zip(keys, sizes, strict=True):
        if get(key) is not None:
            hits += 1
            bytes_hit += size
        elif size <= bound:
            put(key, size)
    return Score(hits, bytes_hit)


def _ours(policy: str | None) -> Callable[[str, int, Sequence[int], Sequence[int]], Score]:
    """Under a registry of its own: no budget runs, as in a program that has none."""

    def replay(mode: str, bound: int, keys: Sequence[int], sizes: Sequence[int]) -> Score:
        from membudget import Cache, Registry

        if mode == ENTRIES:
            cache: Any = Cache("bench", max_entries=bound, policy=policy, registry=Registry())
            return _asked(cache.get, cache.set, bound, keys, sizes)
        cache = Cache("bench", max_bytes=bound, policy=policy, registry=Registry())
        cache.set(keys[0], 0, size=0)
        own = cache.held_bytes()
        cache.clear()
        return _asked(cache.get, _without(own, cache.set), bound, keys, sizes)

    return replay


def _without(own: int, put: Callable[..., object]) -> Callable[[int, int], object]:
    """Sets so that an entry weighs the size exactly, with the key and the cache's own cost in it.

    The others count neither; so all of them are given the same.
    """

    def put_less(key: int, size: int) -> None:
        put(key, size, size=size - own)

    return put_less


def _functools(_mode: str, bound: int, keys: Sequence[int], _sizes: Sequence[int]) -> Score:
    cached = lru_cache(bound)(lambda _key: 1)
    for key in keys:
        cached(key)
    return Score(cached.cache_info().hits)


def _cachetools(kind: str) -> Callable[[str, int, Sequence[int], Sequence[int]], Score]:
    def replay(_mode: str, bound: int, keys: Sequence[int], sizes: Sequence[int]) -> Score:
        import cachetools

        sized = {"getsizeof": int} if sizes else {}
        cache = getattr(cachetools, kind)(bound, **sized)
        return _asked(cache.get, cache.__setitem__, bound, keys, sizes)

    return replay


def _cachebox(_mode: str, bound: int, keys: Sequence[int], sizes: Sequence[int]) -> Score:
    from cachebox import LRUCache

    cache: Any = LRUCache(bound, getsizeof=_second) if sizes else LRUCache(bound)
    return _asked(cache.get, cache.__setitem__, bound, keys, sizes)


def _moka(policy: Any) -> Callable[[str, int, Sequence[int], Sequence[int]], Score]:
    def replay(_mode: str, bound: int, keys: Sequence[int], sizes: Sequence[int]) -> Score:
        from moka_py import Moka

        sized: dict[str, Any] = {"weigher": _second} if sizes else {}
        cache: Any = Moka(bound, policy=policy, **sized)
        return _asked(cache.get, cache.set, bound, keys, sizes)

    return replay


def _theine(_mode: str, bound: int, keys: Sequence[int], sizes: Sequence[int]) -> Score:
    from theine import Cache

    cache: Any = Cache(bound)
    ask = cache.get
    try:
        return _asked(lambda key: ask(key)[0], cache.set, bound, keys, sizes)
    finally:
        cache.close()


def _lru_dict(_mode: str, bound: int, keys: Sequence[int], sizes: Sequence[int]) -> Score:
    from lru import LRU

    cache: Any = LRU(bound)
    return _asked(cache.get, cache.__setitem__, bound, keys, sizes)


def _second(_key: int, value: int) -> int:
    return value


CONTESTANTS = {
    OURS: Contestant("membudget", _ours(None)),
    f"{OURS} gdsf": Contestant("membudget", _ours("gdsf")),
    f"{OURS} s3fifo": Contestant("membudget", _ours("s3fifo")),
    f"{OURS} lru": Contestant("membudget", _ours("lru")),
    "functools": Contestant("functools", _functools, (ENTRIES,)),
    "cachetools LRU": Contestant("cachetools", _cachetools("LRUCache")),
    "cachetools LFU": Contestant("cachetools", _cachetools("LFUCache")),
    "cachetools FIFO": Contestant("cachetools", _cachetools("FIFOCache")),
    "cachebox LRU": Contestant("cachebox", _cachebox),
    "moka tiny_lfu": Contestant("moka_py", _moka("tiny_lfu")),
    "moka lru": Contestant("moka_py", _moka("lru")),
    "theine": Contestant("theine", _theine, (ENTRIES,)),
    "lru-dict": Contestant("lru", _lru_dict, (ENTRIES,)),
}
