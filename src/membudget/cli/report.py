"""`membudget report`: the latest day of a running process, or of a recorded file."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from membudget.cli.lookup import NOBODY, UNREACHABLE, complain, find
from membudget.errors import ConfigError, ControlError, MembudgetError, ProbeError
from membudget.units import parse_bytes

if TYPE_CHECKING:
    from membudget.report import Report


@click.command()
@click.option("--pid", type=click.IntRange(min=1), help="The process; else the only one of yours.")
@click.option(
    "--samples",
    type=click.Path(),
    metavar="FILE",
    help="A recording: history file, JSON lines, CSV, mprof's .dat.",
)
@click.option(
    "--bounds",
    type=click.Path(),
    metavar="FILE",
    help="Bounds of the parts in --samples, JSON or YAML.",
)
@click.option("--limit", metavar="SIZE", help="What --samples is held against: 400MiB.")
@click.option(
    "--html", "page", type=click.Path(), metavar="FILE", help="Write one self-contained page there."
)
@click.option("--json", "is_json", is_flag=True, help="One JSON object instead of text.")
@click.option(
    "--hours", type=click.FloatRange(min=0, min_open=True), default=24.0, show_default=True
)
def command(
    *,
    pid: int | None,
    samples: str | None,
    bounds: str | None,
    limit: str | None,
    page: str | None,
    is_json: bool,
    hours: float,
) -> int:
    """Report on memory use, leaks, caches, events and what is to come.

    Exits 0 when there is a report, 3 when no process is found or it did not answer.
    """
    if samples is not None and pid is not None:
        raise click.UsageError("--pid and --samples exclude each other: give one of them")
    for name, given in (("--bounds", bounds), ("--limit", limit)):
        if given is not None and samples is None:
            raise click.UsageError(f"{name} goes with --samples: a running process knows its own")
    if not hours > 0:  # NaN is within every range of click's.
        raise click.UsageError("--hours is no number above zero: give one, such as 24")
    try:
        if samples is not None:
            made = _recorded(samples, bounds, limit, hours)
        else:
            made = _live(pid, hours)
    except (ControlError, ProbeError) as error:
        complain(error)
        return UNREACHABLE
    if page is not None:
        _write_page(made, page)
    if is_json:
        click.echo(json.dumps(made.as_json()))
    elif page is None:
        click.echo(str(made))
    return 0


def _recorded(path: str, bounds: str | None, limit: str | None, hours: float) -> Report:
    from membudget.report import report
    from membudget.report.readers import read_bounds, read_samples, with_bounds

    found = read_samples(path)
    samples = found.samples
    if bounds is not None:
        samples = with_bounds(samples, read_bounds(bounds))
    if limit is not None:
        size = parse_bytes(limit, name="--limit")
        samples = tuple(one.replace(limit=size) for one in samples)
    return report(
        samples,
        hours=hours,
        name=found.name or os.path.basename(path),
        is_dated=found.is_dated,
        operations=found.operations,
        notes=found.notes,
    )


def _live(pid: int | None, hours: float) -> Report:
    from membudget.report import answered

    try:
        processes = find(pid)
    except ConfigError:
        raise
    except (MembudgetError, OSError) as error:
        raise ControlError(str(error)) from error
    if not processes:
        raise ControlError(
            NOBODY
            if pid is None
            else f"process {pid} cannot be asked: it has no budget, or was forked less than a "
            "second ago; start it with `membudget run -- CMD`, or give a recording by --samples"
        )
    if len(processes) > 1:
        known = ", ".join(str(one.identity.pid) for one in processes)
        raise click.UsageError(f"several processes run under a budget ({known}): name one by --pid")
    return answered(processes[0].ask("samples"), hours)


def _write_page(made: Report, path: str) -> None:
    from membudget.ownership import write_whole
    from membudget.report.page import BEGINS

    page = made.as_html().encode("utf-8", "replace")
    try:
        write_whole(path, page, begins=BEGINS.encode(), is_private=False)
    except ConfigError as error:
        raise ConfigError(f"--html {error}") from None
    except OSError as error:
        raise ConfigError(
            f"--html {path} cannot be written ({error.strerror}): name a file in a folder of yours"
        ) from None
