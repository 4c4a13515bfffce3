"""The division: bytes go, slowly, to the caches where they earn most hits, within every limit."""

import gc
import weakref

import pytest

from division_scene import WHOLE, Scene, meter, share, shares, two
from fakes import MIB, Ticking
from membudget.cache.cache import Cache
from membudget.cache.division import INTERVAL, Division
from membudget.core import Chore
from membudget.core.shares import FLOOR, STEP
from membudget.registry import Registry


def test_it_is_a_chore() -> None:
    assert isinstance(Division(Registry()), Chore)


def test_a_decision_is_due_once_a_second() -> None:
    scene = Scene()
    cache = scene.cache("one")
    assert scene.division.due(scene.clock.now())
    scene.step()
    assert not scene.division.due(scene.clock.now())
    assert scene.division.due(scene.clock.now() + INTERVAL)
    assert share(cache)


def test_caches_begin_with_equal_parts() -> None:
    """Nothing is known yet, and all of the whole but the reserve for newcomers is given."""
    scene = Scene()
    caches = [scene.cache(str(number)) for number in range(4)]
    scene.step()
    assert max(shares(*caches)) - min(shares(*caches)) <= 4
    assert 0.98 * WHOLE <= sum(shares(*caches)) <= WHOLE


def test_bytes_go_where_they_earn_hits() -> None:
    """One cache is asked for far more keys than it holds; the other never for a key again."""
    scene, useful, useless = two("useful", "useless")
    for second in range(60):
        scene.ask(useful, 3_000)
        for key in range(500):
            useless.set(second * 500 + key, 1, size=1000)
        scene.step()
    assert share(useful) > 0.9 * WHOLE
    assert useful.held_bytes() > 0.8 * WHOLE


def test_where_all_earn_alike_nothing_moves_much() -> None:
    scene = Scene()
    caches = {scene.cache(str(number)): 3_000 for number in range(4)}
    scene.step()
    for _ in range(60):
        scene.live(caches, 1)
        assert all(0.17 * WHOLE < share < 0.33 * WHOLE for share in shares(*caches))


def test_it_recovers_when_the_load_changes() -> None:
    scene, one, other = two()
    scene.live({one: 4_000, other: 0}, 80)
    before = shares(one, other)
    scene.live({one: 0, other: 4_000}, 120)
    after = shares(one, other)
    assert before[0] > 0.9 * WHOLE
    assert after[1] > 0.9 * WHOLE


def test_a_decision_moves_a_small_part_only() -> None:
    scene, one, other = two()
    scene.live({one: 4_000, other: 0}, 1)
    for _ in range(40):
        before = shares(one, other)
        scene.live({one: 4_000, other: 0}, 1)
        after = shares(one, other)
        assert abs(after[0] - before[0]) <= STEP * WHOLE + 2


def test_bytes_are_given_only_once_they_are_free() -> None:
    """Where there is no time to evict, nothing is taken and nothing given."""
    scene, one, other = two()
    scene.live({one: 4_000, other: 4_000}, 5)
    before = other.held_bytes()
    for _ in range(30):
        scene.ask(one, 4_000)
        scene.step(until=scene.clock.now())
        assert sum(shares(one, other)) <= WHOLE
    assert other.held_bytes() == before
    scene.step()
    assert other.held_bytes() < before
    assert sum(shares(one, other)) <= WHOLE


def test_running_more_often_decides_no_faster() -> None:
    """`maintain()` may run every chore at any time."""
    scene, one, other = two()
    scene.live({one: 4_000, other: 0}, 5)
    before = shares(one, other)
    for _ in range(50):
        scene.ask(one, 4_000, 50)
        scene.step(0.001)
    assert shares(one, other) == before


def test_an_idle_process_stands_still() -> None:
    scene, one, other = two()
    scene.live({one: 4_000, other: 2_500}, 20)
    scene.live({one: 0, other: 0}, 200)  # What was known is forgotten by and by.
    before = shares(one, other)
    scene.live({one: 0, other: 0}, 50)
    assert shares(one, other) == before


def test_each_keeps_a_floor() -> None:
    """So that it can show that it earns something again."""
    scene, one, other = two()
    scene.live({one: 10_000, other: 0}, 200)
    assert share(other) >= int(0.98 * WHOLE * FLOOR / 2)


def test_a_cache_that_does_not_fill_its_share_gives_it_to_others() -> None:
    scene, small, large = two("small", "large")
    scene.live({small: 10, large: 4_000}, 120)
    assert share(small) < 0.1 * WHOLE
    assert len(small) == 10


def test_a_share_too_small_for_one_value_grows() -> None:
    scene, heavy, light = two("heavy", "light")
    scene.live({heavy: 0, light: 4_000}, 120)
    assert share(heavy) < 200_000
    for _ in range(60):
        for number in range(300):
            if heavy.get(number % 3) is None:
                heavy.set(number % 3, 1, size=200_000)
        scene.live({light: 4_000}, 1)
    assert len(heavy) == 3


def test_its_own_bound_is_kept_and_others_get_the_rest() -> None:
    scene = Scene()
    bound = scene.cache("bound", max_bytes=100_000)
    free = scene.cache("free")
    scene.live({bound: 4_000, free: 4_000}, 5)
    assert bound.held_bytes() <= 100_000
    assert share(bound) <= 100_000
    assert share(free) >= 0.97 * WHOLE - 100_000


def test_a_bound_set_later_frees_its_part() -> None:
    scene, one, other = two()
    scene.live({one: 4_000, other: 4_000}, 3)
    one.resize(max_bytes=50_000)
    scene.live({one: 4_000, other: 4_000}, 2)
    assert share(other) > 0.9 * WHOLE
    one.resize(max_bytes=None)
    scene.live({one: 4_000, other: 4_000}, 200)
    assert share(one) > 0.25 * WHOLE


def test_what_a_cache_held_goes_to_the_others_when_it_is_gone() -> None:
    scene, one, other = two()
    scene.live({one: 4_000, other: 4_000}, 3)
    gone = weakref.ref(other)
    del other
    gc.collect()
    assert gone() is None
    scene.step()
    assert share(one) > 0.97 * WHOLE


def test_a_newcomer_starts_small_among_full_ones_and_grows() -> None:
    """Nobody's entries go for a cache that may not need the room."""
    scene = Scene()
    old = [scene.cache("one"), scene.cache("other")]
    scene.live(dict.fromkeys(old, 4_000), 20)
    held = sum(one.held_bytes() for one in old)
    new = scene.cache("new")
    scene.step()
    assert sum(one.held_bytes() for one in old) > 0.9 * held
    assert 0 < share(new) < 0.1 * WHOLE
    scene.live(dict.fromkeys([*old, new], 4_000), 150)
    assert share(new) > 0.2 * WHOLE


def test_what_is_loaded_before_the_first_decision_finds_room() -> None:
    scene = Scene()
    scene.step()
    first, second = scene.cache("first"), scene.cache("second")
    assert shares(first, second) == [WHOLE // 2, WHOLE // 4]


def test_a_newcomer_gets_no_less_than_a_little_of_one_that_is_all_but_full() -> None:
    scene = Scene()
    old = scene.cache("old")
    scene.step()
    old.set(0, 1, size=share(old) - old.held_bytes() - 400)
    before, new = share(old), scene.cache("new")
    assert 0 < before - old.held_bytes() < 400
    assert share(new) >= WHOLE // 1024 - 1
    assert share(old) == before


def test_a_newcomer_amid_the_end_of_the_division_is_bound_to_nothing() -> None:
    class Last(Cache[int, int]):
        def held_bytes(self) -> int:
            if "new" in made:
                scene.division.lift()
            return super().held_bytes()

    scene, made = Scene(), ["old"]
    old = Last("old", registry=scene.registry, clock=scene.clock)
    scene.step()
    assert share(old)
    made.append("new")
    new = scene.cache("new")
    assert (old.share, new.share) == (None, None)


def test_a_newcomer_gets_what_others_do_not_use() -> None:
    """Half of it at once, and its part with the next decision."""
    scene = Scene()
    old = scene.cache("old")
    scene.live({old: 100}, 3)
    held, before = old.held_bytes(), share(old)
    new = scene.cache("new")
    assert share(new) > 0.4 * WHOLE
    assert share(old) + share(new) == before
    scene.step()
    assert share(new) > 0.3 * WHOLE
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
    scene, one, other = two()
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
