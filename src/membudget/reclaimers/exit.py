"""The planned exit: the last resort, only where the program's owner has asked for it.

A process that is about to be killed does better to end by itself, with its own handlers run and an
exit code that a supervisor can tell from a crash, and from a program that came to its end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading

from membudget.core.native import NativeThread, sleep

EXIT_CODE = 75
"""EX_TEMPFAIL of sysexits.h: the failure is temporary, try again."""

DEADLINE = 10.0
"""Seconds that the program's own shutdown has."""

_FLUSH_WITHIN = 1.0
"""Seconds that the program's buffered output has; behind a pipe nobody reads it is lost."""


class PlannedExit:
    """Asks the program to end by itself, and ends it after so many seconds.

    Attributes:
        has_begun: Whether the program was asked.
    """

    def __init__(self, deadline: float = DEADLINE) -> None:
        self._deadline = deadline
        self.has_begun = False

    def begin(self) -> None:
        """Raise SIGTERM where the program handles it, else KeyboardInterrupt in the main thread.

        A watchdog thread ends the process when that has not helped in time; where no thread is to
        be had, the caller's own waits for it.
        """
        self.has_begun = True
        is_watched = False
        with contextlib.suppress(RuntimeError):
            NativeThread(self._watch, "membudget-exit").start()
            is_watched = True
        number = signal.SIGTERM if callable(signal.getsignal(signal.SIGTERM)) else signal.SIGINT
        if callable(signal.getsignal(number)):
            _signal_main(number)
        if not is_watched:
            self._watch()

    def end(self) -> None:
        """Leave with our code where the exit had begun: the last of the program's exit handlers.

        A program that ends well after SIGTERM would be taken for one that came to its end.
        """
        if self.has_begun:
            self._leave()

    def _watch(self) -> None:
        sleep(self._deadline)
        self._leave()

    def _leave(self) -> None:
        # A thread stuck in a print() holds its stream's lock, so another one has to ask for it.
        flushing = NativeThread(_flush, "membudget-flush")
        with contextlib.suppress(RuntimeError):
            flushing.start()
            flushing.join(_FLUSH_WITHIN)
        os._exit(EXIT_CODE)


def _signal_main(number: int) -> None:
    """Send the main thread a real signal, which also wakes it out of a call."""
    if "gevent" in sys.modules or "eventlet" in sys.modules:
        os.kill(os.getpid(), number)  # `threading` would give the number of a greenlet.
        return
    # To the thread: a signal to the process may be taken by another one, and main sleeps on.
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, number)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # It is the program's own, and may be anything.
            stream.flush()
