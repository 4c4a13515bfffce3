"""The cache among threads, and foreign code that comes back to it in the middle of anything."""

import contextlib
import gc
import importlib
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from beside import in_threads
from cache_oracle import check
from fakes import FakeClock
from hostile_keys import Hostile, HostileUse
from membudget.cache.cache import Cache
from membudget.registry import Registry

FOREVER = float("inf")


@dataclass(frozen=True)
class Name:
    """A key with an `__eq__` and a `__hash__` written in Python."""

    number: int


class Value:
    def __init__(self, number: int) -> None:
        self.number = number


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311  # no secret depends on it


def use_much(cache: Cache[Any, Value], make: Callable[[int], Any], seed: int, times: int) -> None:
    """Do this and that to a cache; a value found must be that of its key."""
    chance = seeded(seed)
    for _ in range(times):
        number = chance.randrange(600)
        what = chance.random()
        if what < 0.5:
            found = cache.get(make(number))
        elif what < 0.6:
            found = cache.peek(make(number))
        elif what < 0.7:
            found = cache.pop(make(number), None)
        else:
            found = None
            cache.set(make(number), Value(number), ttl=chance.choice([None, 60, 1e-4]))
        assert found is None or found.number == number
        if what > 0.999:
            cache.clear()
        elif what > 0.995:
            cache.reclaim(5000, FOREVER)
            assert len(cache.items()) <= 200


@pytest.mark.usefixtures("hasty")
def test_eight_threads_leave_a_cache_in_order() -> None:
    cache: Cache[Name, Value] = Cache(
        "hammered", max_entries=200, max_bytes="100KiB", registry=Registry()
    )
    in_threads(*(partial(use_much, cache, Name, seed, 2_000) for seed in range(8)))
    check(cache)
    stats = cache.stats()
    assert stats.hits + stats.misses > 7_000


@pytest.mark.parametrize("fails", [0.0, 0.02])
@pytest.mark.parametrize("seed", range(4))
def test_a_key_that_comes_back_or_fails_breaks_nothing(seed: int, fails: float) -> None:
    """Its error reaches who asked; the bound is kept although it cannot be found again."""
    cache: Cache[Any, Value] = Cache("hostile", max_entries=15, registry=Registry())

    def step(key: Hostile, what: int) -> None:
        found = None
        if what < 30:
            cache.set(key, Value(key.number), ttl=use.chance.choice([None, 60, 1e-6]))
        elif what < 50:
            found = cache.get(key)
        elif what < 65:
            found = cache.pop(key, None)
        elif what < 79:
            cache.reclaim(500, FOREVER)
        else:
            cache.clear()
        assert found is None or found.number == key.number

    use = HostileUse(step, seed, fails)
    use.run(1_500)
    assert len(cache) <= 15
    check(cache)


def test_a_key_that_changes_the_cache_at_each_comparison_is_not_compared_for_ever() -> None:
    """It gets an error, or what is there; the cache is in order."""
    cache: Cache[Any, int] = Cache("restless", max_entries=50, registry=Registry())

    class Restless:
        def __hash__(self) -> int:
            return 7

        def __eq__(self, other: object) -> bool:
            cache.set("mark", 1)
            cache.delete("mark")
            return self is other

    cache.set(Restless(), 1)
    for use in (cache.get, cache.peek, lambda key: cache.set(key, 2)):
        with contextlib.suppress(RuntimeError):
            use(Restless())
    assert len(cache) <= 2
    check(cache)


def test_a_key_whose_hash_changes_can_still_be_evicted() -> None:
    """It cannot be found any more, but it does not stay for ever."""

    class Moving:
        def __init__(self) -> None:
            self.hash = 1

        def __hash__(self) -> int:
            return self.hash

    cache: Cache[Moving, int] = Cache("moving", max_entries=3, registry=Registry())
    keys = [Moving() for _ in range(10)]
    for key in keys:
        cache.set(key, 1)
        key.hash = 2
    assert len(cache) == 3
    assert cache.reclaim(1 << 30, FOREVER) > 0
    assert len(cache) == cache.held_bytes() == 0
    check(cache)


def test_a_finalizer_may_use_the_cache() -> None:
    cache: Cache[int, Any] = Cache("finalized", max_entries=20, registry=Registry())
    seen: list[int] = []

    class Last:
        def __init__(self, number: int) -> None:
            self.number = number

        def __del__(self) -> None:
            seen.append(self.number)
            check(cache)
            cache.get(self.number)
            if self.number < 1000:
                cache.set(self.number + 1000, self.number)

    for number in range(100):
        cache.set(number, Last(number))
        cache.set(number, Last(number))
        check(cache)
    cache.pop(99)
    cache.resize(max_entries=10)
    cache.reclaim(1000, FOREVER)
    cache.clear()
    gc.collect()
    assert sorted(seen) == sorted([*range(100), *range(100)])
    check(cache)


def test_whoever_walks_the_collectors_objects_meets_none_half_made() -> None:
    """A callback of the collector may look at every list there is, at any moment."""
    # Now: pytest parses what is imported, and CPython's parser has lists half made meanwhile.
    importlib.import_module("membudget.cache.upkeep")
    cache: Cache[int, list[int]] = Cache(
        "walked", max_entries=500, on_evict=lambda *_: None, registry=Registry()
    )

    def walk(_phase: str, _info: object) -> None:
        for found in gc.get_objects(generation=0):
            if type(found) is list:
                list.copy(found)

    for number in range(500):
        cache.set(number, [number])
    before = gc.get_threshold()
    gc.callbacks.append(walk)
    gc.set_threshold(1)
    try:
        cache.shrink("1MiB")
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(walk)
    assert len(cache) == 0


@pytest.mark.parametrize("seed", range(20))
def test_a_clock_that_says_anything_breaks_nothing(seed: int) -> None:
    """It leaps to and fro, to infinity and beyond; what cannot be is an error of that call."""
    chance, clock = seeded(seed), FakeClock()
    cache: Cache[int, int] = Cache(
        "leaping", max_entries=50, idle=chance.choice([None, 100]), registry=Registry(), clock=clock
    )
    for number in range(500):
        if chance.random() < 0.1:
            clock.time = chance.choice([0.0, -1e12, 1e9, 1e18, -1e300, 1e300, FOREVER, -FOREVER])
        with contextlib.suppress(OverflowError, ValueError):
            cache.set(number % 80, number, ttl=chance.choice([None, 0.01, 1e5, 1e9]))
            assert cache.get(number % 80, number) == number
            cache._sweep()
    clock.time = 1000.0
    cache.clear()
    assert cache.held_bytes() == len(cache) == 0


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timers")
def test_a_signal_handler_may_use_the_cache() -> None:
    """It runs between any two bytecodes, in the middle of an operation of the same thread."""
    cache: Cache[int, Value] = Cache("signalled", max_entries=200, registry=Registry())
    chance = seeded(5)
    handled = 0

    def handle(*_: object) -> None:
        nonlocal handled
        handled += 1
        use_much(cache, int, chance.randrange(1 << 30), 5)

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
    try:
        for seed in range(50):
            use_much(cache, int, seed, 400)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert handled > 20
    assert len(cache) <= 201
    check(cache)
