"""The command `membudget`: one file per command, each loaded only when it is asked for."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from io import TextIOWrapper
from typing import NoReturn

from membudget.errors import MembudgetError

USAGE = 64
"""EX_USAGE of sysexits.h: wrong usage or settings."""

INTERRUPTED = 130
"""What a shell reports for a command ended by Ctrl-C."""


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
    except SystemExit:
        if sys.stdout is not stdout:  # click's way with a broken pipe, which ends with 1.
            _end_unread()
        raise
    except BrokenPipeError:
        _end_unread()
    except OSError as error:
        _fail(f"{error.strerror or error}: check where the output goes")
    sys.exit(code if isinstance(code, int) else 0)


def _run(words: list[str]) -> object:
    if words[:1] == ["run"]:
        gc.disable()  # What is loaded stays until the program takes this process's place.
        from membudget.cli.launcher import launch, read_options

        if (found := read_options(words[1:])) is not None:
            launch(*found)
            return 0
        gc.enable()
    from membudget.cli.commands import run_command

    return run_command()


def _end_unread() -> NoReturn:
    """End as all is well: the reader went away, and there is nobody to tell, nor to flush for."""
    os._exit(0)


def _fail(message: str) -> None:
    from membudget.units import one_line

    with contextlib.suppress(OSError):
        if sys.stderr is not None:
            sys.stderr.write(f"membudget: {one_line(message, 2000)}\n")
            sys.stderr.flush()
    sys.exit(USAGE)
