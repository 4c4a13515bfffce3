"""`membudget memory`: what the processes under a budget use now."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from membudget.cli.lookup import (
    APART,
    NOBODY,
    UNREACHABLE,
    OutsideView,
    exit_code,
    find,
    without_slot,
)
from membudget.cli.words import complain, details, line, with_answer
from membudget.errors import ConfigError, ControlError, MembudgetError, ProbeError


@click.command()
@click.option("--pid", type=click.IntRange(min=1), help="The process; else all of yours.")
@click.option("-v", "--verbose", is_flag=True, help="Caches, collector, allocator, levels: all.")
@click.option("--watch", is_flag=True, help="Once a second, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a process and look.")
def command(*, pid: int | None, verbose: bool, watch: bool, as_json: bool) -> int:
    """Show use, limit, level, rate and time to the limit.

    Exits 0 when all is well, 1 at WARNING, 2 at CRITICAL or EMERGENCY, 3 when no process is found
    or one did not answer.
    """
    try:
        code = _look(pid, verbose=verbose, as_json=as_json)
        while watch and code != UNREACHABLE:
            time.sleep(1.0)
            code = _look(pid, verbose=verbose, as_json=as_json)
    except (ConfigError, BrokenPipeError):
        raise
    except (MembudgetError, OSError) as error:
        complain(error)
        return UNREACHABLE
    return code


def _look(pid: int | None, *, verbose: bool, as_json: bool) -> int:
    found = find(pid)
    outside: list[dict[str, Any]] = []
    if pid is None or not found:
        outside = _outside(without_slot(found) if pid is None else [OutsideView(pid)], pid)
        if pid is not None and outside:
            found = find(pid)  # Its budget may have begun while it was looked at.
    rows, code = [], 0
    for one in found:
        try:
            row = one.as_row()
            rows.append(with_answer(row, one.ask("memory")) if verbose else row)
        except ControlError as error:
            complain(error)
            rows.append(one.as_row())
            code = UNREACHABLE
    if pid is None or not found:
        rows += outside
    if not rows:
        complain(NOBODY)
        return UNREACHABLE
    for row in rows:
        if as_json:
            click.echo(json.dumps(row))
        else:
            click.echo("\n".join([line(row), *(details(row) if verbose else ())]))
    if verbose and pid is not None and not found:
        complain(_unasked(pid))
        code = UNREACHABLE
    return max(code, *(exit_code(row["level"]) for row in rows))


def _unasked(pid: int) -> str:
    return (
        f"process {pid} cannot be asked: it has no budget, or was forked less than a second ago; "
        "start it with `membudget run -- CMD`, or call membudget.start() in it"
    )


def _outside(views: list[OutsideView], named: int | None) -> list[dict[str, Any]]:
    """Look twice, for a rate; one that has ended is left out, and told where it was named."""
    for is_last in (False, True):
        rows = []
        for view in tuple(views):
            try:
                rows.append(view.look())
            except ProbeError as error:
                views.remove(view)
                if named is not None:
                    complain(error)
        if views and not is_last:
            time.sleep(APART)
    return rows
