"""The sweeper: expired memory is free about a second later, without a thread for each cache."""

import gc
from typing import Any

import pytest

from fakes import FakeClock, Ticking
from membudget.cache.cache import Cache
from membudget.cache.upkeep import Sweeper
from membudget.core import Chore, Holder
from membudget.errors import ConfigError
from membudget.registry import Registry

FOREVER = float("inf")


def filled(name: str, registry: Registry, clock: FakeClock, entries: int) -> Cache[int, int]:
    cache: Cache[int, int] = Cache(name, ttl=60, max_bytes="1GiB", registry=registry, clock=clock)
    for number in range(entries):
        cache.set(number, number)
    return cache


def test_it_is_a_chore(registry: Registry) -> None:
    assert isinstance(Sweeper(registry), Chore)


def test_expired_entries_are_freed_within_about_a_second(
    registry: Registry, clock: FakeClock
) -> None:
    cache = filled("idle", registry, clock, 100)
    sweeper = Sweeper(registry, clock=clock)
    clock.advance(59)
    assert not sweeper.due(clock.now())
    clock.advance(1.1)
    assert sweeper.due(clock.now())
    held = cache.held_bytes()
    assert sweeper.run(clock.now() + 1) == held
    assert len(cache) == 0
    clock.advance(2)
    assert not sweeper.due(clock.now())


def test_the_interval_rules_also_where_values_are_weighed(
    registry: Registry, clock: FakeClock
) -> None:
    """An entry waits for its round, however often there is something else to do."""
    cache: Cache[int, list[int]] = Cache("slow", ttl=60, registry=registry, clock=clock)
    cache.set(1, [])
    sweeper = Sweeper(registry, "10m", clock)
    while clock.time < 1599:
        clock.advance(1)
        if sweeper.due(clock.now()):
            sweeper.run(clock.now() + 1)
    assert len(cache) == 1
    clock.advance(1)
    assert sweeper.due(clock.now())
    sweeper.run(clock.now() + 1)
    assert len(cache) == 0


def test_a_round_goes_on_where_time_ran_out(registry: Registry) -> None:
    clock = Ticking()
    caches = [filled(f"cache {number}", registry, clock, 500) for number in range(3)]
    sweeper = Sweeper(registry, clock=clock)
    clock.advance(100)
    slices = 0
    while sweeper.due(clock.now()):
        began = clock.time
        sweeper.run(clock.time + 0.005)
        assert clock.time - began < 0.02
        slices += 1
    assert slices > 3
    assert [len(cache) for cache in caches] == [0, 0, 0]


def test_it_keeps_no_cache_alive(registry: Registry, clock: FakeClock) -> None:
    cache = filled("dropped", registry, clock, 10)
    sweeper = Sweeper(registry, clock=clock)
    clock.advance(100)
    sweeper.run(clock.now())
    del cache
    gc.collect()
    assert registry.holders() == []
    assert sweeper.run(clock.now() + 1) == 0


def test_a_cache_that_fails_does_not_hold_up_the_others(
    registry: Registry, clock: FakeClock
) -> None:
    """Its error is the governor's to tell; the next run goes on with the rest."""

    def fail(*_: Any) -> None:
        raise ValueError("told")

    caches = [
        Cache[int, int](f"fails {number}", ttl=60, on_evict=fail, registry=registry, clock=clock)
        for number in range(2)
    ]
    for cache in caches:
        cache.set(1, 1)
    sweeper = Sweeper(registry, clock=clock)
    clock.advance(100)
    for _ in caches:
        with pytest.raises(ValueError, match="told"):
            sweeper.run(clock.now() + 1)
    assert [len(cache) for cache in caches] == [0, 0]


def test_holders_without_deadlines_are_left_alone(registry: Registry, clock: FakeClock) -> None:
    class Holding:
        name = "holding"

        def held_bytes(self) -> int:
            return 5

    holder = Holding()
    registry.add(holder)
    assert Sweeper(registry, clock=clock).run(clock.now() + 1) == 0


def test_an_interval_that_is_none_is_refused(registry: Registry) -> None:
    with pytest.raises(ConfigError, match="interval '10' has no unit"):
        Sweeper(registry, "10")


def test_a_value_that_grew_is_weighed_again(registry: Registry, clock: FakeClock) -> None:
    cache: Cache[int, list[bytes]] = Cache(
        "grows", max_bytes="200KiB", registry=registry, clock=clock
    )
    for number in range(10):
        cache.set(number, [])
    sweeper = Sweeper(registry, clock=clock)
    before = cache.held_bytes()
    for number in range(10):
        cache.get(number, []).append(bytes(50_000))
    clock.advance(1)
    assert sweeper.due(clock.now())
    sweeper.run(clock.now() + 1)
    assert before < cache.held_bytes() <= 200 << 10
    assert 0 < len(cache) <= 4
    assert cache.stats().evictions["bytes"] == 10 - len(cache)


def test_values_that_do_not_change_are_weighed_ever_less_often(
    registry: Registry, clock: FakeClock
) -> None:
    cache: Cache[int, list[int]] = Cache("still", registry=registry, clock=clock)
    value: list[int] = []
    cache.set(1, value)
    sweeper = Sweeper(registry, clock=clock)
    del value

    def weighings(seconds: int) -> int:
        times = 0
        for _ in range(seconds):
            clock.advance(1)
            if sweeper.due(clock.now()):
                times += 1
                sweeper.run(clock.now() + 1)
        return times

    assert weighings(100) < 12
    assert weighings(32) <= 3
    cache.get(1, []).extend(range(1000, 2000))
    assert weighings(32) >= 4


def test_numbers_and_texts_are_not_weighed_again(registry: Registry, clock: FakeClock) -> None:
    cache: Cache[str, object] = Cache("fixed", registry=registry, clock=clock)
    for value in (1, "text", b"bytes", 1.5, None):
        cache.set(str(value), value)
    cache.set("given", [], size=100)
    assert not cache.may_change()
    cache.set("list", [])
    assert cache.may_change()
    cache.delete("list")
    assert not cache.may_change()


def test_what_does_not_change_is_not_looked_through_at_each_tick(clock: FakeClock) -> None:
    """A tick asks every chore, and a hundred caches would cost each tick 30 µs."""

    class Counting(Registry):
        looks = 0

        def holders(self) -> list[Holder]:
            self.looks += 1
            return super().holders()

    registry = Counting()
    filled("numbers", registry, clock, 10)
    sweeper = Sweeper(registry, "10m", clock)
    for _ in range(200):
        clock.advance(0.02)
        assert not sweeper.due(clock.now())
    assert registry.looks <= 4
