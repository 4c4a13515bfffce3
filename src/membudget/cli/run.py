"""`membudget run`: any Python program under a budget, with no change to it.

The options are those of `cli.launcher`, which reads them by itself where nothing is wrong.
"""

from __future__ import annotations

from typing import Any

import click

from membudget.cli.launcher import OPTIONS, Option, launch


def _option(one: Option) -> click.Option:
    return click.Option(
        [f"--{one.name}", one.name.replace("-", "_")],
        help=one.help,
        metavar=one.metavar or None,
        is_flag=not one.metavar,
        multiple=one.is_repeated,
        default=None if one.is_repeated else one.absent,
        show_default=one.default is not None,
    )


def _launch(program: tuple[str, ...], **options: Any) -> None:
    """Run PROGRAM under a budget, in place of this process; put -- before it.

    Its output, its signals and its exit code are its own; messages go to standard error.
    """
    launch({name.replace("_", "-"): value for name, value in options.items()}, program)


command = click.Command(
    "run",
    callback=_launch,
    help=_launch.__doc__,
    params=[
        *map(_option, OPTIONS),
        click.Argument(["program"], nargs=-1, required=True, type=click.UNPROCESSED),
    ],
    context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False},
)
