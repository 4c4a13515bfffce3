"""A floor is no latch, either way: holders get their room back, and futile work dies down."""

from math import log2

from hypothesis import example, given, settings
from hypothesis import strategies as st

from fakes import MIB
from floors import LIMIT, Scene

_lives = st.lists(
    st.tuples(
        st.integers(min_value=0, max_value=LIMIT + 50), st.sampled_from([0.1, 1.0, 8.0, 70.0])
    ),
    max_size=12,
)


@given(_lives, st.integers(min_value=10, max_value=80), st.booleans())
@example([(0, 0.1), (276, 0.1)], 80, True)
def test_from_any_floor_holders_get_their_room_back_when_it_falls(
    lives: list[tuple[int, float]],
    wants: int,
    keeps: bool,  # noqa: FBT001  # a drawn value
) -> None:
    """Whatever came before: a minute after, no floor is known and the cache holds what it wants.

    If room is kept for what came and went, it holds what is left beside; all, hours after.
    Where the allocator keeps more than is left, use rests above the line until then.
    """
    scene = Scene(keeps=keeps)
    cache = scene.cache(wants)
    for floor, seconds in lives:
        scene.run(floor, seconds, every=min(1.0, seconds))
    scene.run(50, 60, every=0.5)
    assert scene.governor.pressure.floor == 0
    meter = scene.governor.meter
    left = meter.mark - 50 * MIB
    # It fills by the MiB, and what comes above the mark is paid for with as much again.
    if not meter.kept or scene.memory.used <= meter.brim:
        assert cache.holds >= min(wants * MIB, left) - 2 * MIB
    scene.clock.advance(6 * 3600)
    scene.run(50, 60, every=0.5)
    assert cache.holds >= (wants - 1) * MIB


@given(st.integers(min_value=325, max_value=LIMIT + 50), st.integers(min_value=0, max_value=40))
@settings(max_examples=10)
def test_at_a_constant_floor_futile_rounds_are_at_most_log2(floor: int, wants: int) -> None:
    """T seconds see at most log2(T) rounds of each that has nothing to give, and a few to learn."""
    scene = Scene()
    scene.cache(wants)
    scene.run(floor, 60)
    for one in scene.futile:
        one.asked.clear()
    seconds = 20_000
    scene.run(floor, seconds, every=5.0)
    for one in scene.futile:
        assert len(one.asked) <= log2(seconds)


@given(st.integers(min_value=325, max_value=370), st.integers(min_value=8, max_value=25))
@settings(max_examples=10)
def test_a_rise_above_a_floor_is_asked_about_at_once(floor: int, rise: int) -> None:
    """However long the pauses have become, the next step asks."""
    scene = Scene()
    scene.run(floor, 8000, every=2.0)
    for one in scene.futile:
        one.asked.clear()
    scene.run(floor + rise, 0.1)
    assert scene.futile[0].asked
