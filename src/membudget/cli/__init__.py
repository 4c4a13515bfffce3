"""The command `membudget`: one file per command, each loaded only when it is asked for."""

from __future__ import annotations

import contextlib
import os
import sys
from importlib import import_module
from io import TextIOWrapper
from typing import NoReturn

import click

from membudget import __version__
from membudget.errors import MembudgetError
from membudget.units import one_line

USAGE = 64
"""EX_USAGE of sysexits.h: wrong usage or settings."""

INTERRUPTED = 130
"""What a shell reports for a command ended by Ctrl-C."""

_COMMANDS = ("config", "demo", "doctor", "leaks", "memory", "report", "run", "status", "stress")


class _Commands(click.Group):
    """The commands by name, imported when one is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"membudget.cli.{cmd_name}").command
        return command


@click.group(cls=_Commands)
@click.version_option(__version__, prog_name="membudget")
def commands() -> None:
    """Keep Python processes inside a memory budget."""


def main() -> None:
    """Run the command line and exit: 64 for wrong usage or settings, told in one line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal without arrows is no reason to say nothing.
            stream.reconfigure(errors="replace")
    stdout = sys.stdout
    try:
        code = commands.main(standalone_mode=False)
    except click.ClickException as error:
        _fail(error.format_message())
    except MembudgetError as error:
        _fail(str(error))
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except SystemExit:
        if sys.stdout is not stdout:  # click's way with a broken pipe, which ends with 1.
            _end_unread()
        raise
    except BrokenPipeError:
        _end_unread()
    except OSError as error:
        _fail(f"{error.strerror or error}: check where the output goes")
    sys.exit(code if isinstance(code, int) else 0)


def _end_unread() -> NoReturn:
    """End as all is well: the reader went away, and there is nobody to tell, nor to flush for."""
    os._exit(0)


def _fail(message: str) -> None:
    with contextlib.suppress(OSError):
        click.echo(f"membudget: {one_line(message, 2000)}", err=True)
    sys.exit(USAGE)
