"""Many values at once: as one after the other."""

from __future__ import annotations

from typing import Any

import pytest

from fakes import FakeClock
from membudget.bounded.cache import Cache
from membudget.errors import ConfigError
from membudget.registry import Registry


@pytest.fixture
def cache() -> Cache[Any, Any]:
    """A cache of 10 KiB."""
    return Cache("many", max_bytes="10KiB", registry=Registry())


def test_many_are_set_from_a_mapping_or_from_pairs(cache: Cache[Any, Any]) -> None:
    """And found; what is not there is left out, each counted."""
    assert cache.set_many({"a": 1, "b": 2}) == 2
    assert cache.set_many([("c", 3), ("a", 9)]) == 2
    assert cache.set_many([]) == 0
    assert cache.get_many(["a", "x", "c", "y"]) == {"a": 9, "c": 3}
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.sets) == (2, 2, 4)


def test_what_is_too_heavy_is_left_out(cache: Cache[Any, Any]) -> None:
    """And not counted as taken in."""
    assert cache.set_many({"light": b"", "heavy": bytes(20_000)}) == 1
    assert cache.keys() == ["light"]


def test_many_may_expire_together() -> None:
    """By the time given for all."""
    clock = FakeClock()
    cache: Cache[int, int] = Cache("timed", registry=Registry(), clock=clock)
    cache.set_many({1: 1, 2: 2}, ttl="5s")
    cache.set(3, 3)
    clock.advance(5)
    assert cache.get_many([1, 2, 3]) == {3: 3}
    with pytest.raises(ConfigError, match="ttl"):
        cache.set_many({4: 4}, ttl="5")


def test_an_error_in_the_middle_keeps_what_came_before(cache: Cache[Any, Any]) -> None:
    """It passes through."""
    with pytest.raises(TypeError, match="unhashable"):
        cache.set_many([("a", 1), ([], 2), ("b", 3)])
    assert cache.items() == [("a", 1)]
    with pytest.raises(TypeError, match="unhashable"):
        cache.get_many(["a", []])
