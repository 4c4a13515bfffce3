"""The division: bytes go, slowly, to the caches where they earn most hits."""

from division_scene import WHOLE, Scene, shares
from membudget.cache.division import FLOOR, INTERVAL, STEP, Division
from membudget.core import Chore
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
    assert cache.share is not None


def test_caches_begin_with_equal_parts() -> None:
    """Nothing is known yet, and all of the whole but the reserve for newcomers is given."""
    scene = Scene()
    caches = [scene.cache(str(number)) for number in range(4)]
    scene.step()
    assert max(shares(*caches)) - min(shares(*caches)) <= 4
    assert 0.98 * WHOLE <= sum(shares(*caches)) <= WHOLE


def test_bytes_go_where_they_earn_hits() -> None:
    """One cache is asked for far more keys than it holds; the other never for a key again."""
    scene = Scene()
    useful, useless = scene.cache("useful"), scene.cache("useless")
    for second in range(60):
        scene.ask(useful, 3_000)
        for key in range(500):
            useless.set(second * 500 + key, 1, size=1000)
        scene.step()
    assert useful.share is not None
    assert useful.share > 0.9 * WHOLE
    assert useful.held_bytes() > 0.8 * WHOLE


def test_where_all_earn_alike_nothing_moves_much() -> None:
    scene = Scene()
    caches = {scene.cache(str(number)): 3_000 for number in range(4)}
    scene.step()
    for _ in range(60):
        scene.live(caches, 1)
        assert all(0.17 * WHOLE < share < 0.33 * WHOLE for share in shares(*caches))


def test_it_recovers_when_the_load_changes() -> None:
    scene = Scene()
    one, other = scene.cache("one"), scene.cache("other")
    scene.live({one: 4_000, other: 0}, 80)
    before = shares(one, other)
    scene.live({one: 0, other: 4_000}, 120)
    after = shares(one, other)
    assert before[0] > 0.9 * WHOLE
    assert after[1] > 0.9 * WHOLE


def test_a_decision_moves_a_small_part_only() -> None:
    scene = Scene()
    one, other = scene.cache("one"), scene.cache("other")
    scene.live({one: 4_000, other: 0}, 1)
    for _ in range(40):
        before = shares(one, other)
        scene.live({one: 4_000, other: 0}, 1)
        after = shares(one, other)
        assert abs(after[0] - before[0]) <= STEP * WHOLE + 2


def test_bytes_are_given_only_once_they_are_free() -> None:
    """Where there is no time to evict, nothing is taken and nothing given."""
    scene = Scene()
    one, other = scene.cache("one"), scene.cache("other")
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
    scene = Scene()
    one, other = scene.cache("one"), scene.cache("other")
    scene.live({one: 4_000, other: 0}, 5)
    before = shares(one, other)
    for _ in range(50):
        scene.ask(one, 4_000, 50)
        scene.step(0.001)
    assert shares(one, other) == before


def test_an_idle_process_stands_still() -> None:
    scene = Scene()
    one, other = scene.cache("one"), scene.cache("other")
    scene.live({one: 4_000, other: 2_500}, 20)
    scene.live({one: 0, other: 0}, 200)  # What was known is forgotten by and by.
    before = shares(one, other)
    scene.live({one: 0, other: 0}, 50)
    assert shares(one, other) == before


def test_each_keeps_a_floor() -> None:
    """So that it can show that it earns something again."""
    scene = Scene()
    one, other = scene.cache("one"), scene.cache("other")
    scene.live({one: 10_000, other: 0}, 200)
    assert other.share is not None
    assert other.share >= int(0.98 * WHOLE * FLOOR / 2)


def test_a_cache_that_does_not_fill_its_share_gives_it_to_others() -> None:
    scene = Scene()
    small, large = scene.cache("small"), scene.cache("large")
    scene.live({small: 10, large: 4_000}, 120)
    assert small.share is not None
    assert small.share < 0.1 * WHOLE
    assert len(small) == 10


def test_a_share_too_small_for_one_value_grows() -> None:
    scene = Scene()
    heavy, light = scene.cache("heavy"), scene.cache("light")
    scene.live({heavy: 0, light: 4_000}, 120)
    assert heavy.share is not None
    assert heavy.share < 200_000
    for _ in range(60):
        for number in range(300):
            if heavy.get(number % 3) is None:
                heavy.set(number % 3, 1, size=200_000)
        scene.live({light: 4_000}, 1)
    assert len(heavy) == 3
