"""The figures of the simple rules in use, told as facts beside the verdict.

Measured, they miss a third of real leaks and call healthy warm-ups leaks; people know them and ask
for them. So they are shown, and nothing is decided by them.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from membudget.leaks.records import SimpleFacts
from membudget.trend import increments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from membudget.leaks.rules import Rules
    from membudget.leaks.series import Series


def growing_share(values: Sequence[float]) -> float:
    """Share of the values above the one before; 0.0 of fewer than two."""
    steps = increments(values)
    return sum(step > 0 for step in steps) / len(steps) if steps else 0.0


def simple_facts(series: Series, rules: Rules) -> SimpleFacts:
    """The simple rules over the newest hours: at least so many hours and so many samples."""
    hours, rss = series.hours, series.rss
    first = bisect_left(hours, hours[-1] - rules.min_duration) if hours else 0
    first = max(0, min(first, len(hours) - rules.min_samples))
    seen = rss[first:]
    span = hours[-1] - hours[first] if hours else 0.0
    gained = seen[-1] - seen[0] if seen else 0.0
    rate = gained / span if span > 0 else 0.0
    steps = increments(seen)
    shares = [step / before for step, before in zip(steps, seen, strict=False) if before > 0]
    is_enough = len(seen) >= rules.min_samples and span >= rules.min_duration * 0.95
    return SimpleFacts(
        rate=rate,
        threshold=rules.threshold_mb_per_hour,
        hours=span,
        samples=len(seen),
        is_above=is_enough and rate > rules.threshold_mb_per_hour,
        growing_share=growing_share(seen),
        growth_per_sample=sum(shares) / len(shares) if shares else 0.0,
        running=_running(steps),
        growth_over_window=gained / seen[0] if seen and seen[0] > 0 else 0.0,
    )


def _running(steps: Sequence[float]) -> int:
    count = 0
    for step in reversed(steps):
        if step <= 0:
            break
        count += 1
    return count
