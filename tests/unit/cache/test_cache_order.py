"""The order of eviction: what is asked for once leaves early, what returns is kept."""

from collections.abc import Iterable
from typing import Any

import pytest

from membudget.cache.cache import Cache
from membudget.cache.table import IS_COMPILED, POLICIES
from membudget.registry import Registry

FOREVER = float("inf")

needs_compiled = pytest.mark.skipif(not IS_COMPILED, reason="in plain Python all is LRU")


def cache(policy: str = "s3fifo", **bounds: Any) -> Cache[Any, int]:
    bounds = bounds or {"max_entries": 10}
    return Cache("order", policy=policy, size=lambda _: 0, registry=Registry(), **bounds)


def asked(one: Cache[Any, int], keys: Iterable[object], times: int = 1) -> None:
    for _ in range(times):
        for key in list(keys):
            one.get(key)


@needs_compiled
def test_a_scan_does_not_displace_what_is_used() -> None:
    for policy, survivors in (("s3fifo", 5), ("gdsf", 5), ("lru", 0)):
        one = cache(policy)
        for key in range(5):
            one.set(key, key)
        asked(one, range(5), 2)
        for key in range(1000, 1100):
            one.set(key, key)
            if policy == "gdsf":  # There what is not asked for again grows old as well.
                asked(one, range(5))
        assert sum(key in one for key in range(5)) == survivors


@needs_compiled
def test_a_single_hit_does_not_promote() -> None:
    """Two do: many things are looked at once right after they were set."""
    one = cache()
    one.set("once", 1)
    one.set("twice", 2)
    asked(one, ["once", "twice", "twice"])
    for key in range(20):
        one.set(key, key)
    assert "once" not in one
    assert "twice" in one


@needs_compiled
def test_a_key_that_returns_soon_goes_to_the_main_queue() -> None:
    one = cache()
    for key in range(11):
        one.set(key, key)
    assert 0 not in one
    one.set(0, 0)
    assert one.stats().ghost_hits == 1
    for key in range(100, 115):
        one.set(key, key)
    assert 0 in one


@needs_compiled
@pytest.mark.parametrize("policy", POLICIES)
def test_a_key_is_forgotten_after_as_many_as_there_are_entries(policy: str) -> None:
    """It would not have been a hit in a cache of twice the size."""
    one = cache(policy, max_entries=100)
    for key in range(200):
        one.set(key, key)
    for key in range(95, 100):
        one.set(key, key)
    late = one.stats().ghost_hits
    assert late >= 4  # Another key may have taken the slot of one.
    for key in range(1000, 1100):
        one.set(key, key)
    for key in range(50):
        one.set(key, key)
    assert one.stats().ghost_hits == late


@needs_compiled
def test_the_main_queue_passes_over_what_was_hit() -> None:
    """Once for each hit, three at most."""
    one = cache()
    for key in range(10):
        one.set(key, key)
    asked(one, range(10), 2)
    one.set("new", 1)
    assert one.keys() == ["new", *range(1, 10)]
    asked(one, [1], 5)
    one.reclaim(1, FOREVER)
    assert 1 in one
    assert 2 not in one


@needs_compiled
def test_the_small_queue_is_a_tenth_of_what_binds() -> None:
    """Of the bytes; of the entries where only they are bounded."""
    light, heavy = cache(max_entries=100), cache(max_entries=100, max_bytes=1 << 20)
    for one in (light, heavy):
        for key in range(90):
            one.set(key, key, size=10)
        asked(one, range(90), 2)
        for key in range(100, 110):
            one.set(key, key, size=5_000)
        one.set("new", 1)
        for key in range(100, 109):
            one.delete(key)
        for _ in range(5):
            one.reclaim(1, FOREVER)
    # One heavy entry is left beside the new one: few entries, but most of the bytes.
    assert 109 in light
    assert 109 not in heavy


def test_the_last_used_goes_last_in_lru_order() -> None:
    one = cache("lru", max_entries=4)
    for key in range(4):
        one.set(key, key)
    one.get(0)
    one.set(1, 5)
    assert one.keys() == [2, 3, 0, 1]
    one.set(9, 9)
    assert one.keys() == [3, 0, 1, 9]


@pytest.mark.parametrize("policy", POLICIES)
def test_the_entry_just_set_is_evicted_last(policy: str) -> None:
    one = cache(policy)
    for key in range(10):
        one.set(key, key)
    asked(one, range(10), 3)
    one.set(3, 3)
    while len(one) > 1:
        one.reclaim(1, FOREVER)
    assert one.keys() == [3]
    assert one.reclaim(1, FOREVER) > 0
    assert len(one) == 0


@needs_compiled
def test_an_old_entry_set_again_is_passed_over_once_and_leaves_in_its_turn() -> None:
    one: Cache[int, int] = Cache("order", policy="gdsf", max_bytes=5_000, registry=Registry())
    for key in range(10):
        one.set(key, key, size=400)
    own = one.held_bytes() - 4_000
    one.resize(max_bytes=4_000 + own)
    one.set(0, 0, size=401)
    assert one.keys() == [*range(2, 10), 0]
    for key in range(10, 40):
        one.set(key, key, size=400)
        assert (0 in one) is (key < 36)  # It has a second chance, as what was asked for.


def test_without_the_compiled_core_every_policy_is_lru_and_the_figures_say_so() -> None:
    assert cache("s3fifo").stats().policy == ("s3fifo" if IS_COMPILED else "lru")
    with pytest.raises(ValueError, match="policy 'mru' is not known"):
        cache("mru")
