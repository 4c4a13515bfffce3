"""What the program itself is asked for: to let go by a function of its own, or to end in order."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from membudget.callables import COROUTINE, called, check_function
from membudget.core import Rung, SystemClock
from membudget.core.native import NativeThread, sleep
from membudget.errors import ConfigError, ProbeError
from membudget.units import checked_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from membudget.core import Clock

DEADLINE = 10.0  # Seconds that an async callback has, and the program's own shutdown.
EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: the failure is temporary, try again.
_FLUSH_WITHIN = 1.0  # Seconds for buffered output; behind a pipe nobody reads it is lost.


class Callback:
    """A function that lets memory go when asked: takes the bytes wanted, returns those let go.

    A coroutine function is started on the running loop and not awaited: what it returns counts when
    a later step asks; past its deadline it is cancelled.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[int], Any],
        *,
        rung: Rung = Rung.MODERATE,
        clock: Clock | None = None,
    ) -> None:
        check_function(function, f"callback {name!r}:", ("bytes",), may_await=True)
        self.name: str = checked_name(name, "it after what it lets go")
        self.rung = rung
        self._function = function
        asyncio: Any = sys.modules.get("asyncio")
        self._loop = asyncio and asyncio._get_running_loop()  # noqa: SLF001  # documented, no exception
        runs, _ = called(function)
        if self._loop is None and runs is not None and runs.__code__.co_flags & COROUTINE:
            raise self._without_loop()
        self._clock = clock or SystemClock()
        self._started: tuple[Future[Any], float] | None = None

    def _without_loop(self) -> ConfigError:
        return ConfigError(
            f"callback {self.name!r} is a coroutine function without a running loop: register it "
            "while its loop runs"
        )

    def reclaimable(self) -> int | None:
        """Not known; 0 while a coroutine is still at work."""
        if self._started is None:
            return None
        future, since = self._started
        is_at_work = not future.done() and self._clock.now() - since < DEADLINE
        return 0 if is_at_work else None

    def reclaim(self, target: int, until: float) -> int:  # noqa: ARG002  # a foreign function takes its time
        """Call the function, or gather what its coroutine came to by its deadline."""
        started, self._started = self._started, None
        if started is None:
            result = self._function(target)
            if hasattr(result, "__await__"):
                self._start(result)
                return 0
        else:
            future, since = started
            if not future.done():
                future.cancel()
                raise TimeoutError(
                    f"callback {self.name!r} did not end within {self._clock.now() - since:.0f} s "
                    "and was cancelled: do less in it"
                )
            result = future.result()
        if result is None:
            return 0
        if isinstance(result, bool) or not isinstance(result, int) or result < 0:
            raise ProbeError(f"a callback returned {result!r}: return the bytes freed, or None")
        return result

    def _start(self, coroutine: Any) -> None:
        if self._loop is None or self._loop.is_closed():
            coroutine.close()
            raise self._without_loop()
        # A running loop means that the program has imported asyncio already.
        future = sys.modules["asyncio"].run_coroutine_threadsafe(coroutine, self._loop)
        self._started = future, self._clock.now()


class PlannedExit:
    """Asks the program to end by itself, and ends it after so many seconds."""

    def __init__(self, deadline: float = DEADLINE) -> None:
        self._deadline = deadline
        self.has_begun: bool = False

    def begin(self) -> None:
        """Raise SIGTERM where the program handles it, else KeyboardInterrupt in the main thread.

        A watchdog thread, or else the caller's own, ends the process when that has not helped in
        time.
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
        """Leave with our code where the exit had begun: else it would pass for a good end."""
        if self.has_begun:
            _leave()

    def _watch(self) -> None:
        sleep(self._deadline)
        _leave()


def _leave() -> None:
    # A thread stuck in a print() holds its stream's lock, so another one has to ask for it.
    flushing = NativeThread(_flush, "membudget-flush")
    with contextlib.suppress(RuntimeError):
        flushing.start()
        flushing.join(_FLUSH_WITHIN)
    os._exit(EXIT_CODE)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # It is the program's own, and may be anything.
            stream.flush()


def _signal_main(number: int) -> None:
    """Send the main thread a real signal, which also wakes it out of a call."""
    if "gevent" in sys.modules or "eventlet" in sys.modules:
        os.kill(os.getpid(), number)  # `threading` would give the number of a greenlet.
        return
    # To the thread: a signal to the process may be taken by another one, and main sleeps on.
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, number)
