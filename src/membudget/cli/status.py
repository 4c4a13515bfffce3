"""`membudget status`: one line and an exit code, for scripts and for health checks."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from membudget.cli.lookup import NOBODY, UNREACHABLE, complain, exit_code, find
from membudget.cli.memory import SILENT, line
from membudget.core import Level
from membudget.errors import ControlError, ProbeError

if TYPE_CHECKING:
    from membudget.cli.lookup import Found

FAILED = 1  # What health checks take for a failure, whatever else is told apart.
_LEVELS = [level.name.lower() for level in Level if level > Level.NORMAL]


@click.command()
@click.option("--pid", type=click.IntRange(min=1), help="The process; else all of yours.")
@click.option(
    "-q",
    "--quiet",
    is_flag=True,
    help="Say nothing: exit 0 while a process is there, whatever its level, and 1 when it is gone "
    "or does not answer.",
)
@click.option(
    "--fail-at",
    type=click.Choice(_LEVELS, case_sensitive=False),
    help="Exit 1 from this level on as well, and 0 below it.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(*, pid: int | None, quiet: bool, fail_at: str | None, as_json: bool) -> int:
    """Tell how the worst of the processes under a budget stands, by their slots.

    Exits 0 when all is well, 1 at WARNING, 2 at CRITICAL or EMERGENCY, 3 when there is none; with
    -q or --fail-at 0, or 1 where all are gone, all hang, or the worst is at that level. These two
    options ask whose figures are old, and nobody else.

    Health checks use -q, which is 0 or 1 and by itself knows no level. Liveness (what restarts the
    process): `membudget status -q`, never with a level, or a full cache gets a healthy process
    killed. Readiness (what sends it no more requests): `membudget status -q --fail-at emergency`.
    """
    try:
        found, why = find(pid), NOBODY
    except (ControlError, ProbeError) as error:
        found, why = [], str(error)
    is_check = quiet or fail_at is not None
    if not found:
        if not quiet:
            complain(why)
        return FAILED if is_check else UNREACHABLE
    worst = max(
        (one.as_row() for one in found),
        key=lambda row: (exit_code(row["level"]), row["used"] / (row["limit"] or 1e18)),
    )
    level = worst["level"]
    if as_json:
        click.echo(json.dumps({"processes": len(found), "worst": worst}))
    elif not quiet:
        count = "1 process" if len(found) == 1 else f"{len(found)} processes"
        click.echo(f"{level}, {count}; the fullest: {line(worst)}")
    if not is_check:
        return exit_code(level)
    is_full = fail_at is not None and level.lower() in _LEVELS[_LEVELS.index(fail_at) :]
    return FAILED if is_full or not any(map(_is_well, found)) else 0


def _is_well(one: Found) -> bool:
    """Whether a process shows that it runs; one whose figures are old is asked."""
    # Either way: a clock that was set back makes them come from the future.
    if abs(time.time() - one.figures.at) <= SILENT:
        return True
    try:
        one.ask("status")
    except ControlError:
        return False
    return True
