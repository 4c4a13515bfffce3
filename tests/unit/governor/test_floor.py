"""A floor: what shrinking does not cure empties no cache for good, and is told once."""

import pytest

from fakes import MIB
from floors import LIMIT, Scene
from membudget.core import OWN, FloorFound, Level, PressureChanged, Reading, Severity
from membudget.governor.floor import Floor, Lines, Protection
from membudget.sinks import line_of

LINES = Lines(
    low=0.7 * LIMIT * MIB,
    stop=0.72 * LIMIT * MIB,
    critical=0.9 * LIMIT * MIB,
    emergency=0.95 * LIMIT * MIB,
    top=0.93 * LIMIT * MIB,
)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_hot_cache_above_a_floor_is_whole_again(scene: Scene) -> None:
    """220 MiB that an allocator keeps cost a cache of 40 MiB one filling, not all its hits."""
    cache = scene.cache(40)
    scene.run(60, 5)
    scene.run(330, 30)
    assert cache.holds == 40 * MIB


@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("floor", [290, 305, 330])
def test_whatever_the_allocator_does_the_working_set_stays(floor: int, keeps: bool) -> None:  # noqa: FBT001  # pytest's way
    """At any floor above the low mark with room for it, what was held before is held after."""
    scene = Scene(keeps=keeps)
    cache = scene.cache(40)
    scene.run(60, 5)
    scene.run(floor, 60)
    held = [cache.holds]
    for _ in range(100):
        scene.run(floor, 1)
        held.append(cache.holds)
    assert min(held) == 40 * MIB


def test_a_cache_that_begins_above_a_floor_gets_half_of_the_room_to_critical(scene: Scene) -> None:
    """Weights loaded at the start are no reason to cache nothing."""
    scene.run(300, 10)
    cache = scene.cache(100)
    scene.run(300, 400, every=0.5)
    assert cache.holds >= 25 * MIB
    assert scene.memory.used <= 0.9 * LIMIT * MIB


def test_holders_never_take_a_floor_to_the_limit(scene: Scene) -> None:
    """As far as the limit allows: beyond the emergency mark little is left to them."""
    cache = scene.cache(100)
    scene.run(60, 5)
    scene.run(370, 60)
    assert cache.holds > 0
    assert scene.memory.used < 0.97 * LIMIT * MIB


def test_what_shrinking_cures_is_no_floor(scene: Scene) -> None:
    cache = scene.cache(500)
    scene.run(60, 60)
    assert scene.governor.pressure.floor == 0
    assert scene.memory.used <= 0.8 * LIMIT * MIB
    assert cache.holds >= 200 * MIB


def test_a_floor_that_is_gone_is_forgotten(scene: Scene) -> None:
    """Holders get all of their room back, and are bounded as before."""
    cache = scene.cache(40)
    scene.run(60, 5)
    scene.run(350, 30)
    assert scene.governor.pressure.floor
    scene.run(60, 20)
    assert scene.governor.pressure.floor == 0
    assert cache.holds == 40 * MIB
    cache.wants = 500 * MIB
    scene.run(60, 30)
    assert 200 * MIB <= cache.holds <= 0.8 * LIMIT * MIB


def test_the_reason_is_told_once(scene: Scene) -> None:
    """One line says what is held and where; an hour at the floor adds none."""
    cache = scene.cache(40)
    scene.run(60, 5)
    scene.run(340, 3600, every=1.0)
    told = scene.recorder.of(FloorFound)
    assert len(told) == 1
    assert told[0].held_by == "someone else holds it"
    assert told[0].severity is Severity.WARNING
    assert told[0].pressure.floor >= 335 * MIB
    assert abs(told[0].kept - cache.holds) < 2 * MIB, "what is said to be kept is kept"


def test_without_anything_in_caches_none_are_told_of(scene: Scene) -> None:
    """A program that has no caches is not told what they keep."""
    scene.run(340, 600, every=1.0)
    (event,) = scene.recorder.of(FloorFound)
    line = line_of(event) or ""
    assert "cannot be freed: someone else holds it; what helps: a higher limit" in line


def test_at_emergency_it_is_told_that_nothing_is_left(scene: Scene) -> None:
    """Over the limit with nothing to let go: once, as an error."""
    scene.run(395, 600, every=1.0)
    (event,) = scene.recorder.of(FloorFound)
    assert (event.severity, event.is_braked, event.ends) == (Severity.ERROR, False, False)


class _Braked:
    """What the plugin of an armed brake has."""

    name = brake = "brake"


def test_the_last_word_knows_what_is_in_force_already(scene: Scene) -> None:
    scene.governor.join(_Braked())
    scene.governor.protection = Protection(
        int, scene.governor.tell, most=1, cooldown=1.0, restart_after=1.0, leave=int
    )
    scene.run(395, 60, every=1.0)
    (event,) = scene.recorder.of(FloorFound)
    assert (event.is_braked, event.ends) == (True, True)


def test_what_others_in_the_group_hold_needs_no_trial(scene: Scene) -> None:
    """By count: children or neighbours hold it, and the cache is left alone from the start."""
    cache = scene.cache(20)
    scene.run(0, 5)
    scene.memory.parts = {OWN: 20 * MIB, "cgroup": 320 * MIB}
    scene.run(300, 3)
    assert scene.governor.pressure.elsewhere == 300 * MIB
    assert cache.holds == 20 * MIB
    assert not any(event.by == "hot" for event in scene.reclaimed())
    assert not scene.futile[1].asked


def test_a_level_reached_again_is_told_as_a_detail(scene: Scene) -> None:
    """Use that swings about a mark rings once, not at every swing."""
    for _ in range(6):
        scene.run(325, 2)
        scene.run(100, 5)
    raised = [e for e in scene.recorder.of(PressureChanged) if e.pressure.level > e.before]
    news = [event for event in raised if event.severity > Severity.INFO]
    assert len(raised) >= 6
    assert len([event for event in news if event.pressure.level is Level.WARNING]) == 1
    assert raised[-1].again >= 4


@pytest.mark.parametrize(("held", "is_floor"), [(3, True), (100, False)])
def test_a_cache_that_takes_in_without_end_is_spared_only_where_it_holds_next_to_nothing(
    held: int, *, is_floor: bool
) -> None:
    """It churns at 82 % and lets go as much as it takes in: 3 MiB of 400 are not what presses."""
    floor, taken_in = Floor(5.0), 0
    for step in range(200):
        taken_in += 20 * MIB
        reading = Reading(at=step * 0.1, used=330 * MIB, limit=LIMIT * MIB)
        floor.follow(reading, held * MIB, taken_in, LINES)
    assert (floor.bytes > 0) is is_floor


def test_no_floor_is_believed_while_holders_give_back() -> None:
    """However long it takes to look where millions of entries lie: then it shows, or it is one."""
    floor = Floor(5.0)
    for step in range(200):
        reading = Reading(at=step * 0.1, used=370 * MIB, limit=LIMIT * MIB)
        floor.follow(reading, 40 * MIB, 0, LINES, is_giving_back=True)
    assert floor.bytes == 0
    floor.follow(reading, 40 * MIB, 0, LINES)
    assert floor.bytes == 330 * MIB


def test_what_comes_and_goes_above_a_floor_keeps_its_room(scene: Scene) -> None:
    """A request of 60 MiB every five seconds: the cache stops where the next one still fits."""
    scene.run(290, 20)
    cache = scene.cache(100)
    for _ in range(30):
        scene.run(350, 1)
        scene.run(290, 4)
    assert cache.holds <= (0.95 * LIMIT - 350) * MIB
    assert cache.holds >= LIMIT * MIB // 64
    scene.run(290, 700, every=1.0)
    assert cache.holds >= 30 * MIB, "what has not come for ten minutes is not waited for"


def test_a_working_set_is_left_alone_while_something_comes_and_goes(scene: Scene) -> None:
    """A hot cache that fits beside the highest use is not emptied at each swing."""
    cache = scene.cache(30)
    scene.run(60, 5)
    scene.run(290, 20)
    held = []
    for _ in range(20):
        scene.run(335, 2)
        scene.run(290, 3)
        held.append(cache.holds)
    assert min(held[5:]) == 30 * MIB
