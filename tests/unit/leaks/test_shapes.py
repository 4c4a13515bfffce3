"""One history for each rule of the verdict: one that this rule alone keeps from a wrong word."""

from collections.abc import Callable
from math import exp, sin

import pytest

from leak_scene import alarms, followed, last, series
from membudget.leaks import Confidence


def two_imports(hour: float) -> float:
    """Two steps of 16 MiB, a little growth before, between and after."""
    slow = 0.4 * min(hour, 4) + 0.5 * max(0.0, min(hour, 9.6) - 4) + 1.6 * max(0.0, hour - 9.6)
    return 100 + slow + 16 * ((hour > 4.2) + (hour > 8.8))


def pieces(hour: float) -> float:
    """A start, little for hours, one step, and a slow rest."""
    early = 2 * min(hour, 0.5) + 0.7 * max(0.0, min(hour, 3.3) - 0.5)
    late = 1.1 * max(0.0, min(hour, 8.1) - 3.3) + 0.7 * max(0.0, hour - 8.2)
    return 100 + early + late + 10 * (hour > 8.8) + 6 * (hour > 4.6) + 3 * (hour > 1.3)


def regained(hour: float) -> float:
    """8 MiB an hour until most was let go at once; then it comes back."""
    return 100 + 8 * hour if hour < 4.6 else 103 + 5.6 * (hour - 4.6)


@pytest.mark.parametrize(
    ("held", "hours", "noise"),
    [
        pytest.param(lambda hour: 100 + 30 * (hour // 5.3), 20.0, 0.3, id="a step every 5 hours"),
        pytest.param(two_imports, 14.0, 0.1, id="two steps are most of it"),
        pytest.param(pieces, 14.0, 0.1, id="the newest quarter hardly grows"),
        pytest.param(lambda hour: 60 + 23 * (1 - exp(-hour / 7.5)), 14.0, 3.0, id="a slow warm-up"),
        pytest.param(
            lambda hour: 300 + 83 * (hour / 14) ** 0.81 + 4 * (hour / 1.83 % 1),
            14.0,
            0.3,
            id="a fill under a saw",
        ),
        pytest.param(regained, 14.0, 0.3, id="what was there before comes back"),
        pytest.param(
            lambda hour: 100 + 60 * (0.15 < hour < 0.45) + 3 * hour,
            16.0,
            0.1,
            id="the start took more",
        ),
    ],
)
def test_growth_of_a_healthy_shape_is_no_alarm(
    held: Callable[[float], float], hours: float, noise: float
) -> None:
    """At no look, with and without heap counters that follow it."""
    for channel in (False, True):
        assert not alarms(series(held, hours, noise=noise, channel=channel))


def test_growth_that_what_is_in_use_does_not_share_any_more_is_no_alarm() -> None:
    """Resident memory goes on, the heap levels off: what was let go is not given back."""
    heap = [30 + 60 * (1 - exp(-step / 60)) for step in range(24 * 12 + 1)]
    verdicts, _ = followed(
        series(lambda hour: 100 + 5 * hour, 24.0, noise=0.2, channel=False, malloc=heap)
    )
    assert not [one.at / 3600 for one in verdicts if one.is_leak]
    assert verdicts[-1].confidence is Confidence.LOW
    assert last(series(lambda hour: 100 + 5 * hour, 12.0, noise=0.2, channel=False)).is_leak


def test_an_alarm_ends_soon_after_the_growth_whatever_a_longer_window_shows() -> None:
    """14 hours of growth, faster and faster; three hours of none clear it."""

    def held(hour: float) -> float:
        return 100 + 3 * min(hour, 10) + 8 * max(0, min(hour, 14) - 10)

    assert 14 <= alarms(series(held, 20.0, noise=0.1))[-1] <= 17.5


def test_a_leak_that_was_faster_for_some_hours_stays_told() -> None:
    """It slows down to what it was, and has not stopped."""
    held = series(lambda hour: 100 + 3 * hour + 5 * max(0, min(hour, 14) - 10), 22.0, noise=0.1)
    told = alarms(held)
    assert told == [hour / 2 for hour in range(round(2 * told[0]), 45)]


def test_a_pause_of_three_hours_ends_no_leak_of_a_day() -> None:
    """A night is no end."""
    assert last(series(lambda hour: 100 + 4 * min(hour, 24), 27.0, noise=0.1)).is_leak


def test_growth_that_began_within_the_life_is_watched_for_longer() -> None:
    """By an hour: it may be a phase of the program's work."""
    late = series(lambda hour: 100 + 5 * max(0, hour - 10) + 0.3 * sin(3 * hour), 20.0, noise=0.1)
    early = series(lambda hour: 100 + 5 * hour + 0.3 * sin(3 * hour), 20.0, noise=0.1)
    assert alarms(late)[0] - 10 >= alarms(early)[0] + 1


def test_a_little_more_load_explains_no_growth() -> None:
    """A fifth more requests over the day: uneven growth is watched no longer for that."""
    load = [50 * (1 + 0.2 * step / 240) for step in range(241)]
    held = series(lambda hour: 100 + 5 * hour + 2 * sin(hour), 20.0, noise=0.1)
    assert alarms(held.replace(requests=load)) == alarms(held)


def test_less_than_a_fiftieth_of_the_memory_is_not_worth_a_word() -> None:
    """1.2 MiB an hour on 500 MiB: nothing is said until 10 MiB were gained."""
    verdicts, _ = followed(series(lambda hour: 500 + 1.2 * hour, 14.0, noise=0.1))
    said = [one.at / 3600 for one in verdicts if one.confidence > Confidence.NONE]
    assert said[0] >= 10 / 1.2
    assert verdicts[-1].is_leak


@pytest.mark.parametrize(
    ("held", "hours", "noise", "why"),
    [
        (lambda hour: 100 + hour / 2 + 3 * sin(5 * hour) + 3 * sin(3.1 * hour), 14.0, 4.0, "trend"),
        (lambda hour: 300 + 1.3 * min(hour, 6.5), 20.0, 3.0, "within its noise"),
        (lambda hour: 500 + 0.6 * hour, 14.0, 0.1, "too small"),
        (lambda hour: 100 + 4 * hour - 30 * (hour > 12), 14.0, 0.1, "given back"),
        (lambda hour: 100 + 15 * (hour > 6) + 15 * (hour > 9), 14.0, 0.1, "in few steps"),
        (lambda hour: 60 + 23 * (1 - exp(-hour / 7.5)), 14.0, 3.0, "slowing down"),
        (lambda hour: 100 + 80 * (hour < 0.4) + 3 * hour, 14.0, 0.1, "reached before"),
    ],
)
def test_the_reason_says_what_is_lacking(
    held: Callable[[float], float], hours: float, noise: float, why: str
) -> None:
    verdict = last(series(held, hours, noise=noise))
    assert f"{why})" in verdict.reason
