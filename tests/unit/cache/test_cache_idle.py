"""Values that expire unless they are used, and how long each has left."""

import pytest

from cache_oracle import check
from fakes import FakeClock
from membudget.cache.cache import Cache
from membudget.registry import Registry

FOREVER = float("inf")


@pytest.fixture(params=["gdsf", "s3fifo", "lru"])
def cache(request: pytest.FixtureRequest, clock: FakeClock) -> Cache[str, int]:
    return Cache(
        "idle",
        ttl="1m",
        idle="10s",
        max_entries=100,
        policy=request.param,
        registry=Registry(),
        clock=clock,
    )


def test_what_is_not_used_expires(cache: Cache[str, int], clock: FakeClock) -> None:
    cache.set("a", 1)
    clock.advance(10 - 1 / 64)
    assert "a" in cache
    clock.advance(1 / 64)
    assert "a" not in cache
    assert cache.peek("a") is None
    assert cache.keys() == []
    assert cache.get("a") is None
    assert cache.stats().expirations == 1


def test_a_hit_keeps_a_value_and_a_look_does_not(cache: Cache[str, int], clock: FakeClock) -> None:
    cache.set("used", 1)
    cache.set("seen", 1)
    for _ in range(5):
        clock.advance(6)
        assert cache.get("used") == 1
        cache.peek("seen")
    assert cache.keys() == ["used"]
    assert cache.sweep(FOREVER) > 0
    assert len(cache) == 1
    check(cache)


def test_no_use_outlasts_the_time_to_live(cache: Cache[str, int], clock: FakeClock) -> None:
    cache.set("a", 1)
    for _ in range(59):
        clock.advance(1)
        assert cache.get("a") == 1
    clock.advance(1)
    assert cache.get("a") is None


def test_the_time_left_is_told(cache: Cache[str, int], clock: FakeClock) -> None:
    cache.set("a", 1)
    clock.advance(4)
    assert cache.ttl_left("a") == 6
    cache.get("a")
    assert cache.ttl_left("a") == 10
    cache.set("b", 1, ttl=5)
    clock.advance(1)
    assert cache.ttl_left("b") == 4
    clock.advance(4)
    for absent in ("b", "never there"):
        with pytest.raises(KeyError, match=absent):
            cache.ttl_left(absent)
    lasting: Cache[str, int] = Cache("lasting", registry=Registry(), clock=clock)
    lasting.set("a", 1)
    assert lasting.ttl_left("a") is None


def test_an_idle_value_is_swept_although_another_one_is_used(
    cache: Cache[str, int], clock: FakeClock
) -> None:
    for number in range(200):
        cache.set(str(number), number)
    for _ in range(20):
        clock.advance(5)
        for number in range(100, 110):
            cache.set(str(number), number)
        cache.sweep(FOREVER)
    assert sorted(cache.keys()) == [str(number) for number in range(100, 110)]
    check(cache)
