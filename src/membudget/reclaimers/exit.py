"""The planned exit: the last resort, only where the program's owner has asked for it.

A process that is about to be killed does better to end by itself, with its own handlers run and an
exit code that a supervisor can tell from a crash.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_CODE = 75
"""EX_TEMPFAIL of sysexits.h: the failure is temporary, try again."""

DEADLINE = 10.0
"""Seconds that the program's own shutdown has."""


def planned_exit(
    deadline: float = DEADLINE,
    *,
    code: int = EXIT_CODE,
    kill: Callable[[int], None] = os._exit,
) -> None:
    """Ask the program to end by itself, and end it after the deadline.

    Raises SIGTERM where the program handles it, else KeyboardInterrupt in the main thread. A
    watchdog thread ends the process with `code` when that has not happened in time.

    Args:
        deadline: Seconds.
        code: The exit code after the deadline.
        kill: What ends the process; for tests.
    """
    threading.Thread(
        target=_end_after, args=(deadline, code, kill), name="membudget-exit", daemon=True
    ).start()
    handler = signal.getsignal(signal.SIGTERM)
    if callable(handler):
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        _thread.interrupt_main()


def _end_after(deadline: float, code: int, kill: Callable[[int], None]) -> None:
    time.sleep(deadline)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # A closed or full stream must not keep the process.
            continue
    kill(code)
