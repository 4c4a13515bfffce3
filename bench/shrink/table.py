"""The outcomes as a table for people, and whether the aims were met."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from contestants import GIVING_BACK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cells import Outcome

_LEAST_BACK, _LONGEST_MS = 0.75, 15.0
_HEAD = (
    "values",
    "contestant",
    "full MB",
    "freed MB",
    "left RSS %",
    "after another trim %",
    "hits before %",
    "hits after %",
    "took ms",
    "longest pause ms, control",
    "aims",
)


def verdict(outcomes: Sequence[Outcome]) -> str:
    """Which aims a cell of ours missed, "met", or "-" where nothing is aimed at."""
    if not outcomes[0].contestant.startswith("membudget"):
        return "-"
    if any(one.error for one in outcomes):
        return "missed: failed"
    missed = []
    if outcomes[0].contestant == GIVING_BACK and _of(outcomes, "share back") < _LEAST_BACK:
        missed.append(f"{_LEAST_BACK:.0%} back")
    above = median(max(0.0, one.figures["pause"] - one.figures["control"]) for one in outcomes)
    if above > _LONGEST_MS:
        missed.append(f"pause {_LONGEST_MS:g} ms")
    return f"missed: {', '.join(missed)}" if missed else "met"


def table(cells: Sequence[Sequence[Outcome]]) -> str:
    """A row a cell, medians of its runs."""
    lines = [_HEAD, ("---", "---", *["--:"] * 8, "---"), *map(_row, cells)]
    errors = {(one.kind, one.contestant, one.error) for some in cells for one in some if one.error}
    told = [f"{kind}, {name}: {error}" for kind, name, error in sorted(errors)]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", *told]).rstrip()


def _row(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    kind, name = outcomes[0].kind, outcomes[0].contestant
    if any(one.error for one in outcomes):
        return (kind, name, *["-"] * 8, verdict(outcomes))
    return (
        kind,
        name,
        f"{_of(outcomes, 'full MB'):.0f}",
        f"{_of(outcomes, 'freed MB'):.0f}",
        f"{round(100 * _of(outcomes, 'share back'))}",
        f"{round(100 * _of(outcomes, 'share back after trim'))}",
        f"{100 * _of(outcomes, 'hits before'):.1f}",
        f"{100 * _of(outcomes, 'hits after'):.1f}",
        f"{_of(outcomes, 'ms'):.0f}",
        f"{_of(outcomes, 'pause'):.1f}, {_of(outcomes, 'control'):.1f}",
        verdict(outcomes),
    )


def _of(outcomes: Sequence[Outcome], name: str) -> float:
    return median(one.figures[name] for one in outcomes)
