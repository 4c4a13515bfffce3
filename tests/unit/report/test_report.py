"""From samples to a report: the figures add up, whatever there is to add."""

import pytest

from membudget.leaks import Confidence, Kind
from membudget.leaks.verdict import last_look, looks, thinned
from membudget.report import Happening, report
from report_scene import BEGAN, MIB, leaking, part, quiet, sample


def test_use_is_now_average_least_and_most_of_what_is_looked_at() -> None:
    made = report([sample(place, size) for place, size in enumerate((100, 140, 80, 120))])
    assert made.use is not None
    assert (made.use.now, made.use.average) == (120 * MIB, 110 * MIB)
    assert (made.use.least, made.use.most) == (80 * MIB, 140 * MIB)
    assert (made.span, made.headroom) == (900.0, 280 * MIB)


def test_only_the_hours_asked_for_are_shown_and_all_are_judged() -> None:
    """A verdict needs looks before the newest hour."""
    made = report(leaking(), hours=1.0)
    assert len(made.samples) == 13
    assert made.verdict is not None
    assert made.verdict.confidence == Confidence.HIGH


@pytest.mark.parametrize("count", [0, 1, 2])
def test_tiny_data_make_a_report(count: int) -> None:
    made = report(quiet(count))
    assert len(made.samples) == count
    assert (made.use is None) == (count == 0)
    assert made.verdict is None or made.verdict.confidence == Confidence.NONE
    assert made.forecast.seconds_left is None


def test_a_restart_is_counted_and_the_gain_of_parts_begins_anew() -> None:
    """What the process before held is not what this one gained."""
    before = [sample(place, 90, parts=(part(held=15 * MIB),)) for place in range(3)]
    after = [
        sample(place, 90, parts=(part(held=place * MIB),), began=BEGAN + 1000)
        for place in range(4, 8)
    ]
    made = report([*before, *after])
    assert made.restarts == (before[-1].wall,)
    assert made.parts[0].grew_bytes == 3 * MIB


def test_the_fuller_of_two_bounds_is_the_fill() -> None:
    """A cache with half of its bytes and all of its entries is full."""
    full = part(held=10 * MIB).replace(most_items=10 * 1024)
    made = report([sample(0, 90, parts=(full, part("free", most=None)))])
    assert {one.name: one.fill for one in made.parts} == {"prices": 1.0, "free": None}


def test_a_leak_meets_the_limit_when_the_rate_says_so() -> None:
    """12 MiB an hour from 387 MiB to 700 MiB: about 26 hours."""
    made = report(leaking())
    left = made.forecast.seconds_left
    assert left is not None
    assert left / 3600 == pytest.approx((700 - 387) / 12, rel=0.1)
    assert made.verdict is not None
    assert made.verdict.kind is Kind.PYTHON


def test_the_limit_of_now_is_met_though_it_was_just_lowered() -> None:
    """The newest sample is too near to the one before to be judged; its limit holds."""
    *before, last = leaking()
    now = last.replace(wall=last.wall + 30, at=last.at + 30, limit=last.used + 24 * MIB)
    left = report([*before, last, now]).forecast.seconds_left
    assert left is not None
    assert left / 3600 == pytest.approx(2, rel=0.1)


def test_what_is_given_is_not_made_anew() -> None:
    """A standing verdict comes from the process."""
    verdict = last_look(leaking())
    assert report(quiet(), verdict=verdict).verdict is verdict


def test_events_before_the_hours_asked_for_are_left_out() -> None:
    events = [
        Happening(wall=BEGAN + at, kind="level", severity="info", text=str(at))
        for at in (0, 288 * 300 - 400)
    ]
    assert [one.text for one in report(quiet(), hours=1, happenings=events).happenings] == ["86000"]


def test_looks_come_every_half_hour_and_at_the_end() -> None:
    walls = [one.at - BEGAN for one in looks(quiet(40))]
    assert walls == [3600, 5400, 7200, 9000, 10800, 11700]


def test_a_year_of_silence_costs_no_looks() -> None:
    """A look needs a sample that the one before has not seen."""
    samples = [*quiet(20), sample(105_120, 90)]
    assert len(list(looks(samples))) == 4


def test_thinning_keeps_the_ends_of_processes_and_short_recordings() -> None:
    """Ten seconds apart over three hours becomes five minutes; a few minutes stay as they are."""
    long = [sample(place, 90, every=10.0) for place in range(1080)]
    assert len(thinned(long)) in (37, 38)
    assert thinned(long[:100]) == long[:100]
