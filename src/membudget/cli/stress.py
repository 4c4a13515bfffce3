"""`membudget stress`: a function called in rounds, or a program watched, for leaks; made for CI."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import sys
import traceback
from typing import Any

import click

from membudget.callables import check_function
from membudget.errors import ConfigError
from membudget.testing.rounds import ROUNDS, SECONDS
from membudget.units import how_many, human_bytes, human_seconds, one_line, parse_seconds, signed

LEAK, UNTOLD = 1, 2
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_PROGRAM_SECONDS = 60.0


@click.command(context_settings={"allow_interspersed_args": False})
@click.option(
    "--rounds",
    type=click.IntRange(min=3),
    default=ROUNDS,
    show_default=True,
    help="Rounds of calls; for a program, stretches of its time.",
)
@click.option("--calls", type=click.IntRange(min=1), help="Calls in a round; else by their cost.")
@click.option("--warmup", type=click.IntRange(min=0), help="Calls before the first round.")
@click.option(
    "--for",
    "lasting",
    metavar="TIME",
    help="How long: 10s for the rounds of a function, 60s for a program, unless given.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.argument("what", nargs=-1, required=True, type=click.UNPROCESSED)
def command(what: tuple[str, ...], *, lasting: str | None, as_json: bool, **options: Any) -> int:
    """Look for leaks in a function (module:function) or in a program (-- CMD...).

    A function is called in rounds: what grows in every one and goes on growing is a leak, and the
    line that allocates it is named. A program is started, watched from outside for a time, ended,
    and judged by the floors of its memory use: growth below 1 MiB is not seen, and nothing is
    named.

    Exits 0 without a leak, 1 with one, and 2 where that could not be told: the function raised,
    the program failed or was too short.
    """
    seconds = parse_seconds(lasting, name="--for") if lasting is not None else None
    if len(what) == 1 and _FUNCTION.fullmatch(what[0]):
        return _function(what[0], seconds or SECONDS, as_json=as_json, **options)
    for option in ("calls", "warmup"):
        if options[option] is not None:
            raise click.UsageError(
                f"--{option} is for a function: a program is watched by time, give --for"
            )
    return _program(what, seconds or _PROGRAM_SECONDS, options["rounds"], as_json=as_json)


def _function(path: str, seconds: float, *, as_json: bool, **options: Any) -> int:
    from membudget.testing.result import as_json_value, cost_in_words, explain
    from membudget.testing.rounds import check_leaks

    sys.path.insert(0, os.getcwd())
    module, _, name = path.partition(":")
    try:
        function: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{path!r} cannot be imported ({error}): give module:function as Python would import "
            "it from here, or a program after --"
        ) from error
    except Exception as error:  # noqa: BLE001  # a module's own, as it runs
        what = f"{type(error).__name__}: {one_line(error)}"
        click.echo(f"membudget: {module} raised as it was imported ({what}): mend it", err=True)
        return UNTOLD
    for part in name.split("."):
        function = getattr(function, part, None)
    if not callable(function):
        raise ConfigError(f"{path!r} is not a function: {module} has no {name!r} to call; name one")
    check_function(function, "function", (), may_await=True)
    try:
        # What the function prints must not stand between a reader and the JSON.
        with contextlib.redirect_stdout(sys.stderr):
            result = check_leaks(function, seconds=seconds, name=path, **options)
    except ConfigError:
        raise
    except Exception:  # noqa: BLE001  # whatever it raises is its user's to see
        traceback.print_exc()
        click.echo(f"membudget: {path} raised: nothing can be said of its memory", err=True)
        return UNTOLD
    if as_json:
        click.echo(json.dumps(as_json_value(result), indent=2))
    else:
        click.echo(f"{explain(result)}\n  {'took':<18}{cost_in_words(result)}")
    return LEAK if result.is_leak else 0


def _program(what: tuple[str, ...], seconds: float, rounds: int, *, as_json: bool) -> int:
    from membudget.testing.program import watch_program

    try:
        result = watch_program(what, seconds, rounds)
    except OSError as error:
        if _FUNCTION.fullmatch(what[0]):
            raise ConfigError(
                f"{what[0]!r} is a function, and nothing goes behind it, not {what[1]!r}: give "
                f"options first, as in: membudget stress --rounds 8 {what[0]}"
            ) from error
        raise ConfigError(
            f"command {what[0]!r} did not start ({error.strerror}): give an executable or a "
            "command on PATH, as in: membudget stress -- python app.py"
        ) from error
    if as_json:
        click.echo(json.dumps({"command": list(what), **result.as_dict()}, indent=2))
    else:
        took, samples = human_seconds(result.took), how_many(result.samples)
        click.echo(f"{what[0]}: {result.verdict} in {took}, {samples}")
        if result.samples:
            click.echo(f"  peak      {human_bytes(result.peak)}")
        if result.floors:
            grown, rate = signed(result.growth), human_bytes(result.rate)
            pace = f"last third at {result.pace:.2f} of the first"
            click.echo(f"  floors    {', '.join(map(human_bytes, result.floors))}")
            click.echo(f"  growth    {grown} between them, {rate}/h; {pace}")
        else:
            click.echo("  floors    too few samples: let it run longer, or give fewer --rounds")
        if result.code:
            click.echo(f"  ended     with {result.code}: only what it did until then was looked at")
    if result.verdict == "leak":
        return LEAK
    return UNTOLD if result.code or result.verdict != "no leak" else 0
