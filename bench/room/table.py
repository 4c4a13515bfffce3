"""Outcomes as a table, and how hits went over time."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

from splits import best

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cells import Outcome
    from scenes import Scene

_PART = 0.8
"""A newcomer has its part with so much of what the best split gives a hot one."""

HEADINGS = (
    "scene", "contestant", "hot, all", "worst", "hot, last third", "cold, all",
    "MiB a hot one at the end", "a cold one", "resident, all", "s to its part (slowest)",
    "peak of the limit", "deaths", "oom kills",
)  # fmt: skip


def heading() -> str:
    """The first two lines."""
    return f"| {' | '.join(HEADINGS)} |\n| {' | '.join('---' for _ in HEADINGS)} |"


def row(outcome: Outcome, scene: Scene) -> str:
    """One outcome in a line."""
    ends = outcome.ends
    hot, cold = (outcome.rates(0.0, ends, hot=one) for one in (True, False))
    last = outcome.rates(ends * 2 / 3, ends, hot=True)
    arrivals = [] if scene.swaps else outcome.arrivals(_PART * best(scene).hot)
    resident = sum(one.told[-1].rss for one in outcome.lives if one.told)
    cells = (
        outcome.scene,
        outcome.contestant,
        _mean(hot),
        f"{min(hot, default=0.0):.1f}",
        _mean(last),
        _mean(cold),
        f"{outcome.held(hot=True) / (1 << 20):.0f}",
        f"{outcome.held(hot=False) / (1 << 20):.0f}",
        f"{resident >> 20}",
        _slowest(arrivals),
        f"{outcome.peak / scene.limit:.0%}",
        f"{outcome.deaths(scene)}",
        f"{outcome.oom_kills}",
    )
    return f"| {' | '.join(cells)} |"


def paths(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """The mean hits of the hot and of the cold ones in each two seconds."""
    for one in outcomes:
        for hot in (True, False):
            path = " ".join("-" if rate is None else f"{rate}" for rate in one.path(hot=hot))
            yield f"{one.scene}, {one.contestant}, {'hot' if hot else 'cold'}: {path}"


def _slowest(arrivals: Sequence[float | None]) -> str:
    late = sum(one is None for one in arrivals)
    if late:
        return f"{late} of {len(arrivals)} never"
    return f"{max(filter(None, arrivals)):.1f}" if any(arrivals) else "-"


def _mean(rates: Sequence[float]) -> str:
    return f"{fmean(rates):.1f}" if rates else "-"
