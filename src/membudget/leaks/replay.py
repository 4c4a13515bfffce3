"""The looks that a detector would have taken at recorded samples, one after another.

A level needs looks that agree, so the verdict on a recording is that of its last look, and the
looks before it must be taken first.
"""

from __future__ import annotations

from bisect import bisect_right
from math import ceil
from typing import TYPE_CHECKING

from membudget.leaks.records import Rules
from membudget.leaks.series import HOUR, LONGEST, Series
from membudget.leaks.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from membudget.core import Sample
    from membudget.leaks.records import State, Verdict

EVERY = 1800.0
"""Seconds between two looks."""

APART = 300.0
"""Seconds between two samples that are judged: the detector's constants were set on these."""

FIRST = 3600.0
"""Seconds after the first sample at which the first look is taken."""

RECORDED = Rules(collect_first=False)
"""What is demanded of a recording: nobody can collect in it before accusing."""

_SLACK = 0.95
"""Samples come a little early now and then."""


def thinned(samples: Sequence[Sample], apart: float = APART) -> list[Sample]:
    """Samples at least so many seconds apart, the first of each process and the last always.

    Where they are few (less than two hours), as they are: there is no verdict on those anyway.
    """
    if not samples or samples[-1].wall - samples[0].wall < 2 * HOUR:
        return list(samples)
    kept = [samples[0]]
    for one in samples[1:]:
        before = kept[-1]
        is_other = (one.pid, one.began) != (before.pid, before.began)
        if is_other or one.wall - before.wall >= apart * _SLACK:
            kept.append(one)
    return kept


def looks(
    samples: Sequence[Sample], *, every: float = EVERY, rules: Rules = RECORDED
) -> Iterator[Verdict]:
    """The verdict of each look, the last one at the newest sample; none without samples.

    Args:
        samples: A recording, oldest first.
        every: Seconds between two looks.
        rules: What is demanded.

    Yields:
        Verdicts. A day of looks every half hour takes about 0.2 s.
    """
    kept = thinned(samples)
    if not kept:
        return
    walls = [one.wall for one in kept]
    state: State | None = None
    begin, at = 0, walls[0] + FIRST
    while True:
        at = min(at, walls[-1])
        end = bisect_right(walls, at)
        while walls[begin] < at - LONGEST * HOUR:
            begin += 1
        verdict, state = judge(Series.of(kept[begin:end]), rules, state)
        yield verdict
        if end == len(walls):
            return
        # Where nobody sampled meanwhile, there is nothing to look at.
        at += every * max(1, ceil((walls[end] - at) / every))


def last_look(
    samples: Sequence[Sample], *, every: float = EVERY, rules: Rules = RECORDED
) -> Verdict | None:
    """The verdict at the newest sample, those before it taken into account; None without any."""
    verdict = None
    for verdict in looks(samples, every=every, rules=rules):  # noqa: B007  # the last one counts
        pass
    return verdict
