"""The cache's bounds: bytes, entries, a budget, and what is told of an eviction."""

import gc
import tracemalloc
from typing import Any

import pytest

from cache_oracle import check
from fakes import FakeClock
from membudget.cache.cache import Cache
from membudget.cache.table import DEFAULT_ENTRIES, IS_COMPILED
from membudget.core import Meter
from membudget.errors import ConfigError
from membudget.registry import Registry
from membudget.sizing import allocated, size_of

KIB = 1 << 10


def test_a_bound_in_bytes_is_kept(registry: Registry) -> None:
    cache: Cache[int, bytes] = Cache("bytes", max_bytes="20KiB", registry=registry)
    for number in range(100):
        assert cache.set(number, bytes(1000))
        assert cache.held_bytes() <= 20 * KIB
    assert cache.held_bytes() > 18 * KIB
    assert cache.keys() == list(range(100 - len(cache), 100))
    assert cache.stats().evictions["bytes"] == 100 - len(cache)


def test_an_entry_weighs_its_key_its_value_and_itself(registry: Registry) -> None:
    """A size given in `set`, or by the size function, stands for the value alone."""
    plain: Cache[str, list[Any]] = Cache("plain", registry=registry)
    key = f"a long key of {len(plain)}"
    value: list[Any] = [[], bytes(2000)]
    plain.set(key, value)
    weighed = plain.held_bytes() - Cache.ENTRY_BYTES
    assert 2000 < weighed <= size_of(key) + size_of(value)
    plain.set(key, value, size="10KiB")
    assert plain.held_bytes() == size_of(key) + 10 * KIB + Cache.ENTRY_BYTES
    sized: Cache[int, str] = Cache("sized", size=len, registry=registry)
    sized.set(1, "x" * 500)
    assert sized.held_bytes() == 500 + Cache.ENTRY_BYTES


@pytest.mark.skipif(IS_COMPILED, reason="tracemalloc does not see the compiled table's memory")
@pytest.mark.parametrize("ttl", [None, "1h"])
@pytest.mark.parametrize("entries", [1_500, 12_000])
def test_the_weight_is_what_the_allocator_gave(
    ttl: str | None, entries: int, registry: Registry
) -> None:
    """The cache's own cost included, within 15 %: the index grows in steps."""
    cache: Cache[str, float] = Cache("true", max_bytes="1GiB", ttl=ttl, registry=registry)
    cache.set("first", 1.5)
    cache.clear()
    gc.collect()  # It empties the free lists too, whose objects are not allocated again.
    tracemalloc.start()
    for number in range(entries):
        cache.set(f"key {number}", number * 1.5)
    snapshot = tracemalloc.take_snapshot()
    tracemalloc.stop()
    true = sum(allocated(trace.size) for trace in snapshot.traces)
    assert cache.held_bytes() == pytest.approx(true, rel=0.15)


@pytest.mark.skipif(IS_COMPILED, reason="tracemalloc does not see the compiled table's memory")
def test_what_a_plain_table_claims_leaves_its_dicts_as_well() -> None:
    tracemalloc.start()
    cache: Cache[int, None] = Cache("plain", max_bytes="1GiB", registry=Registry())
    for number in range(20_000):
        cache.set(number, None)
    full = tracemalloc.get_traced_memory()[0]
    cache.reclaim(cache.held_bytes(), float("inf"))
    left = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert left < 0.1 * full


def test_a_heavy_value_makes_room_for_itself_whatever_it_takes() -> None:
    cache: Cache[int, int] = Cache("heavy", max_bytes="1MiB", registry=Registry())
    for number in range(3_000):
        cache.set(number, number, size=100)
    cache.set(-1, 0, size=900_000)
    assert -1 in cache
    assert cache.held_bytes() <= 1 << 20


def test_a_value_too_heavy_is_refused_without_an_error(registry: Registry) -> None:
    """What stood under its key goes: serving the stale value would be wrong."""
    cache: Cache[str, bytes] = Cache("small", max_bytes="4KiB", registry=registry)
    cache.set("a", b"old value")
    cache.set("b", b"other value")
    assert not cache.set("a", bytes(5000))
    assert cache.items() == [("b", b"other value")]
    stats = cache.stats()
    assert (stats.refused, stats.sets, sum(stats.evictions.values())) == (1, 2, 0)


def test_a_value_that_a_budget_has_no_room_for_is_refused_alike(registry: Registry) -> None:
    cache: Cache[str, bytes] = Cache("small", registry=registry)
    registry.meter = Meter(held=registry.held_bytes)
    registry.meter.share = 4 << 20
    cache.set("a", b"old value")
    cache.set("b", b"other value")
    assert not cache.set("a", bytes(5 << 20))
    assert cache.items() == [("b", b"other value")]
    assert cache.set("c", bytes(3 << 20))
    assert cache.stats().refused == 1


def test_both_bounds_hold(registry: Registry) -> None:
    cache: Cache[int, bytes] = Cache(
        "both", max_bytes="8KiB", max_entries=5, policy="lru", registry=registry
    )
    for number in range(10):
        cache.set(number, b"small")
    assert len(cache) == 5
    for number in range(10):
        cache.set(number, bytes(3000))
    assert len(cache) == 2
    evictions = cache.stats().evictions  # How many were small when the bytes came to bind varies.
    assert evictions["entries"] >= 5
    assert evictions["bytes"] >= 8
    assert sum(evictions.values()) == 18


def test_without_a_bound_it_keeps_a_thousand_entries(registry: Registry) -> None:
    """As long as no budget runs; one attached later lifts that, and its end brings it back."""
    cache: Cache[int, int] = Cache("default", registry=registry)
    for number in range(2 * DEFAULT_ENTRIES):
        cache.set(number, number)
    assert len(cache) == DEFAULT_ENTRIES
    registry.meter = Meter()
    for number in range(2 * DEFAULT_ENTRIES):
        cache.set(number, number)
    assert len(cache) == 2 * DEFAULT_ENTRIES
    registry.meter = None
    cache.set(-1, -1)
    assert len(cache) == DEFAULT_ENTRIES
    assert -1 in cache


def test_a_bound_can_be_changed(registry: Registry) -> None:
    cache: Cache[int, int] = Cache("resized", max_entries=500, registry=registry)
    for number in range(500):
        cache.set(number, number)
    cache.resize(max_entries=10)
    assert cache.keys() == list(range(490, 500))
    cache.resize(max_bytes="1MiB")
    assert (cache.stats().max_bytes, cache.stats().max_entries) == (1 << 20, 10)
    cache.resize(max_entries=None)
    for number in range(50):
        cache.set(number, number)
    assert len(cache) == 60
    with pytest.raises(ConfigError, match="max_entries 0"):
        cache.resize(max_entries=0)


def test_evictions_are_told_with_their_cause(registry: Registry) -> None:
    """And only those: replaced, popped, deleted and cleared values are the caller's own doing."""
    told: list[tuple[int, Any, str]] = []
    cache: Cache[int, Any] = Cache(
        "told", max_entries=2, on_evict=lambda *what: told.append(what), registry=registry
    )
    for number in range(3):
        cache.set(number, -number)
    cache.set(2, "replaced")
    cache.pop(2)
    cache.delete(1)
    cache.set(5, "cleared")
    cache.clear()
    assert told == [(0, 0, "entries")]


def test_on_evict_may_use_the_cache(registry: Registry) -> None:
    seen: list[tuple[int, list[int]]] = []

    def again(key: int, value: int, _cause: str) -> None:
        seen.append((key, cache.keys()))
        if key < 5:
            cache.set(key + 100, value)

    cache: Cache[int, int] = Cache("again", max_entries=3, on_evict=again, registry=registry)
    for number in range(6):
        cache.set(number, number)
    assert seen[0] == (0, [1, 2, 3])
    assert len(cache) == 3
    check(cache)


def test_an_error_of_on_evict_comes_after_everything_is_in_order(registry: Registry) -> None:
    """All evicted entries are told, the new value is in, and the first error is raised."""
    told: list[int] = []

    def fail(key: int, _value: bytes, _cause: str) -> None:
        told.append(key)
        raise ValueError(f"first of {key}")

    cache: Cache[int, bytes] = Cache("fails", max_bytes=8000, on_evict=fail, registry=registry)
    for number in range(3):
        cache.set(number, bytes(1000))
    with pytest.raises(ValueError, match="first of 0"):
        cache.set(9, bytes(6000))
    assert told == [0, 1]
    assert cache.keys() == [2, 9]
    check(cache)


def test_an_error_of_the_size_function_changes_nothing(
    registry: Registry, clock: FakeClock
) -> None:
    cache: Cache[str, Any] = Cache(
        "sized", size=lambda value: 100 // value, registry=registry, clock=clock
    )
    cache.set("a", 1)
    before = (cache.items(), cache.stats())
    with pytest.raises(ZeroDivisionError):
        cache.set("a", 0)
    with pytest.raises(ConfigError, match="size of a value in cache 'sized' came out as -100"):
        cache.set("a", -1)
    assert (cache.items(), cache.stats()) == before
