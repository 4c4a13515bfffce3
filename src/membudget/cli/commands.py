"""The commands by name, each file loaded only when its command is asked for."""

from __future__ import annotations

from importlib import import_module

import click

from membudget import __version__
from membudget.errors import ConfigError

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
def _commands() -> None:
    """Keep Python processes inside a memory budget."""


def run_command() -> object:
    """Run what the command line asks for; its exit code, if it is a number.

    Raises:
        ConfigError: Wrong usage.
        KeyboardInterrupt: Ctrl-C.
    """
    try:
        return _commands.main(standalone_mode=False)
    except click.ClickException as error:
        raise ConfigError(error.format_message()) from error
    except click.Abort:
        raise KeyboardInterrupt from None
