"""The weak cache: a value is found for as long as somebody holds it, and not a moment longer."""

import copy
import gc
import pickle
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from beside import held_elsewhere, in_threads
from fakes import Asking
from membudget.containers.ordered import BoundedDict
from membudget.containers.weak import ENTRY_BYTES, WeakCache
from membudget.core import Chore, Holder, Reclaimer
from membudget.core.protocols import ForkAware
from membudget.errors import ConfigError
from membudget.registry import Registry
from membudget.sizing import size_of

FOREVER = float("inf")

PLACE = BoundedDict.ENTRY_BYTES
"""What a value costs that is kept alive, its number aside."""


class Value:
    """Something to which there are weak references."""

    def __init__(self, number: int = 0) -> None:
        self.number = number


def made(**more: Any) -> WeakCache[Any, Any]:
    more.setdefault("registry", Registry())
    return WeakCache("weak", **more)


def check(cache: WeakCache[Any, Any]) -> None:
    assert {*cache._strong} <= {entry.number for entry in cache._refs.values()}
    assert cache.held_bytes() == cache._strong.held_bytes() + cache._refs.held_bytes()


def test_it_is_what_the_budget_looks_for() -> None:
    cache = made()
    for protocol in (Holder, Reclaimer, Chore, ForkAware):
        assert isinstance(cache, protocol)


def test_a_value_lives_while_somebody_holds_it() -> None:
    cache, value = made(), Value()
    cache["a"] = value
    assert cache["a"] is value
    assert "a" in cache
    assert (len(cache), list(cache), cache.items()) == (1, ["a"], [("a", value)])
    del value
    assert cache.get("a") is None
    assert "a" not in cache
    assert (len(cache), cache.items(), cache.held_bytes()) == (0, [], 0)
    with pytest.raises(KeyError, match="a"):
        cache["a"]
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.sets, stats.died) == (1, 2, 1, 1)


def test_a_key_set_again_outlives_its_first_value() -> None:
    """The first one's death says nothing about the second."""
    cache = made()
    first, second = Value(1), Value(2)
    cache.set("a", first)
    cache.set("a", second)
    del first
    assert cache.get("a") is second
    third = Value(3)
    cache.set("b", Value(0))  # Dead at once, and not yet swept.
    cache.set("b", third)
    gc.collect()
    assert len(cache) == 2
    assert cache["b"] is third
    check(cache)


def test_a_late_sweep_spares_a_key_set_again() -> None:
    """Of many that die at once, some are swept only after their keys were set again."""
    cache, values = made(), [Value(number) for number in range(200)]
    for number, value in enumerate(values):
        cache.set(number, value)
    del value
    values.clear()
    again = Value(0)
    cache.set(0, again)  # A list frees its items from the end: this one died last.
    assert cache._dead
    assert len(cache) == 1
    assert cache[0] is again
    check(cache)


def test_the_strong_part_keeps_the_last_used_alive() -> None:
    cache = made(strong=2)
    for number in range(2):
        cache.set(number, Value(number))
    assert cache[0].number == 0
    held = cache[1]
    assert cache[0].number == 0
    cache.set(2, Value(2))
    assert cache[1] is held
    assert (cache.stats().strong, cache.stats().released) == (2, 2)
    assert sorted(cache) == [1, 2]
    check(cache)


def test_the_strong_part_keeps_a_bound_in_bytes() -> None:
    """A value heavier than that stays weak."""
    cache = made(max_bytes="10KiB", size=lambda value: value.number)
    for number in range(10):
        cache.set(number, Value(3000 + number))
    assert list(cache) == [7, 8, 9]
    assert 9024 + 3 * PLACE <= cache.stats().strong_bytes <= 9024 + 3 * (PLACE + 32)
    heavy = Value(50_000)
    cache.set("heavy", heavy)
    assert cache["heavy"] is heavy
    assert len(cache) == 4
    del heavy
    assert sorted(cache) == [7, 8, 9]
    check(cache)


@pytest.mark.parametrize("value", [5, "text", [1], {}, None, (1, 2)])
def test_a_value_without_weak_references_is_refused_in_words(value: Any) -> None:
    cache = made()
    with pytest.raises(ConfigError, match=f"type {type(value).__name__}.*strong=.*class"):
        cache.set("a", value)
    assert len(cache) == cache.held_bytes() == 0


def test_the_strong_part_takes_any_value() -> None:
    cache = made(strong=2)
    for key, value in [("a", [1]), ("b", None), ("c", "text")]:
        cache[key] = value
    assert cache.items() == [("b", None), ("c", "text")]
    assert cache.get("b", 5) is None
    assert "a" not in cache
    cache.reclaim(1 << 40, FOREVER)
    assert len(cache) == cache.held_bytes() == 0
    small = made(max_bytes="1KiB")
    small["a"] = "x" * 5000
    assert "a" not in small
    assert small.held_bytes() == 0


def test_its_bytes_are_those_it_alone_holds() -> None:
    """Index and keys always, a value where it keeps it alive."""
    weak, strong, value = made(), made(strong=5), Value(7)
    weak.set("key", value)
    strong.set("key", value)
    assert weak.held_bytes() == ENTRY_BYTES + size_of("key")
    assert weak.reclaimable() == 0
    assert 0 <= strong.reclaimable() - size_of(value) - PLACE <= 32
    assert strong.held_bytes() == weak.held_bytes() + strong.reclaimable()


def test_a_reclaim_lets_go_of_the_longest_unused() -> None:
    cache = made(strong=100, size=lambda _: 1000)
    for number in range(100):
        cache.set(number, Value(number))
    held = cache[50]
    assert 10_000 <= cache.reclaim(10_000, FOREVER) < 10_000 + 2 * 1400
    assert len(cache) == 100 - cache.stats().released
    assert cache.reclaim(1 << 40, FOREVER) > 0
    assert cache.items() == [(50, held)]
    assert cache.reclaimable() == 0
    check(cache)


def test_the_budget_is_asked_at_every_set() -> None:
    registry = Registry()
    registry.meter = meter = Asking()
    cache = made(strong=10, size=lambda _: 1000, registry=registry)
    cache.set("a", Value())
    assert meter.claims == [cache.held_bytes()]
    meter.wanted = 1500
    cache.set("b", Value())
    assert cache.stats().strong == 0


def test_it_can_be_resized() -> None:
    """Narrower at once; a value taken in while none was kept alive stays weak."""
    cache, value = made(strong=5), Value()
    for number in range(5):
        cache.set(number, Value(number))
    cache.resize(strong=2)
    assert list(cache) == [3, 4]
    cache.resize(strong=0)
    assert len(cache) == 0
    cache.set("a", value)
    cache.resize(strong=3)
    assert cache["a"] is value
    assert cache.stats().strong == 0
    for wrong in (-1, True, "5"):
        with pytest.raises(ConfigError, match="strong"):
            cache.resize(strong=wrong)  # type: ignore[arg-type]


def test_pop_and_delete_forget() -> None:
    cache, value = made(strong=1), Value()
    cache.set("a", value)
    assert cache.pop("a") is value
    assert cache.pop("a", 5) == 5
    with pytest.raises(KeyError):
        del cache["a"]
    cache.set("a", value)
    cache.clear()
    assert len(cache) == cache.held_bytes() == 0
    del value
    assert cache.stats().died == 0


def test_a_death_takes_no_lock() -> None:
    """It may come in the middle of anything, in any thread: here while another has the lock."""
    cache, values = made(), [Value(number) for number in range(100)]
    for number, value in enumerate(values):
        cache.set(number, value)
    del value
    with cache._lock:
        in_threads(values.clear)
    assert cache.due(0.0)
    assert cache.run(FOREVER) == 100 * ENTRY_BYTES
    assert not cache.due(0.0)
    assert cache.stats().died == 100


def test_the_sweep_waits_for_no_lock_beyond_its_time() -> None:
    """Another thread may hold it for long: a key's `__eq__` may take for ever."""
    cache = made()
    cache.set("a", Value())
    with held_elsewhere(cache._lock):  # As a slow key would.
        began = time.monotonic()
        assert cache.due(0)
        assert cache.run(began + 0.05) == 0
        assert time.monotonic() - began < 5
    assert cache.run(FOREVER) > 0


def test_deaths_do_not_pile_up() -> None:
    cache = made()
    for number in range(1000):
        cache.set(number, Value(number))
    assert len(cache._refs) + len(cache._dead) <= 4


@pytest.mark.usefixtures("uncollected")
def test_it_keeps_no_value_and_nobody_keeps_it() -> None:
    registry, value = Registry(), Value()
    cache = made(registry=registry)
    cache.set("a", value)
    assert len(registry.holders()) == 1
    del cache
    assert registry.holders() == []
    del value


@pytest.mark.usefixtures("hasty")
def test_threads_leave_it_in_order() -> None:
    cache = made(strong=20, size=lambda _: 10)

    def work(seed: int) -> None:
        held = []
        for step in range(1500):
            key = (step * 7 + seed) % 60
            found = cache.get(key)
            assert found is None or found.number == key
            if found is None:
                held.append(Value(key))
                cache.set(key, held[-1])
            if step % 10 == 0:
                held.clear()
                cache.reclaim(30, FOREVER)

    in_threads(*(partial(work, seed) for seed in range(4)))
    assert len(cache) <= 60
    check(cache)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_copy_is_refused_in_words(again: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match="make another WeakCache"):
        again(made())
