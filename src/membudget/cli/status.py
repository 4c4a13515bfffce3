"""`membudget status`: one line and an exit code, for checks and scripts."""

from __future__ import annotations

import json

import click

from membudget.cli.lookup import NOBODY, UNREACHABLE, exit_code, find
from membudget.cli.words import complain, line
from membudget.errors import ControlError, ProbeError


@click.command()
@click.option("--pid", type=click.IntRange(min=1), help="The process; else all of yours.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing; the exit code tells.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(*, pid: int | None, quiet: bool, as_json: bool) -> int:
    """Tell how the worst of the processes under a budget stands, by their slots alone.

    Nobody is asked, so a process that hangs is seen as well. Exits 0 when all is well, 1 at
    WARNING, 2 at CRITICAL or EMERGENCY, 3 when there is none.
    """
    try:
        rows, why = [one.as_row() for one in find(pid)], NOBODY
    except (ControlError, ProbeError) as error:
        rows, why = [], str(error)
    if not rows:
        if not quiet:
            complain(why)
        return UNREACHABLE
    worst = max(
        rows, key=lambda row: (exit_code(row["level"]), row["used"] / (row["limit"] or 1e18))
    )
    if as_json:
        click.echo(json.dumps({"processes": len(rows), "worst": worst}))
    elif not quiet:
        count = "1 process" if len(rows) == 1 else f"{len(rows)} processes"
        click.echo(f"{worst['level']}, {count}; the fullest: {line(worst)}")
    return exit_code(worst["level"])
