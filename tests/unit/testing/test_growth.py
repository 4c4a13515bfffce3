"""The rule of the leak check, and how large its rounds are made."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from membudget.testing.growth import (
    Asked,
    Size,
    grew_in_every,
    is_lasting,
    least_growth,
    longer,
    pace,
    size_of_rounds,
)

deltas = st.lists(st.integers(-1000, 1000), max_size=20)


@given(deltas)
def test_one_round_without_growth_is_no_leak(found: list[int]) -> None:
    """Whatever the others did."""
    assert not grew_in_every([*found, 0])
    assert not is_lasting([-1, *found])


@given(st.integers(1, 1000), st.integers(3, 20))
def test_steady_growth_lasts(each: int, rounds: int) -> None:
    """The same in each round."""
    assert is_lasting([each] * rounds)
    assert pace([each] * rounds) == 1.0


def test_growth_that_dies_away_does_not_last() -> None:
    """A cache over random keys grows in every round, ever less."""
    filling = [1430, 558, 176, 75, 12, 4]
    assert grew_in_every(filling)
    assert not is_lasting(filling)


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        ([4, 2], 0.5),
        ([3, 1, 1, 1, 1, 1], 0.5),
        ([5], 1.0),
        ([2, 2, 9, 9, 1, 1], 0.5),
        ([0, 5, 5], 0.0),
        ([-3, 5, 5], 0.0),
    ],
)
def test_the_pace_is_that_of_the_last_third_against_the_first(
    found: list[int], shown: float
) -> None:
    """Of at least one round; where the first ones grew by nothing there is none."""
    assert pace(found) == shown


def test_no_rounds_are_no_growth() -> None:
    """Nothing was measured."""
    assert not grew_in_every([])
    assert pace([]) == 0.0


def test_growth_below_one_in_a_thousand_calls_does_not_count() -> None:
    """A block or two a round come from the surroundings."""
    assert least_growth(200) == 1
    assert least_growth(64_000) == 64
    assert not grew_in_every([1, 1, 1], least_growth(64_000))


@pytest.mark.parametrize(
    ("cost", "calls", "is_cut"),
    [
        (0.0, 2000, False),  # Too quick to time.
        (1e-6, 2000, False),
        (5e-5, 400, False),
        (1e-3, 200, False),
        (0.1, 11, True),  # 7 s for six rounds.
        (60.0, 4, True),  # Never fewer.
    ],
)
def test_rounds_are_sized_by_the_cost_of_a_call(cost: float, calls: int, is_cut: bool) -> None:  # noqa: FBT001
    """At least 200 where the time allows, more where they cost nothing."""
    size = size_of_rounds(Asked(), cost)
    assert (size.calls, bool(size.cut)) == (calls, is_cut)


def test_calls_asked_for_are_obeyed() -> None:
    """However slow the function."""
    asked = Asked(calls=50)
    assert size_of_rounds(asked, 10.0) == Size(calls=50)
    assert longer(asked, Size(calls=50), 1e-6, 1.0, 0.0) == 50


def test_calls_that_use_up_descriptors_are_few() -> None:
    """Six rounds and twelve more must fit among 1024."""
    size = size_of_rounds(Asked(), 1e-5, scarce=1.0)
    assert "scarce" in size.cut
    assert size.calls * 18 < 700


def test_the_second_series_goes_further_where_that_is_cheap() -> None:
    """Up to 32 times as many calls, within the time and 32 MiB."""
    size = Size(calls=2000)
    assert longer(Asked(), size, 1e-6, 0.01, 0.0) == 64_000
    by_time = longer(Asked(), size, 1e-4, 0.01, 0.0)
    assert 2000 < by_time <= 10 / 12 / 1e-4
    by_room = longer(Asked(), size, 1e-6, 1.0, 1000.0)
    assert by_room * 12 * 1064 <= 32 << 20
    assert longer(Asked(), size, 1e-2, 0.01, 0.0) == 2000
