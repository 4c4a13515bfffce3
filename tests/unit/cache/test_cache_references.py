"""A cache holds a key and a value for as long as their entry is there, whatever ends it."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from fakes import FakeClock
from membudget.cache.cache import Cache
from membudget.registry import Registry

FOREVER = float("inf")
COUNT = 300


class Thing:
    """A key or a value that can be watched."""


def expired(cache: Cache[Any, Any], clock: FakeClock) -> Cache[Any, Any]:
    clock.advance(61)
    return cache


WAYS: dict[str, Callable[[Any, list[Any], FakeClock], object]] = {
    "entries": lambda cache, _, __: [cache.set(number, 1) for number in range(2 * COUNT)],
    "many": lambda cache, _, __: cache.set_many(dict.fromkeys(range(2 * COUNT), 1)),
    "bytes": lambda cache, _, __: [cache.set(number, bytes(45_000)) for number in range(40)],
    "bounds": lambda cache, _, __: cache.resize(max_entries=1),
    "reclaim": lambda cache, _, __: cache.reclaim(1 << 40, FOREVER),
    "shrink": lambda cache, _, __: cache.shrink(1 << 40),
    "shrink together": lambda cache, _, __: cache.shrink(1 << 40, give_back=True),
    "delete": lambda cache, keys, _: [cache.delete(key) for key in keys],
    "del": lambda cache, keys, _: [cache.__delitem__(key) for key in keys],
    "pop": lambda cache, keys, _: [cache.pop(key) for key in keys],
    "clear": lambda cache, _, __: cache.clear(),
    "sweep": lambda cache, _, clock: expired(cache, clock).sweep(FOREVER),
    "get": lambda cache, keys, clock: [expired(cache, clock).get(key) for key in keys],
    "replace": lambda cache, keys, _: (cache.set_many(dict.fromkeys(keys, 1)), cache.clear()),
}


def test_what_a_cache_was_given_is_free_with_it() -> None:
    class Own(FakeClock):
        pass

    def size(_: object) -> int:
        return 10

    def on_evict(*_: object) -> None:
        return

    registry, clock, key, value = Registry(), Own(), Thing(), Thing()
    cache: Cache[Any, Any] = Cache(
        "gone", ttl=60, size=size, on_evict=on_evict, registry=registry, clock=clock
    )
    cache.set(key, value)
    watched = [weakref.ref(one) for one in (cache, clock, size, on_evict, registry, key, value)]
    del cache, clock, size, on_evict, registry, key, value
    gc.collect()
    assert [one() for one in watched] == [None] * 7


@pytest.mark.parametrize("is_told", [False, True])
@pytest.mark.parametrize("policy", ["s3fifo", "lru", "gdsf"])
@pytest.mark.parametrize("way", WAYS)
def test_what_left_the_cache_is_free(way: str, policy: Any, is_told: bool) -> None:  # noqa: FBT001
    """Key and value alike, at once: nobody has to wait for a collection."""
    clock, told = FakeClock(), []

    def tell(*what: object) -> None:
        told.append(id(what))

    cache: Cache[Any, Any] = Cache(
        "held",
        max_entries=COUNT,
        max_bytes="1MiB",
        ttl=60,
        policy=policy,
        on_evict=tell if is_told else None,
        registry=Registry(),
        clock=clock,
    )
    keys = [Thing() for _ in range(COUNT)]
    watched = weakref.WeakSet(keys)
    for key in keys:
        value = Thing()
        watched.add(value)
        cache.set(key, value)
        assert cache.get(key) is cache.peek(key) is cache[key] is value
        assert key in cache
        assert cache.ttl_left(key) == 60
        assert list(cache.get_many([key, "other"]).values()) == [value]
    assert len(cache.keys()) == len(cache.values()) == len(cache.items()) == COUNT
    del value
    WAYS[way](cache, keys, clock)
    del key, keys
    there = {id(one) for pair in cache.items() for one in pair if isinstance(one, Thing)}
    assert {id(one) for one in watched} == there
    assert len(there) < 2 * COUNT
