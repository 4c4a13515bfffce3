"""The outcomes of many runs as a table for people."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cells import Outcome

_MIB = 1 << 20
_HEAD = "| load | contestant | lived | peak MiB | hits % | took s | died after s |"


def table(outcomes: Sequence[Outcome]) -> str:
    """A markdown table, one row a cell, cells in the order of their first run."""
    cells: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        cells.setdefault((outcome.load, outcome.contestant), []).append(outcome)
    rows = [_row(load, contestant, runs) for (load, contestant), runs in cells.items()]
    return "\n".join([_HEAD, "| --- | --- | --: | --: | --: | --: | --: |", *rows])


def _row(load: str, contestant: str, runs: list[Outcome]) -> str:
    lived = [run for run in runs if run.ended == "lived"]
    dead = [run for run in runs if run.ended == "killed"]
    odd = sorted({run.ended for run in runs if run not in lived and run not in dead})
    count = ", ".join([f"{len(lived)} of {len(runs)}", *odd])
    columns = [
        load,
        contestant,
        count,
        f"{max(run.peak for run in runs) / _MIB:.0f}",
        _middle([100 * run.hit_rate for run in lived if run.hit_rate is not None], 1),
        _middle([run.took for run in lived], 1),
        _middle([run.took for run in dead], 2),
    ]
    return f"| {' | '.join(columns)} |"


def _middle(values: list[float], digits: int) -> str:
    return f"{median(values):.{digits}f}" if values else "-"
