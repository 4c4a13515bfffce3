"""The cache under a budget: it pays for what it takes in, and shrinks when asked, in slices."""

import time
from typing import Any

import pytest

from beside import held_elsewhere
from cache_oracle import check
from fakes import MIB, Asking, FakeClock, FakeMemory, Ticking
from membudget.cache.cache import Cache
from membudget.cache.table import IS_COMPILED
from membudget.core import Holder, Meter, Reclaimer, Rung
from membudget.core.protocols import ForkAware
from membudget.registry import Registry

FOREVER = float("inf")


@pytest.fixture
def meter(registry: Registry) -> Asking:
    registry.meter = meter = Asking()
    return meter


@pytest.fixture
def cache(registry: Registry) -> Cache[int, bytes]:
    made: Cache[int, bytes] = Cache("filled", policy="lru", registry=registry)
    made.claim_quantum = 1
    for number in range(100):
        made.set(number, bytes(1000))
    return made


def test_a_cache_is_what_the_budget_looks_for(cache: Cache[int, bytes]) -> None:
    assert isinstance(cache, Holder)
    assert isinstance(cache, Reclaimer)
    assert isinstance(cache, ForkAware) is not IS_COMPILED, "the compiled one needs no lock"
    assert cache.rung is Rung.MODERATE


def test_every_insert_is_claimed_with_its_weight(meter: Asking, registry: Registry) -> None:
    cache: Cache[str, bytes] = Cache("claims", max_bytes="1MiB", registry=registry)
    cache.claim_quantum = 1
    cache.set("a", bytes(1000))
    first = cache.held_bytes()
    cache.set("a", bytes(5000))
    cache.set("b", bytes(2 * MIB))
    assert meter.claims == [first, cache.held_bytes()]


def test_the_inserting_thread_pays_before_it_goes_on(
    cache: Cache[int, bytes], meter: Asking
) -> None:
    before = cache.held_bytes()
    meter.wanted = before // 2
    cache.set(100, bytes(1000))
    assert cache.held_bytes() < before // 2 + 1500
    assert cache.keys()[-1] == 100
    assert cache.stats().evictions["pressure"] == 101 - len(cache)


@pytest.mark.parametrize("policy", ["gdsf", "s3fifo", "lru"])
def test_the_new_entry_goes_last(policy: str, meter: Asking, registry: Registry) -> None:
    """Where everything is asked for, the cache ends up empty."""
    told: list[int] = []
    cache: Cache[int, bytes] = Cache(
        "last", policy=policy, on_evict=lambda key, *_: told.append(key), registry=registry
    )
    for number in range(100):
        cache.set(number, bytes(1000))
        cache.get(number // 2)
    meter.wanted, cache.claim_quantum = 100 * MIB, 1
    assert cache.set(100, bytes(1000))
    assert sorted(told) == list(range(101))
    assert told[-1] == 100
    assert len(cache) == cache.held_bytes() == 0


def test_nobody_elses_cache_pays(
    cache: Cache[int, bytes], meter: Asking, registry: Registry
) -> None:
    other: Cache[int, int] = Cache("other", registry=registry)
    other.claim_quantum = 1
    meter.wanted = MIB
    other.set(1, 1)
    assert len(cache) == 100
    assert len(other) == 0


def test_a_real_meter_holds_a_process_at_its_ceiling(registry: Registry) -> None:
    memory = FakeMemory(FakeClock(), limit=100 * MIB)
    registry.meter = meter = Meter(memory.own)
    cache: Cache[int, bytes] = Cache("governed", registry=registry)
    meter.rebase(0, 100 * MIB, mark=70.0 * MIB, brim=80.0 * MIB, ceiling=90.0 * MIB)
    for number in range(4000):
        memory.used = cache.held_bytes()
        cache.set(number, b"", size=100_000)
        assert cache.held_bytes() < 95 * MIB
    assert cache.held_bytes() > 60 * MIB


def test_a_reclaim_frees_at_least_its_target(cache: Cache[int, bytes]) -> None:
    cache.get(0)
    before = cache.held_bytes()
    freed = cache.reclaim(10_000, FOREVER)
    assert 10_000 <= freed < 12_000
    assert cache.held_bytes() == cache.reclaimable() == before - freed
    assert 0 in cache
    assert 1 not in cache
    assert cache.stats().bytes_evicted == freed


def test_a_reclaim_of_everything_empties_the_cache(cache: Cache[int, bytes]) -> None:
    held = cache.held_bytes()
    assert cache.reclaim(1 << 40, FOREVER) == held
    assert cache.reclaim(1 << 40, FOREVER) == cache.reclaimable() == len(cache) == 0


def test_a_reclaim_stops_at_its_time(registry: Registry) -> None:
    """It looks at the clock every 64 entries, and after large ones; the next call goes on."""
    clock = Ticking()
    cache: Cache[int, int] = Cache("sliced", max_bytes="1GiB", registry=registry, clock=clock)
    for number in range(2000):
        cache.set(number, number)
    assert cache.reclaim(1 << 40, clock.time - 1) == 0
    assert cache.reclaim(1 << 40, clock.time + 0.005) > 0
    assert 2000 - 5 * 64 <= len(cache) < 2000
    for number in range(2000):
        cache.set(number, number, size=2 * MIB)
    left = len(cache)
    cache.reclaim(1 << 40, clock.time + 0.005)
    assert left - 5 <= len(cache) < left


def test_a_sweep_stops_at_its_time(registry: Registry) -> None:
    clock = Ticking()
    cache: Cache[int, int] = Cache("swept", max_bytes="1GiB", registry=registry, clock=clock)
    for number in range(2000):
        cache.set(number, number, ttl=60)
    clock.advance(100)
    cache.sweep(clock.time + 0.005)
    assert 2000 - 5 * 64 <= len(cache) < 2000
    cache.sweep(FOREVER)
    assert len(cache) == 0


@pytest.mark.skipif(IS_COMPILED, reason="the compiled table has no lock")
def test_a_reclaim_waits_for_no_thread_for_ever(cache: Any) -> None:
    """A key's slow `__eq__` may hold the lock for long."""
    with held_elsewhere(cache._lock):
        began = time.monotonic()
        assert cache.reclaim(1000, began + 0.05) == 0
        assert time.monotonic() - began < 5
    assert cache.reclaim(1000, FOREVER) > 0


def test_an_error_of_on_evict_leaves_a_reclaim_after_all_are_gone(registry: Registry) -> None:
    """The governor makes an event of it; the memory is free all the same."""

    def fail(key: int, _value: int, _cause: str) -> None:
        raise ValueError(f"first of {key}")

    cache: Cache[int, int] = Cache("fails", on_evict=fail, max_entries=500, registry=registry)
    for number in range(300):
        cache.set(number, number)
    with pytest.raises(ValueError, match="first of 0"):
        cache.reclaim(1 << 40, FOREVER)
    assert len(cache) == cache.held_bytes() == 0
    check(cache)
