"""Scoring as the corpus's README says: by trace, by healthy day, by the hours until an alarm."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from corpus import Trace

    Detector = Callable[[list[float], list[float], dict[str, list[float]]], tuple[int, float]]

LONGEST = 72.0
SPLIT = 2.0
MEDIUM = 2


class Look(NamedTuple):
    """What a detector said at one time."""

    at: float
    level: int
    rate: float


class Outcome(NamedTuple):
    """A trace and all that a detector said over it."""

    trace: Trace
    looks: list[Look]

    def alarms(self, level: int, *, is_granted: bool) -> list[Look]:
        """The looks at or above a level; where granted, garbage is collected and no alarm."""
        if is_granted and self.trace.label.get("garbage"):
            return []
        return [look for look in self.looks if look.level >= level]


class Score(NamedTuple):
    """The figures of one detector over some traces."""

    precision: float
    recall: float
    f1: float
    per_day: float
    hours: float
    hours_p90: float
    rate_error: float
    rate_error_p90: float


def watched(detector: Detector, trace: Trace) -> Outcome:
    """Ask a detector every half hour from hour 1, with at most the last 72 hours."""
    looks, at = [], 1.0
    while at <= trace.t[-1] + 1e-9:
        last = bisect_right(trace.t, at + 1e-9)
        first = bisect_right(trace.t, trace.t[last - 1] - LONGEST - 1e-9)
        aux = {name: column[first:last] for name, column in trace.aux.items()}
        level, rate = detector(trace.t[first:last], trace.rss[first:last], aux)
        looks.append(Look(at, level, rate))
        at += 0.5
    return Outcome(trace, looks)


def scored(outcomes: Iterable[Outcome], level: int = MEDIUM, *, is_granted: bool = True) -> Score:
    """Score what was said over some traces; an alarm is a look at or above a level."""
    found = missed = false = episodes = 0
    days, hours, errors = 0.0, [], []
    for outcome in outcomes:
        alarms = outcome.alarms(level, is_granted=is_granted)
        if not outcome.trace.is_leak:
            days += outcome.looks[-1].at / 24
            false += bool(alarms)
            episodes += _episodes(alarms)
            continue
        onset = outcome.trace.onset
        false += any(look.at < onset for look in alarms)
        after = [look for look in alarms if look.at >= onset]
        found += bool(after)
        missed += not after
        if after:
            hours.append(after[0].at - onset)
            errors.append(abs(after[-1].rate / outcome.trace.label["rate_mb_h"] - 1))
    return _score((found, missed, false), episodes / days if days else 0.0, hours, errors)


def _score(
    counts: tuple[int, int, int], per_day: float, hours: list[float], errors: list[float]
) -> Score:
    found, missed, false = counts
    precision = found / max(1, found + false)
    recall = found / max(1, found + missed)
    f1 = 2 * precision * recall / max(1e-9, precision + recall)
    nothing = [float("nan")]
    hours, errors = sorted(hours) or nothing, sorted(errors) or nothing
    return Score(
        precision,
        recall,
        f1,
        per_day,
        median(hours),
        _late(hours),
        100 * median(errors),
        100 * _late(errors),
    )


def _late(ordered: list[float]) -> float:
    return ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))]


def _episodes(alarms: Sequence[Look]) -> int:
    """Alarms in episodes: a gap of more than two hours begins a new one."""
    gaps = [after.at - before.at for before, after in pairwise(alarms)]
    return bool(alarms) + sum(gap > SPLIT for gap in gaps)
