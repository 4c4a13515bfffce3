"""Judging: when a level begins, when it ends, and that neither depends on luck."""

import pytest

from fakes import MIB
from membudget.core import Level, Marks, Reading
from membudget.errors import ConfigError
from membudget.pressure import Judgement, judge

MARKS = Marks()


def judged(
    *uses: float,
    apart: float = 0.5,
    marks: Marks = MARKS,
    limit: int | None = 100 * MIB,
    governed: tuple[float, ...] | None = None,
    before: Judgement | None = None,
    start: float = 0.0,
) -> Judgement:
    """Judge readings of so many MiB each, so many seconds apart."""
    for step, used in enumerate(uses):
        reading = Reading(at=start + step * apart, used=int(used * MIB), limit=limit, source="fake")
        held = int(governed[step] * MIB) if governed is not None else 0
        before = judge(reading, marks, before, taken_in=held)
    assert before is not None
    return before


def test_one_reading_above_warning_raises_nothing() -> None:
    """WARNING and CRITICAL need two readings in a row."""
    assert judged(50, 85).pressure.level is Level.NORMAL
    assert judged(50, 85, 85, apart=50).pressure.level is Level.WARNING


def test_emergency_is_entered_at_once() -> None:
    """Nobody waits for a second reading at 95 %."""
    assert judged(96).pressure.level is Level.EMERGENCY


def test_reaching_a_mark_exactly_is_reaching_it() -> None:
    """A mark is entered at or above, and left at or below the mark beneath."""
    assert judged(80, 80, apart=50).pressure.level is Level.WARNING
    raised = judged(80, 80, apart=50)
    ended = judged(70, 70, 70, before=raised, start=100)
    assert ended.pressure.level is Level.NORMAL


def test_a_level_ends_only_after_three_readings_and_a_second() -> None:
    """Calm must last, in readings and in time."""
    raised = judged(92, 92, apart=50)
    assert raised.pressure.level is Level.CRITICAL
    assert judged(60, 60, 60, before=raised, start=100, apart=0.01).pressure.level is Level.CRITICAL
    assert judged(60, 60, before=raised, start=100, apart=2).pressure.level is Level.CRITICAL
    assert judged(60, 60, 60, before=raised, start=100, apart=0.5).pressure.level is Level.NORMAL


def test_each_level_falls_to_the_one_its_use_still_holds() -> None:
    """From EMERGENCY at 85 % the level is CRITICAL, which ends only at WARNING's mark."""
    raised = judged(97, 97, apart=50)
    lowered = judged(85, 85, 85, before=raised, start=100)
    assert lowered.pressure.level is Level.CRITICAL


def test_between_two_marks_a_level_ends_after_a_minute() -> None:
    """No state depends on history for ever: idle at 75 % returns to NORMAL."""
    raised = judged(82, 82, apart=50)
    assert judged(*[75] * 20, before=raised, start=60, apart=1).pressure.level is Level.WARNING
    assert judged(*[75] * 70, before=raised, start=60, apart=1).pressure.level is Level.NORMAL


def test_growth_that_nobody_governs_raises_the_level_before_the_mark() -> None:
    """At 10 MiB/s from 71 of 100 MiB there are under three seconds left."""
    pressure = judged(60, 65, 70, 72, 74, 76, apart=0.25).pressure
    assert pressure.seconds_left is not None
    assert pressure.seconds_left < 4
    assert pressure.level is Level.WARNING
    assert pressure.cause == "time"


@pytest.mark.parametrize(
    ("level", "start", "inside"),
    [(Level.WARNING, 71.0, 9.5), (Level.CRITICAL, 81.0, 2.5), (Level.EMERGENCY, 90.5, 0.8)],
)
def test_each_level_comes_early_where_its_seconds_are_left(
    level: Level, start: float, inside: float
) -> None:
    """Ten seconds to the limit for a warning, three for what is critical, one for the last."""

    def steadily(left: float) -> Level:
        """The level after growth from `start` that leaves so many seconds at its end."""
        apart = 0.08
        rate = (100 - start) / (left + 9 * apart)
        uses = [start + rate * apart * step for step in range(10)]
        return judged(*uses, apart=apart).pressure.level

    assert steadily(inside) >= level
    assert steadily(inside * 1.3) < level


def test_two_sources_that_take_turns_each_keep_their_trend() -> None:
    """A group and a process near their limits alternate as the tightest; growth is still seen."""
    judgement: Judgement | None = None
    for step in range(12):
        used = int((60 + step * 1.2) * MIB)
        source = "process" if step % 2 else "cgroup"
        reading = Reading(at=step * 0.25, used=used, limit=100 * MIB, source=source)
        judgement = judge(reading, MARKS, judgement)
    assert judgement is not None
    assert judgement.pressure.growth == pytest.approx(4.8 * MIB, rel=0.01)
    assert judgement.pressure.level is Level.WARNING


def test_a_cache_that_fills_is_no_emergency() -> None:
    """Growth that holders under the meter account for is not foretold."""
    uses = (60.0, 65.0, 70.0, 72.0, 74.0, 76.0)
    pressure = judged(*uses, apart=0.05, governed=uses).pressure
    assert pressure.level is Level.NORMAL
    assert pressure.seconds_left is None


def test_use_that_stands_still_foretells_nothing() -> None:
    """Whatever less is governed of it, as where a load that comes and goes has gone."""
    governed = tuple(range(50, 10, -4))
    pressure = judged(*[71] * len(governed), governed=governed).pressure
    assert (pressure.level, pressure.seconds_left) == (Level.NORMAL, None)


def test_below_the_low_mark_growth_foretells_nothing() -> None:
    """A process that starts grows fast; there is nothing to reclaim yet."""
    assert judged(10, 20, 30, 40, apart=0.2).pressure.level is Level.NORMAL


@pytest.mark.parametrize("used", [40, 75, 85])
def test_what_a_day_of_samples_foretells_is_told_and_opens_no_gate(used: int) -> None:
    """A slow leak moves no ten readings, and its hours are told all the same; the level is not."""
    reading = Reading(at=0.0, used=used * MIB, limit=100 * MIB, source="test")
    before = judge(reading, MARKS)
    after = judge(reading.replace(at=1.0), MARKS, before, foretold=3600.0)
    assert after.pressure.seconds_left == 3599.0
    plain = judge(reading.replace(at=1.0), MARKS, before)
    assert plain.pressure.seconds_left is None
    assert (after.pressure.level, after.gates) == (plain.pressure.level, plain.gates)


def test_of_two_foretold_times_the_nearer_is_told() -> None:
    """What the readings show is seconds away; the samples know nothing of it."""
    uses = (60.0, 65.0, 70.0, 72.0, 74.0, 76.0)
    before = judged(*uses, apart=0.25)
    last = Reading(at=1.5, used=78 * MIB, limit=100 * MIB, source="fake")
    left = judge(last, MARKS, before).pressure.seconds_left
    assert left is not None
    assert left < 10
    assert judge(last, MARKS, before, foretold=7200.0).pressure.seconds_left == left


def test_a_foretold_time_that_has_come_is_not_believed() -> None:
    """It was known to the hour: a minute before it, the readings alone are asked."""
    reading = Reading(at=100.0, used=40 * MIB, limit=100 * MIB, source="test")
    for foretold in (50.0, 100.0, 159.0):
        assert judge(reading, MARKS, foretold=foretold).pressure.seconds_left is None
    unlimited = reading.replace(limit=None)
    assert judge(unlimited, MARKS, foretold=9999.0).pressure.seconds_left is None


def test_without_a_limit_only_marks_in_bytes_count() -> None:
    """Shares of no limit are never reached; bytes are."""
    assert judged(900, 900, limit=None).pressure.level is Level.NORMAL
    marks = Marks(low=50 * MIB, warning=60 * MIB, critical=70 * MIB)
    pressure = judged(65, 65, limit=None, marks=marks).pressure
    assert pressure.level is Level.WARNING
    assert pressure.excess == 15 * MIB


def test_a_part_has_marks_of_its_own_and_the_highest_level_wins() -> None:
    """RSS at 600 MiB is WARNING by its own mark although the judged figure is low."""
    marks = Marks(parts={"rss": {"warning": 500 * MIB, "critical": 1024 * MIB}})
    reading = Reading(at=0.0, used=MIB, limit=4096 * MIB, parts={"rss": 600 * MIB})
    judgement = judge(reading.replace(at=1.0), marks, judge(reading, marks))
    assert judgement.pressure.level is Level.WARNING
    assert judgement.pressure.cause == "rss warning"
    assert judgement.pressure.excess == 150 * MIB


def test_a_limit_changed_while_running_is_judged_at_once() -> None:
    """Marks are shares of the limit of the same reading."""
    calm = judged(50, 50, 50)
    halved = judged(50, 50, limit=52 * MIB, before=calm, start=10)
    assert halved.pressure.level is Level.EMERGENCY


def test_excess_is_what_lies_above_low() -> None:
    """A cleanup aims at the low mark."""
    assert judged(75).pressure.excess == 5 * MIB
    assert judged(60).pressure.excess == 0


def test_shutdown_needs_two_readings() -> None:
    """The last resort does not follow from one figure."""
    assert not judged(99).pressure.shutdown
    assert not judged(60, 99).pressure.shutdown
    assert not judged(99, 60, 99).pressure.shutdown
    assert judged(99, 99).pressure.shutdown


@pytest.mark.parametrize(
    "marks",
    [
        {"warning": 0.6},
        {"critical": 0.96},
        {"low": 0.0},
        {"shutdown": 1.2},
        {"low": True},
        {"emergency": float("nan")},
        {"low": 500, "warning": 400},
        {"parts": {"rss": {"loud": 5}}},
        {"parts": {"rss": {"warning": 10, "critical": 5}}},
    ],
)
def test_marks_out_of_order_or_range_are_refused_by_name(marks: dict[str, object]) -> None:
    """The error names the mark, its value and what to do."""
    with pytest.raises(ConfigError) as caught:
        Marks(**marks)  # type: ignore[arg-type]  # that is the case under test
    assert "threshold" in str(caught.value)


def test_time_brings_a_level_forward_by_one_mark_and_no_more() -> None:
    """At 250 MiB/s with a quarter second left, 72 % is but a warning."""
    assert judged(71, 72, 73, 74, apart=0.02).pressure.level <= Level.WARNING
    assert judged(71, 75, 79, 83, 86, apart=0.05).pressure.level is Level.CRITICAL
    assert judged(71, 75, 80, 86, 91, 93, apart=0.05).pressure.level is Level.EMERGENCY


def test_a_level_that_only_time_has_raised_ends_with_the_growth() -> None:
    """A burst that is over at 83 % leaves a warning, not a critical state for a minute."""
    raised = judged(72, 76, 80, 82, 83, apart=0.2)
    assert raised.pressure.level is Level.CRITICAL
    ended = judged(*[83] * 20, before=raised, start=1.0, apart=0.2)
    assert ended.pressure.level is Level.WARNING


def test_a_mark_that_was_reached_is_left_by_its_own_rule() -> None:
    """Time that adds to a mark reached makes it end no sooner."""
    raised = judged(80, 85, 91, 92, apart=0.2)
    ended = judged(*[85] * 20, before=raised, start=1.0, apart=0.2)
    assert ended.pressure.level is Level.CRITICAL


def test_a_level_that_time_has_raised_stands_while_growth_does_however_often_it_is_looked() -> None:
    """A window of looks that took a second, and then takes a tenth of one, sees the same growth."""
    raised = judged(*range(66, 73), apart=0.2)
    assert raised.pressure.level is Level.WARNING
    for step in range(200):
        used = 72 + 0.05 * step
        raised = judged(used, before=raised, start=1.21 + 0.01 * step)
        assert raised.pressure.level >= Level.WARNING
