"""A program's own function as a reclaimer, sync or async."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from membudget.core import Rung, SystemClock
from membudget.errors import ConfigError, ProbeError
from membudget.units import checked_name

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable
    from concurrent.futures import Future

    from membudget.core import Clock

DEADLINE = 10.0
"""Seconds that an async callback has before it counts as failed."""


class Callback:
    """A function that lets memory go when asked.

    A coroutine function is started on the loop that runs right now, and not awaited; what it
    returns counts when a later step asks again, and past its deadline it is cancelled and told as
    failed.

    Args:
        name: What it is called in events.
        function: Takes the bytes wanted, returns the bytes let go (or None: not known).
        rung: When it is asked.

    Raises:
        ConfigError: The function is not callable, or the name none.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[int], Any],
        *,
        rung: Rung = Rung.MODERATE,
        clock: Clock | None = None,
    ) -> None:
        if not callable(function):
            raise ConfigError(f"callback {name!r}: {function!r} is not callable: give a function")
        self.name = checked_name(name, "it after what it lets go")
        self.rung = rung
        self._function = function
        self._loop = _running_loop()
        self._clock = clock or SystemClock()
        self._started: tuple[Future[Any], float] | None = None

    def reclaimable(self) -> int | None:
        """Not known; 0 while a coroutine is still at work."""
        if self._started is None:
            return None
        future, since = self._started
        is_at_work = not future.done() and self._clock.now() - since < DEADLINE
        return 0 if is_at_work else None

    def reclaim(self, target: int, until: float) -> int:  # noqa: ARG002  # a foreign function takes its time
        """Call the function, or gather what its coroutine came to.

        Raises:
            TimeoutError: A coroutine outlived its deadline and was cancelled.
            ConfigError: A coroutine function without a loop to run on.
        """
        if self._started is not None:
            return self._gather(*self._started)
        result = self._function(target)
        if hasattr(result, "__await__"):
            self._started = (self._start(result), self._clock.now())
            return 0
        return _as_claim(result)

    def _start(self, coroutine: Any) -> Future[Any]:
        if self._loop is None or self._loop.is_closed():
            coroutine.close()
            raise ConfigError(
                f"callback {self.name!r} is a coroutine function without a running loop: register "
                "it while its loop runs"
            )
        # A running loop means that the program has imported asyncio already.
        future: Future[Any] = sys.modules["asyncio"].run_coroutine_threadsafe(coroutine, self._loop)
        return future

    def _gather(self, future: Future[Any], since: float) -> int:
        self._started = None
        if future.done():
            return _as_claim(future.result())
        future.cancel()
        raise TimeoutError(
            f"callback {self.name!r} did not end within {self._clock.now() - since:.0f} s and was "
            "cancelled: do less in it"
        )


def _as_claim(result: object) -> int:
    if result is None:
        return 0
    if isinstance(result, bool) or not isinstance(result, int) or result < 0:
        raise ProbeError(f"a callback returned {result!r}: return the bytes let go, or None")
    return result


def _running_loop() -> AbstractEventLoop | None:
    asyncio: Any = sys.modules.get("asyncio")
    return None if asyncio is None else asyncio._get_running_loop()  # noqa: SLF001  # documented, no exception
