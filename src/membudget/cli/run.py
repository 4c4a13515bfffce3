"""`membudget run`: any Python program under a budget, with no change to it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from membudget.budget.launch import VARIABLE
from membudget.errors import ConfigError
from membudget.probes.process import process_probe
from membudget.settings.resolve import resolve
from membudget.settings.table import SETTINGS
from membudget.units import human_bytes

NOT_EXECUTABLE = 126
NOT_FOUND = 127
"""What a shell reports for a command that cannot be run, or is not there."""

SHIM = Path(__file__).parent.parent / "_shim"


@click.command(context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
@click.option("--limit", metavar="SIZE", help="Bytes to keep within, as in 400MiB; else found.")
@click.option(
    "--set",
    "pairs",
    metavar="KEY=VALUE",
    multiple=True,
    help="Any setting, as in thresholds.warning=85%; may be repeated.",
)
@click.option("--quiet", is_flag=True, help="Tell only failures and levels from CRITICAL on.")
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
def command(
    limit: str | None, pairs: tuple[str, ...], program: tuple[str, ...], *, quiet: bool
) -> None:
    """Run PROGRAM under a budget, in place of this process; put -- before it.

    Its output, its signals and its exit code are its own; messages go to standard error.
    """
    given = {"limit": limit} if limit is not None else {}
    for pair in pairs:
        key, found, value = pair.partition("=")
        if not found:
            raise ConfigError(f"--set {pair!r} has no value: write it as KEY=VALUE")
        given[key.strip()] = value.strip()
    settings = resolve(given)
    _check_room(settings["limit"])
    environment = dict(os.environ)
    environment.update({SETTINGS[key].variable: text for key, text in given.items()})
    environment[VARIABLE] = "quiet" if quiet else "lines"
    paths = [str(SHIM), *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    _execute(program, environment)


def _check_room(limit: int | None) -> None:
    """Refuse a limit that not even an interpreter fits in."""
    held = process_probe()().used
    if limit is not None and limit <= held:
        raise ConfigError(
            f"limit {human_bytes(limit)} is below what a bare interpreter holds "
            f"({human_bytes(held)} here): give it more"
        )


def _execute(program: tuple[str, ...], environment: dict[str, str]) -> None:
    path = shutil.which(program[0])
    if path is None:
        is_there = Path(program[0]).exists()
        what = "cannot be executed" if is_there else "was not found"
        advice = "give an executable or a command on PATH, as in: membudget run -- python app.py"
        click.echo(f"membudget: command {program[0]!r} {what}: {advice}", err=True)
        sys.exit(NOT_EXECUTABLE if is_there else NOT_FOUND)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # A closed one is the caller's wish.
            stream.flush()
    try:
        os.execve(path, program, environment)  # noqa: S606  # running what was asked for is the job
    except OSError as error:
        click.echo(f"membudget: command {program[0]!r} did not start: {error.strerror}", err=True)
        sys.exit(NOT_EXECUTABLE)
