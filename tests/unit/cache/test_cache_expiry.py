"""Times of expiry, unused values' too: what has expired is not returned, nor held for long."""

import pytest

from cache_oracle import check
from fakes import FakeClock
from membudget.cache.cache import Cache
from membudget.registry import Registry

FOREVER = float("inf")


@pytest.fixture
def told() -> list[tuple[str, int, str]]:
    return []


@pytest.fixture
def cache(
    registry: Registry, clock: FakeClock, told: list[tuple[str, int, str]]
) -> Cache[str, int]:
    return Cache(
        "timed",
        ttl="1m",
        max_entries=100,
        on_evict=lambda *what: told.append(what),
        registry=registry,
        clock=clock,
    )


def test_what_has_expired_is_never_returned(cache: Cache[str, int], clock: FakeClock) -> None:
    cache.set("a", 1)
    clock.advance(59.9)
    assert cache.get("a") == 1
    clock.advance(0.1)
    assert "a" not in cache
    assert cache.peek("a") is None
    assert [*cache.keys(), *cache.values(), *cache.items()] == []
    assert cache.pop("a", None) is None
    cache.set("a", 2)
    clock.advance(60)
    assert cache.get("a") is None
    assert cache.stats().misses == 1


def test_an_entry_may_have_a_time_of_its_own(cache: Cache[str, int], clock: FakeClock) -> None:
    cache.set("short", 1, ttl="10s")
    cache.set("long", 1, ttl=600)
    cache.set("usual", 1)
    clock.advance(10)
    assert cache.keys() == ["long", "usual"]
    clock.advance(50)
    assert cache.keys() == ["long"]


def test_a_value_set_again_lasts_anew(cache: Cache[str, int], clock: FakeClock) -> None:
    cache.set("a", 1)
    clock.advance(30)
    cache.set("a", 2)
    clock.advance(30)
    assert cache.sweep(FOREVER) == 0
    assert cache.get("a") == 2
    cache.set("a", 3, ttl=1)
    clock.advance(1)
    assert cache.sweep(FOREVER) > 0
    assert len(cache) == 0


def test_a_touched_entry_that_has_expired_is_freed(
    cache: Cache[str, int], clock: FakeClock, told: list[tuple[str, int, str]]
) -> None:
    cache.set("a", 1)
    cache.set("b", 2)
    clock.advance(60)
    cache.get("a")
    with pytest.raises(KeyError):
        cache.pop("b")
    assert len(cache) == cache.held_bytes() == 0
    assert told == [("a", 1, "expired"), ("b", 2, "expired")]
    assert cache.stats().expirations == 2


def test_each_set_frees_two_that_have_expired(cache: Cache[str, int], clock: FakeClock) -> None:
    """So that a cache in use needs no sweeper; until then they count."""
    for number in range(10):
        cache.set(f"old {number}", number)
    clock.advance(60)
    assert len(cache) == 10
    cache.set("a", 1)
    assert len(cache) == 9
    cache.set("b", 1)
    assert len(cache) == 8


def test_a_sweep_frees_what_has_expired_and_nothing_else(
    cache: Cache[str, int], clock: FakeClock, told: list[tuple[str, int, str]]
) -> None:
    for number in range(50):
        cache.set(f"old {number}", number)
    before = cache.held_bytes()
    for number in range(50):
        cache.set(f"long {number}", number, ttl=600)
    held = cache.held_bytes()
    clock.advance(60)
    assert cache.sweep(FOREVER) == before
    assert cache.held_bytes() == held - before
    assert {cause for _, _, cause in told} == {"expired"}
    assert len(cache.keys()) == 50


def test_a_sweep_finds_the_one_that_has_expired_among_very_many(
    registry: Registry, clock: FakeClock
) -> None:
    cache: Cache[object, int] = Cache("many", registry=registry, clock=clock, max_entries=40_000)
    for number in range(30_000):
        cache.set(number, number, ttl=3601 + number % 7 * 5)
    cache.set("first", 1, ttl=3600)
    clock.advance(3600.5)
    assert cache.sweep(FOREVER) > 0
    assert len(cache) == 30_000


def test_no_live_entry_is_evicted_while_an_expired_one_is_held(
    registry: Registry, clock: FakeClock
) -> None:
    cache: Cache[str, int] = Cache("order", max_entries=6, registry=registry, clock=clock)
    cache.set("live", 1)
    for number in range(5):
        cache.set(f"old {number}", number, ttl=5)
    clock.advance(5)
    for number in range(5):
        cache.set(f"new {number}", number)
    assert cache.keys()[0] == "live"
    assert sum(cache.stats().evictions.values()) == 0
    assert cache.stats().expirations == 5


def test_setting_a_key_over_and_over_piles_nothing_up(registry: Registry) -> None:
    cache: Cache[int, int] = Cache("again", max_entries=100, ttl="1h", registry=registry)
    for number in range(5_000):
        cache.set(number % 3, number)
        cache.set(1000 + number, number)
        if not number % 100:
            check(cache)
    assert len(cache) == 100


def test_a_reclaim_frees_the_expired_first(cache: Cache[str, int], clock: FakeClock) -> None:
    cache.set("live", 1, ttl=600)
    cache.set("old", 1)
    clock.advance(60)
    assert cache.reclaim(1, FOREVER) > 0
    assert cache.keys() == ["live"]
    assert cache.stats().expirations == 1
    assert cache.stats().evictions["pressure"] == 0


def test_the_soonest_deadline_is_known_without_a_search(
    cache: Cache[str, int], clock: FakeClock
) -> None:
    assert not cache.has_expired(clock.now() + 1e9)
    cache.set("a", 1)
    cache.set("b", 1, ttl=5)
    assert not cache.has_expired(clock.now())
    assert cache.has_expired(clock.now() + 5)


def test_a_cleared_cache_forgets_its_deadlines(cache: Cache[str, int], clock: FakeClock) -> None:
    cache.set("a", 1)
    cache.clear()
    cache.set("a", 2, ttl=600)
    clock.advance(60)
    assert cache.sweep(FOREVER) == 0
    assert cache.get("a") == 2
    check(cache)


@pytest.mark.parametrize("span", [1.0, 60.0, 4000.0, 86400.0, 10 * 86400.0, 1e9])
def test_what_expires_goes_at_its_time_and_not_before(
    span: float, registry: Registry, clock: FakeClock
) -> None:
    """However far off; to 1/64 s."""
    cache: Cache[int, int] = Cache("spans", max_entries=1000, registry=registry, clock=clock)
    begun = clock.now()
    for number in range(1, 101):
        cache.set(number, number, ttl=span * number / 100)
    for number in range(1, 101, 9):
        clock.advance(max(0.0, begun + span * number / 100 - 1 / 32 - clock.now()))
        cache.sweep(FOREVER)
        assert number in cache.keys()  # noqa: SIM118  # what is held, not what is found
        clock.advance(1 / 16)
        cache.sweep(FOREVER)
        assert number not in cache
    clock.advance(span)
    cache.sweep(FOREVER)
    assert len(cache) == 0
    check(cache)


@pytest.mark.parametrize("ttl", [70.5, 4000.0])
def test_many_that_expire_together_are_all_swept(
    ttl: float, registry: Registry, clock: FakeClock
) -> None:
    """More than one search moves up, those used meanwhile among them."""
    cache: Cache[int, int] = Cache(
        "flood", max_entries=9000, idle=ttl, registry=registry, clock=clock
    )
    for number in range(4000):
        cache.set(number, number)
    clock.advance(ttl / 2)
    for number in range(3000):
        cache.get(number)
    clock.advance(ttl / 2 + 1 / 16)
    cache.sweep(FOREVER)
    assert len(cache) == 3000
    clock.advance(ttl / 2)
    cache.sweep(FOREVER)
    assert len(cache) == 0


@pytest.fixture(params=["gdsf", "s3fifo", "lru"])
def idle(request: pytest.FixtureRequest, clock: FakeClock) -> Cache[str, int]:
    return Cache(
        "idle",
        ttl="1m",
        idle="10s",
        max_entries=100,
        policy=request.param,
        registry=Registry(),
        clock=clock,
    )


def test_what_is_not_used_expires(idle: Cache[str, int], clock: FakeClock) -> None:
    idle.set("a", 1)
    clock.advance(10 - 1 / 64)
    assert "a" in idle
    clock.advance(1 / 64)
    assert "a" not in idle
    assert idle.peek("a") is None
    assert idle.keys() == []
    assert idle.get("a") is None
    assert idle.stats().expirations == 1


def test_a_hit_keeps_a_value_and_a_look_does_not(idle: Cache[str, int], clock: FakeClock) -> None:
    idle.set("used", 1)
    idle.set("seen", 1)
    for _ in range(5):
        clock.advance(6)
        assert idle.get("used") == 1
        idle.peek("seen")
    assert idle.keys() == ["used"]
    assert idle.sweep(FOREVER) > 0
    assert len(idle) == 1
    check(idle)


def test_no_use_outlasts_the_time_to_live(idle: Cache[str, int], clock: FakeClock) -> None:
    idle.set("a", 1)
    for _ in range(59):
        clock.advance(1)
        assert idle.get("a") == 1
    clock.advance(1)
    assert idle.get("a") is None


def test_the_time_left_is_told(idle: Cache[str, int], clock: FakeClock) -> None:
    idle.set("a", 1)
    clock.advance(4)
    assert idle.ttl_left("a") == 6
    idle.get("a")
    assert idle.ttl_left("a") == 10
    idle.set("b", 1, ttl=5)
    clock.advance(1)
    assert idle.ttl_left("b") == 4
    clock.advance(4)
    for absent in ("b", "never there"):
        with pytest.raises(KeyError, match=absent):
            idle.ttl_left(absent)
    lasting: Cache[str, int] = Cache("lasting", registry=Registry(), clock=clock)
    lasting.set("a", 1)
    assert lasting.ttl_left("a") is None


def test_an_idle_value_is_swept_although_another_one_is_used(
    idle: Cache[str, int], clock: FakeClock
) -> None:
    for number in range(200):
        idle.set(str(number), number)
    for _ in range(20):
        clock.advance(5)
        for number in range(100, 110):
            idle.set(str(number), number)
        idle.sweep(FOREVER)
    assert sorted(idle.keys()) == [str(number) for number in range(100, 110)]
    check(idle)
