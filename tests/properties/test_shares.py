"""The laws of sharing: whatever the slots tell, shares keep within the room, and nobody starves."""

from collections.abc import Sequence
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from membudget.core.shares import PROCESS_FLOOR, YOUNG, Claim, divide

MIB = 1 << 20
NOW = 1000.0
ROOMS = st.integers(-MIB, 1 << 40)


def claim(**figures: Any) -> Claim:
    one = Claim()
    one.most, one.since = float("inf"), NOW - 100
    for name, figure in figures.items():
        setattr(one, name, figure)
    return one


SIZES = st.integers(0, 1 << 36) | st.integers(0, 4)
COUNTS = st.floats(0, 1e12)
CLAIMS = st.builds(
    claim,
    held=SIZES,
    share=SIZES,
    fixed=st.just(0) | SIZES,
    most=st.sampled_from([0, float("inf")]) | SIZES,
    since=st.floats(NOW - 100, NOW),
    hits=st.just(-1.0) | COUNTS,
    space=COUNTS,
    asked=COUNTS,
    missed=COUNTS,
)


@given(st.lists(CLAIMS, max_size=20), ROOMS)
def test_shares_never_come_to_more_than_the_room(claims: Sequence[Claim], room: int) -> None:
    sharing = [one for one in claims if one.most > 0 or one.fixed]
    divide(claims, room, NOW)
    assert sum(one.share for one in sharing) <= max(0, room)
    assert all(one.share >= 0 for one in sharing)
    assert all(one.share <= one.most for one in sharing if not one.fixed)


@given(st.lists(CLAIMS, min_size=1, max_size=20), ROOMS)
def test_who_has_the_same_figures_comes_to_the_same_shares(
    claims: Sequence[Claim], room: int
) -> None:
    def told() -> list[Claim]:
        again = []
        for one in claims:
            copy = Claim()
            for name in Claim.__slots__:
                setattr(copy, name, getattr(one, name))
            again.append(copy)
        return again

    first, second = told(), told()
    divide(first, room, NOW)
    divide(second, room, NOW)
    assert [one.share for one in first] == [one.share for one in second]


@given(st.lists(st.builds(claim, held=SIZES, share=SIZES, hits=COUNTS, space=COUNTS), max_size=9))
def test_a_newcomer_has_an_equal_part_at_once(others: Sequence[Claim]) -> None:
    new, room = claim(since=NOW - YOUNG / 2), 1 << 30
    divide([*others, new], room, NOW)
    assert new.share >= room // (len(others) + 1) - 1


@given(st.lists(CLAIMS.filter(lambda one: not one.fixed), min_size=1, max_size=9))
def test_nobody_is_left_without_a_part(claims: Sequence[Claim]) -> None:
    room = 1 << 30
    sharing = [one for one in claims if one.most > 0]
    for _ in range(20):
        divide(claims, room, NOW)
    for one in sharing:
        assert one.share >= min(one.most, int(PROCESS_FLOOR * (room // len(sharing)))) - 1


def settled(claims: Sequence[Claim], room: int, *, seconds: int = 60) -> None:
    for _ in range(seconds):
        divide(claims, room, NOW)
        for one in claims:
            one.held = min(one.share, 1 << 40)


def test_room_goes_to_who_saves_most_of_its_requests() -> None:
    idle = claim(asked=1000.0, missed=500.0, space=100.0 * MIB)
    poor = claim(hits=50.0, asked=1000.0, missed=500.0, space=100.0 * MIB)
    rich = claim(hits=500.0, asked=1000.0, missed=500.0, space=100.0 * MIB)
    settled([idle, poor, rich], 300 * MIB)
    assert rich.share > poor.share >= idle.share


def test_a_few_requests_are_not_outvoted_by_many() -> None:
    """The one asks a hundred times as much, and saves the same part of it."""
    even = {"share": 50 * MIB, "space": 50.0 * MIB}
    many = claim(hits=50_000.0, asked=500_000.0, missed=250_000.0, **even)
    few = claim(hits=5_000.0, asked=50_000.0, missed=25_000.0, **even)
    settled([many, few], 100 * MIB)
    assert abs(many.share - few.share) < 10 * MIB


def test_where_hits_are_not_counted_the_parts_are_equal() -> None:
    first = claim(hits=-1.0, held=90 * MIB, share=90 * MIB)
    second = claim(hits=-1.0, held=5 * MIB, share=5 * MIB)
    settled([first, second], 100 * MIB)
    assert abs(first.share - second.share) < 5 * MIB


def test_what_is_set_is_had_and_the_others_share_the_rest() -> None:
    given_, other = claim(fixed=60 * MIB), claim()
    settled([given_, other], 100 * MIB)
    assert (given_.share, other.share) == (60 * MIB, 40 * MIB)


def test_what_is_set_leaves_the_others_their_floor() -> None:
    given_, other = claim(fixed=1 << 40), claim()
    settled([given_, other], 100 * MIB)
    assert other.share >= PROCESS_FLOOR * 50 * MIB - 1


@example(0)
@given(st.integers(0, 1 << 30))
def test_more_set_than_there_is_is_cut_in_proportion(room: int) -> None:
    first, second = claim(fixed=1 << 30), claim(fixed=1 << 29)
    divide([first, second], room, NOW)
    assert first.share + second.share <= room
    assert abs(first.share - 2 * second.share) <= 2
