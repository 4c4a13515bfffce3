"""The verdict: what is a leak, what is none, and when either is said."""

from math import exp, floor, log1p, pi, sin

import pytest

from leak_scene import MIB, UNASKED, alarms, cut, followed, jitter, last, series
from membudget.leaks import Collected, Confidence, Kind, Rules, State
from membudget.leaks.verdict import judge, judging


def leak(rate: float = 5.0, base: float = 100.0, noise: float = 0.3, hours: float = 12.0):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """A steady leak with a little noise."""
    return series(lambda hour: base + rate * hour, hours, noise=noise)


def test_a_steady_leak_is_low_within_three_hours_and_medium_within_seven() -> None:
    """The aims of the verdict, on the simplest leak."""
    verdicts, _ = followed(leak(hours=7.0))
    first = {
        level: next(one.at / 3600 for one in verdicts if one.confidence >= level)
        for level in (Confidence.LOW, Confidence.MEDIUM)
    }
    assert first[Confidence.LOW] <= 3.0
    assert first[Confidence.MEDIUM] <= 7.0


def test_a_leak_watched_for_half_a_day_is_high() -> None:
    """And its rate, growth and interval are those of the line."""
    verdict = last(leak(5.0, hours=13.0))
    assert verdict.confidence is Confidence.HIGH
    assert verdict.is_leak
    assert verdict.rate == pytest.approx(5 * MIB, rel=0.05)
    assert verdict.rate_low <= verdict.rate <= verdict.rate_high
    assert verdict.growth == pytest.approx(verdict.rate * verdict.window / 3600, rel=0.01)
    assert 0.5 < verdict.score <= 1.0


@pytest.mark.parametrize(
    "held",
    [
        lambda hour: 100.0,
        lambda hour: 100 + 60 * (1 - exp(-hour / 1.5)),
        lambda hour: 100 + 40 * log1p(3 * hour),
        lambda hour: 100 + 60 * (hour / 24) ** 0.4,
        lambda hour: 100 + 30 * (hour > 8),
        lambda hour: 100 + 20 * (1 + sin(2 * pi * hour / 24)),
        lambda hour: 100 + 40 * (hour % 2.0) / 2,
        lambda hour: 100 + 50 * (hour % 3.0 < 0.5),
        lambda hour: 200 - 3 * hour,
    ],
    ids=["flat", "warm-up", "log", "power", "step", "day", "saw", "batch", "shrinking"],
)
def test_what_is_healthy_is_never_an_alarm(held) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """At no time of a day and a half, with a little noise over it."""
    assert not alarms(series(held, 36.0, noise=0.4))


@pytest.mark.parametrize("hours", [4.0, 8.0])
def test_growth_that_slows_down_is_told_with_where_it_ends(hours: float) -> None:
    """A warm-up by 60 MiB beside a full cache of 40: towards 200, before and after it got there."""
    full = [40.0] * round(hours * 12 + 1)
    warm = series(lambda hour: 140 + 60 * (1 - exp(-hour / 3)), hours, noise=0.1, explained=full)
    verdict = last(warm)
    assert verdict.kind is Kind.LEVELLING
    assert verdict.levels_off_at == pytest.approx(200 * MIB, rel=0.05)
    assert "slows down towards " in verdict.reason


def test_a_leak_under_a_daily_cycle_is_found() -> None:
    """The floor of the second day lies above the first's."""
    held = series(lambda hour: 100 + 4 * hour + 5 * sin(2 * pi * hour / 24), 48.0, noise=0.3)
    assert last(held).is_leak


def test_a_leak_under_a_saw_is_found_by_its_floor() -> None:
    """Teeth of 40 MiB over a leak of 4 MiB an hour."""
    held = series(lambda hour: 100 + 4 * hour + 40 * (hour % 1.0), 16.0, noise=0.3)
    verdict = last(held)
    assert verdict.is_leak
    assert verdict.rate == pytest.approx(4 * MIB, rel=0.1)


def stairs(hour: float) -> float:
    """5 MiB an hour, taken an hour ahead at a time."""
    return 105 + 5 * floor(hour) + 0.2 * (hour - floor(hour))


def test_memory_that_rises_in_stairs_is_believed_where_what_is_in_use_rises_evenly() -> None:
    """Something leaves room behind each hour, which the leak fills next: a census does."""
    heap = [60 + 2.5 * step / 12 for step in range(145)]
    assert alarms(series(stairs, 12.0, noise=0.1, malloc=heap))[0] <= 7.5
    assert alarms(series(stairs, 12.0, noise=0.1, channel=False))[0] >= 8.5


def test_nothing_is_said_before_two_hours_and_24_samples() -> None:
    """However fast it grows; the reason says what is lacking."""
    fast = leak(100.0, hours=1.8)
    verdict, state = judge(fast, UNASKED, None)
    assert verdict.confidence is Confidence.NONE
    assert "Too early" in verdict.reason
    assert state.counted_at is None
    sparse = series(lambda hour: 100 + 100 * hour, 4.0, every=0.25)
    assert "Too early" in judge(sparse, UNASKED, None)[0].reason
    enough = leak(100.0, hours=2.0 - 1 / 12)  # Each of the 24 stands for the step before it.
    assert "Too early" not in judge(enough, UNASKED, None)[0].reason


def test_what_is_too_young_for_any_window_is_told_to_be_whatever_was_asked_for() -> None:
    """Not that nothing grows: nothing was looked at."""
    young = series(lambda hour: 100 + 50 * hour, 1.5, every=1 / 60)
    verdict = judge(young, UNASKED.replace(min_duration=0.1), None)[0]
    assert verdict.reason == "Too early to say: 91 samples over 1.5 h, 24 over 1.9 h are needed."


def test_one_look_is_no_verdict() -> None:
    """Two that agree are; and asking more often does not make two of one."""
    whole = leak(hours=3.0)
    verdict, state = judge(cut(whole, 2.5), UNASKED, None)
    assert verdict.confidence is Confidence.NONE
    again, state = judge(cut(whole, 2.5 + 1 / 12), UNASKED, state)
    assert again.confidence is Confidence.NONE
    third, _ = judge(cut(whole, 3.0), UNASKED, state)
    assert third.confidence is Confidence.LOW


def test_a_level_ends_after_three_looks_without_it() -> None:
    """Growth that has ended is no leak any more; two odd looks end nothing."""
    ended = series(lambda hour: 100 + 10 * min(hour, 8.0), 16.0, noise=0.2)
    verdicts, _ = followed(ended)
    levels = {one.at / 3600: one.confidence for one in verdicts}
    assert levels[8.0] >= Confidence.MEDIUM
    assert levels[16.0] is Confidence.NONE


def test_a_restart_begins_anew() -> None:
    """The state of another process is dropped."""
    whole = leak()
    _, state = followed(whole)
    assert state.level >= Confidence.MEDIUM
    verdict, fresh = judge(whole.replace(origin=5e5), UNASKED, state)
    assert verdict.confidence is Confidence.NONE
    assert fresh.origin == 5e5


def test_the_first_accusation_waits_for_a_collection() -> None:
    """Until one was done, a medium leak is told as low, and the wish with it."""
    verdicts, state = followed(leak(), Rules())
    assert verdicts[-1].wants_collection
    assert verdicts[-1].confidence is Confidence.LOW
    done = state.replace(collected=Collected(at=verdicts[-1].at, freed=100, returned=0))
    verdict, _ = judge(leak(hours=12.5), Rules(), done)
    assert verdict.confidence >= Confidence.MEDIUM
    assert not verdict.wants_collection


@pytest.mark.parametrize(
    ("freed", "returned", "kind"), [(40 * MIB, 0, Kind.GARBAGE), (1 * MIB, 40 * MIB, Kind.SLACK)]
)
def test_what_a_collection_gives_back_is_no_leak(freed: int, returned: int, kind: Kind) -> None:
    """Garbage where the collection freed it, slack where only the trim returned it."""
    verdicts, state = followed(leak(), Rules())
    done = state.replace(collected=Collected(at=verdicts[-1].at, freed=freed, returned=returned))
    verdict, after = judge(leak(hours=12.5), Rules(), done)
    assert verdict.confidence is Confidence.NONE
    assert verdict.kind is kind
    assert after.since == verdicts[-1].at
    assert after.collected is None


def test_after_a_collection_that_helped_growth_before_it_counts_no_more() -> None:
    """The windows begin at the collection."""
    whole = series(lambda hour: 100 + 5 * min(hour, 12.0), 18.0, noise=0.1)
    state = State(since=12 * 3600.0)
    verdicts, _ = followed(whole, UNASKED, state, since=13.0)
    assert not [one for one in verdicts if one.confidence > Confidence.NONE]


def test_a_fill_explains_its_own_growth() -> None:
    """A cache that fills as fast as any leak is none, when it has told its bound."""
    filling = series(
        lambda hour: 100 + 8 * hour, 12.0, noise=0.2, explained=[8 / 12 * n for n in range(145)]
    )
    verdicts, _ = followed(filling)
    assert not [one for one in verdicts if one.confidence > Confidence.NONE]
    assert verdicts[-1].kind is Kind.FILLING


def test_a_leak_under_a_fill_is_found() -> None:
    """What the fill does not explain is left."""
    both = series(
        lambda hour: 100 + 13 * hour, 12.0, noise=0.2, explained=[8 / 12 * n for n in range(145)]
    )
    verdict = last(both)
    assert verdict.is_leak
    assert verdict.rate == pytest.approx(5 * MIB, rel=0.1)


def test_an_error_in_the_size_of_items_is_no_leak() -> None:
    """A fifth more than the parts explain is within what is known of their items."""
    held = series(
        lambda hour: 100 + 12 * hour, 12.0, noise=0.2, explained=[10 / 12 * n for n in range(145)]
    )
    assert not alarms(held)


def test_growth_that_no_heap_shows_waits_for_a_day() -> None:
    """Fragmentation grows for hours; a leak past every heap grows for days."""
    grown = series(
        lambda hour: 100 + 5 * hour, 26.0, noise=0.3, malloc=[50.0] * 313, blocks=[1e5] * 313
    )
    verdicts, _ = followed(grown)
    assert not [one for one in verdicts if one.is_leak and one.at < 24 * 3600]
    assert verdicts[-1].is_leak
    assert verdicts[-1].kind is Kind.SLACK


def test_memory_that_follows_the_load_is_watched_for_a_day() -> None:
    """A morning's rise, with as many more requests, is not called a leak."""
    rise = [min(1.0, hour / 12 / 10) ** 1.5 for hour in range(145)]
    held = series(
        lambda hour: 100 + 60 * min(1.0, hour / 10) ** 1.5,
        12.0,
        noise=0.2,
        requests=[10 + 90 * share for share in rise],
    )
    assert not alarms(held)


def test_uneven_growth_is_watched_for_longer_than_a_straight_line() -> None:
    """The same growth: the straighter, the sooner it is believed."""
    uneven = series(lambda hour: 100 + 6 * hour + 4 * sin(hour), 16.0, noise=0.1)
    assert alarms(leak(6.0, noise=0.1, hours=16.0))[0] < min([*alarms(uneven), float("inf")])


def test_judging_in_slices_is_judging() -> None:
    """The generator returns what `judge` returns, and yields on the way."""
    whole = leak()
    steps = judging(whole, UNASKED, None)
    pauses = 0
    while True:
        try:
            next(steps)
            pauses += 1
        except StopIteration as done:
            result = done.value
            break
    assert pauses >= 5
    assert result == judge(whole, UNASKED, None)


def test_the_simple_rules_figures_stand_beside_the_verdict() -> None:
    """They decide nothing: a fast warm-up is above their threshold and no leak."""
    warm = series(lambda hour: 100 + 60 * (1 - exp(-hour)), 2.5, noise=0.0)
    verdict = last(warm)
    assert verdict.facts.is_above
    assert verdict.facts.rate > verdict.facts.threshold == 10.0
    assert verdict.facts.growing_share == 1.0
    assert verdict.facts.running == verdict.facts.samples - 1
    assert not verdict.is_leak


def test_gaps_and_a_late_beginning_of_the_samples_do_no_harm() -> None:
    """A ring that begins when the process is days old, with an hour missing."""
    hours = [50 + step / 12 for step in range(145) if not 60 <= step < 72]
    rss = [100 + 5 * hour + 0.2 * jitter(step) for step, hour in enumerate(hours)]
    whole = series(lambda _: 0.0, 1.0, channel=False).replace(hours=hours, rss=rss)
    verdicts, _ = followed(whole, since=51.0)
    assert verdicts[-1].is_leak


def test_an_empty_series_is_too_early() -> None:
    verdict, _ = judge(series(lambda _: 1.0, 0.0).replace(hours=(), rss=()), UNASKED, None)
    assert verdict.confidence is Confidence.NONE
