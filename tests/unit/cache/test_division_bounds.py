"""The division: newcomers, bounds, limits that change, and no limit at all."""

import gc
import weakref

import pytest

from division_scene import WHOLE, Scene, meter, shares
from fakes import MIB, Ticking


def test_its_own_bound_is_kept_and_others_get_the_rest() -> None:
    scene = Scene()
    bound = scene.cache("bound", max_bytes=100_000)
    free = scene.cache("free")
    scene.live({bound: 4_000, free: 4_000}, 5)
    assert bound.held_bytes() <= 100_000
    assert bound.share is not None
    assert free.share is not None
    assert bound.share <= 100_000
    assert free.share >= 0.97 * WHOLE - 100_000


def test_a_bound_set_later_frees_its_part() -> None:
    scene = Scene()
    one, other = scene.cache("one"), scene.cache("other")
    scene.live({one: 4_000, other: 4_000}, 3)
    one.resize(max_bytes=50_000)
    scene.live({one: 4_000, other: 4_000}, 2)
    assert other.share is not None
    assert other.share > 0.9 * WHOLE
    one.resize(max_bytes=None)
    scene.live({one: 4_000, other: 4_000}, 200)
    assert one.share is not None
    assert one.share > 0.25 * WHOLE


def test_what_a_cache_held_goes_to_the_others_when_it_is_gone() -> None:
    scene = Scene()
    one, other = scene.cache("one"), scene.cache("other")
    scene.live({one: 4_000, other: 4_000}, 3)
    gone = weakref.ref(other)
    del other
    gc.collect()
    assert gone() is None
    scene.step()
    assert one.share is not None
    assert one.share > 0.97 * WHOLE


def test_a_newcomer_starts_small_among_full_ones_and_grows() -> None:
    """Nobody's entries go for a cache that may not need the room."""
    scene = Scene()
    old = [scene.cache("one"), scene.cache("other")]
    scene.live(dict.fromkeys(old, 4_000), 20)
    held = sum(one.held_bytes() for one in old)
    new = scene.cache("new")
    scene.step()
    assert sum(one.held_bytes() for one in old) > 0.9 * held
    assert new.share is not None
    assert 0 < new.share < 0.1 * WHOLE
    scene.live(dict.fromkeys([*old, new], 4_000), 150)
    assert new.share > 0.2 * WHOLE


def test_a_newcomer_gets_what_others_do_not_use() -> None:
    scene = Scene()
    old = scene.cache("old")
    scene.live({old: 100}, 3)
    held = old.held_bytes()
    new = scene.cache("new")
    scene.step()
    assert new.share is not None
    assert new.share > 0.3 * WHOLE
    assert old.held_bytes() == held


def test_many_newcomers_at_once_stay_within_the_whole() -> None:
    """Each has its share from its first moment, were it nothing until the next decision."""
    scene = Scene()
    old = scene.cache("old")
    scene.live({old: 4_000}, 3)
    new = [scene.cache(str(number)) for number in range(40)]
    assert scene.division.due(scene.clock.now())
    for one in new:
        scene.ask(one, 100, 20)
        assert scene.registry.held_bytes() <= WHOLE
    scene.step()
    assert min(shares(*new)) > 0
    assert sum(shares(old, *new)) <= WHOLE


def test_a_smaller_whole_is_reached_in_slices() -> None:
    scene = Scene(20 * MIB, Ticking())
    one, other = scene.cache("one"), scene.cache("other")
    for key in range(8_000):
        one.set(key, 1, size=1000)
        other.set(key, 1, size=1000)
    scene.step()
    scene.whole = 2 * MIB
    runs = 0
    while scene.registry.held_bytes() > 2 * MIB or not runs:
        scene.division.run(scene.clock.now() + 0.005)
        assert scene.division.due(scene.clock.time) or scene.registry.held_bytes() <= 2 * MIB
        runs += 1
    assert runs > 3
    assert one.stats().evictions["share"] > 0


def test_an_error_of_a_listener_reaches_the_governor_and_stops_nothing() -> None:
    scene = Scene(4 * MIB)

    def fails(_key: int, _value: int, _cause: str) -> None:
        raise ZeroDivisionError

    one, other = scene.cache("one", on_evict=fails), scene.cache("other")
    scene.step()
    for key in range(1_500):
        one.set(key, 1, size=1000)
        other.set(key, 1, size=1000)
    scene.step()
    scene.whole = MIB
    for _ in range(100):
        with pytest.raises(ZeroDivisionError):
            scene.step()
        if scene.registry.held_bytes() <= MIB:
            break
    assert other.held_bytes() <= MIB / 2
    assert scene.registry.held_bytes() <= MIB


def test_without_a_limit_there_are_no_shares_while_there_is_room() -> None:
    scene = Scene(None)
    caches = [scene.cache("one", max_bytes=WHOLE), scene.cache("other", max_bytes=WHOLE)]
    scene.registry.meter = meter(scene.registry, used=0)
    scene.live(dict.fromkeys(caches, 100), 3)
    assert [one.share for one in caches] == [None, None]


def test_without_a_limit_caches_are_divided_where_room_is_scarce() -> None:
    scene = Scene(None)
    caches = [scene.cache("one", max_bytes=WHOLE), scene.cache("other", max_bytes=WHOLE)]
    scene.live(dict.fromkeys(caches, 4_000), 3)
    held = scene.registry.held_bytes()
    scene.registry.meter = meter(scene.registry, used=100 * MIB - held // 20)
    scene.step()
    assert sum(shares(*caches)) <= 1.06 * held
    assert min(shares(*caches)) > 0
    scene.registry.meter = meter(scene.registry, used=MIB)
    scene.step()
    assert [one.share for one in caches] == [None, None]


def test_a_cache_alone_is_not_divided_without_a_limit() -> None:
    scene = Scene(None)
    cache = scene.cache("one")
    scene.ask(cache, 4_000)
    scene.registry.meter = meter(scene.registry, used=100 * MIB)
    scene.step()
    assert cache.share is None


def test_a_limit_taken_back_or_an_end_lifts_the_shares() -> None:
    scene = Scene()
    one, other = scene.cache("one"), scene.cache("other")
    scene.step()
    scene.whole = None
    scene.step()
    assert [one.share, other.share] == [None, None]
    scene.whole = WHOLE
    scene.step()
    assert None not in (one.share, other.share)
    scene.division.lift()
    assert [one.share, other.share] == [None, None]
    assert scene.cache("late").share is None
