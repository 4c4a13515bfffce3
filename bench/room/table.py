"""Outcomes as a table, and how hits went over time."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

from loads import ROLES
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
    cold, hot = (outcome.rates(role) for role in ROLES)
    last = outcome.rates("hot", outcome.ends * 2 / 3)
    arrivals = [] if scene.swaps else outcome.arrivals(_PART * best(scene).hot)
    resident = sum(one.told[-1].rss for one in outcome.lives if one.is_there_at(outcome.ends))
    cells = (
        outcome.scene,
        outcome.contestant,
        _mean(hot),
        f"{min(hot, default=0.0):.1f}",
        _mean(last),
        _mean(cold),
        f"{outcome.held('hot') / (1 << 20):.0f}",
        f"{outcome.held('cold') / (1 << 20):.0f}",
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
        for role in ROLES:
            path = " ".join("-" if rate is None else f"{rate}" for rate in one.path(role))
            yield f"{one.scene}, {one.contestant}, {role}: {path}"


def _slowest(arrivals: Sequence[float | None]) -> str:
    late = sum(one is None for one in arrivals)
    if late:
        return f"{late} of {len(arrivals)} never"
    return f"{max(filter(None, arrivals)):.1f}" if any(arrivals) else "-"


def _mean(rates: Sequence[float]) -> str:
    return f"{fmean(rates):.1f}" if rates else "-"
