"""The command `membudget`: one file per command, each loaded only when it is asked for."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from io import TextIOWrapper

from membudget.errors import ConfigError, MembudgetError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    import click

COMMANDS = (
    "config", "demo", "doctor", "help", "leaks", "memory", "report", "run", "status", "stress",
)  # fmt: skip
USAGE = 64  # EX_USAGE of sysexits.h: wrong usage or settings.
NOT_EXECUTABLE, NOT_FOUND, INTERRUPTED = 126, 127, 130  # As a shell reports them.


def main() -> None:
    """Run the command line and exit: 64 for wrong usage or settings, told in one line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal without arrows is no reason to say nothing.
            stream.reconfigure(errors="replace")
    stdout = sys.stdout
    try:
        code = _run(sys.argv[1:])
    except MembudgetError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except (SystemExit, BrokenPipeError) as error:
        if isinstance(error, BrokenPipeError) or sys.stdout is not stdout:
            # The reader went away (click changes the stream, and would end with 1): all is well,
            # and there is nobody to tell, nor to flush for.
            os._exit(0)
        raise
    except OSError as error:
        _fail(f"{error.strerror or error}: check where the output goes")
    sys.exit(code if isinstance(code, int) else 0)


def _run(words: list[str]) -> object:
    if words[:1] == ["run"]:
        gc.disable()  # What is loaded stays until the program takes this process's place.
        from membudget.cli.run import launch, read_options

        if (found := read_options(words[1:])) is not None:
            launch(*found)
            return 0
        gc.enable()
    import click

    asked = [name for name in COMMANDS if name in words[:1]]
    try:
        loaded = group(asked if asked or "--version" in words[:1] else COMMANDS)
        return loaded.main(standalone_mode=False)
    except click.ClickException as error:
        raise ConfigError(error.format_message()) from error
    except click.Abort:
        raise KeyboardInterrupt from None


def group(names: Iterable[str] = COMMANDS) -> click.Group:
    """The command line with these of its commands."""
    from importlib import import_module

    import click

    from membudget import __version__

    @click.group()
    @click.version_option(__version__, prog_name="membudget")
    def commands() -> None:
        """Keep Python processes inside a memory budget."""

    for name in names:
        module = import_module(f"membudget.cli.{name}")
        commands.add_command(module.as_command() if name == "run" else module.command, name)
    return commands


def _fail(message: str) -> None:
    from membudget.units import one_line

    with contextlib.suppress(OSError):
        warn(one_line(message, 2000))
    sys.exit(USAGE)


def warn(message: str) -> None:
    """Say one line on standard error; a closed one is the caller's wish."""
    if sys.stderr is not None:
        sys.stderr.write(f"membudget: {message}\n")
        sys.stderr.flush()
