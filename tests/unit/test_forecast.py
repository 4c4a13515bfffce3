"""The forecast: time to the limit with an interval, plateaus, and figures that are odd."""

from collections.abc import Callable
from math import exp, log, pi, sin

import pytest

from leak_scene import MIB, jitter
from membudget.forecast import ODD, Forecast, Nearness, anomalies, forecast, scored_newest


def held(
    of: Callable[[float], float], hours: float, noise: float = 0.0
) -> tuple[list[float], list[float]]:
    """Hours and MiB, every five minutes."""
    times = [step / 12 for step in range(round(hours * 12) + 1)]
    return times, [of(hour) + noise * jitter(step) for step, hour in enumerate(times)]


def test_a_steady_rise_meets_the_limit_when_the_line_does() -> None:
    """100 MiB and 5 an hour: after 12 hours at 160, and 400 are 48 hours away."""
    found = forecast(*held(lambda hour: 100 + 5 * hour, 12, noise=0.3), limit=400 * MIB)
    assert found.rate == pytest.approx(5 * MIB, rel=0.03)
    assert found.seconds_left == pytest.approx(48 * 3600, rel=0.03)
    assert found.soonest is not None
    assert found.latest is not None
    assert found.soonest <= (found.seconds_left or 0.0) <= found.latest
    assert not found.is_near


def test_growth_below_what_was_held_before_is_not_near() -> None:
    """Until it is on new ground; one high sample of a day is none."""

    def again(hour: float) -> float:
        return 100 + 25 * (hour % 6)

    assert not forecast(*held(again, 16), limit=400 * MIB).is_near
    assert forecast(*held(lambda hour: 100 + 25 * max(0.0, hour - 12), 20), 400 * MIB).is_near
    hours, uses = held(lambda hour: 100 + 25 * max(0.0, hour - 18), 23)
    assert forecast(hours, [*uses[:50], 390.0, *uses[51:]], 400 * MIB).is_near


def test_a_limit_half_a_day_away_is_near() -> None:
    found = forecast(*held(lambda hour: 100 + 20 * hour, 6), limit=400 * MIB)
    assert found.is_near
    assert not forecast(*held(lambda hour: 100 + 20 * hour, 6), limit=4000 * MIB).is_near


def test_growth_that_slows_down_levels_off_at_its_plateau() -> None:
    """And meets no limit above it."""
    found = forecast(*held(lambda hour: 100 + 60 * (1 - exp(-hour / 3)), 8), limit=400 * MIB)
    assert found.levels_off_at == pytest.approx(160 * MIB, rel=0.05)
    assert found.seconds_left is None
    assert found.soonest is not None  # If it slowed down no further.


def test_a_plateau_above_the_limit_is_a_limit_met() -> None:
    found = forecast(*held(lambda hour: 100 + 90 * (1 - exp(-hour / 3)), 4), limit=180 * MIB)
    assert found.seconds_left is not None
    hours = -3 * log(1 - 80 / 90) - 4
    assert found.seconds_left / 3600 == pytest.approx(hours, rel=0.5)


@pytest.mark.parametrize(
    "of", [lambda _: 100.0, lambda hour: 100 - hour, lambda hour: 100 + 20 * sin(2 * pi * hour)]
)
def test_what_does_not_rise_meets_no_limit(of: Callable[[float], float]) -> None:
    """No rate is made up from noise."""
    found = forecast(*held(of, 12, noise=0.5), limit=400 * MIB)
    assert (found.seconds_left, found.soonest, found.latest) == (None, None, None)


def test_without_a_limit_there_is_a_rate_and_no_time() -> None:
    found = forecast(*held(lambda hour: 100 + 5 * hour, 12))
    assert found.rate == pytest.approx(5 * MIB, rel=0.03)
    assert found.seconds_left is None


def test_past_the_limit_no_time_is_left() -> None:
    """Zero, not a time gone by."""
    found = forecast(*held(lambda hour: 100 + 50 * hour, 8), limit=200 * MIB)
    assert found.seconds_left == 0.0


def test_peaks_meet_the_limit_first() -> None:
    """What is used is the highest of the newest hour, not the floor."""
    found = forecast(*held(lambda hour: 100 + 5 * hour + 30 * (hour % 0.5 < 0.1), 12))
    assert found.used > 185 * MIB


def test_too_few_samples_and_none_at_all_forecast_nothing() -> None:
    assert forecast([], []).used == 0
    assert forecast([0.0, 0.1], [100.0, 200.0], limit=400 * MIB).seconds_left is None


def test_a_jump_is_odd_and_noise_is_not() -> None:
    """By the spread of the last hours."""
    hours, calm = held(lambda _: 100.0, 6, noise=2.0)
    jumped = [*calm[:-3], 150.0, 151.0, 149.0]
    (found,) = anomalies(hours, {"rss": jumped, "threads": calm})
    assert found.name == "rss"
    assert found.score >= ODD
    assert found.basis == "the last hours"


def test_what_happens_every_day_is_not_odd() -> None:
    """A batch at the same hour of the day before is expected; at another hour it is not."""
    hours, twice = held(lambda hour: 100 + 50 * (hour % 24 > 5.7), 30, noise=1.0)
    assert not anomalies(hours, {"rss": twice})
    found = scored_newest("rss", hours, twice)
    assert found is not None
    assert found.basis == "the same hour before"
    once = [100 + 50 * (hour > 29.7) for hour in hours]
    assert anomalies(hours, {"rss": once})


def test_a_few_samples_are_not_enough_to_be_odd() -> None:
    """Twelve of the last hours at least."""
    hours, few = held(lambda _: 100.0, 0.9)
    assert scored_newest("rss", hours, [*few[:-1], 500.0]) is None
    assert anomalies([], {"rss": []}) == ()


def test_a_near_limit_holds_once_two_agree_and_ends_once_three_do() -> None:
    """What is half as far again counts as far; between the two nothing changes."""
    near, between, far = (
        Forecast(used=1, limit=2, seconds_left=hours * 3600.0) for hours in (11.0, 15.0, 20.0)
    )
    nowhere = Forecast(used=1, limit=2)
    state, held = Nearness(), []
    for ahead in (near, far, near, near, between, far, nowhere, between, far, far, far, near):
        state = state.after(ahead)
        held.append(state.is_told)
    assert held == [False, False, False, True, True, True, True, True, True, True, False, False]


def test_what_bounded_parts_take_in_is_not_foretold() -> None:
    """Their growth ends by itself; the rest beside it is, unless it is within their error."""
    hours = [step / 12 for step in range(145)]
    cache = [10.0 * hour for hour in hours]
    alone = forecast(hours, [200 + one for one in cache], 500 * MIB, bounded=cache)
    assert (alone.seconds_left, alone.rate) == (None, 0.0)
    assert alone.used == 320 * MIB
    error = forecast(hours, [200 + 1.2 * one for one in cache], 500 * MIB, bounded=cache)
    assert error.seconds_left is None
    both = forecast(hours, [200 + 2 * one for one in cache], 500 * MIB, bounded=cache)
    assert both.rate == pytest.approx(10 * MIB)
    assert both.seconds_left == pytest.approx((500 - 440) / 10 * 3600)
