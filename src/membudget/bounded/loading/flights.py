"""Loads under way: who leads one, who waits for it, and who must not.

A flight is one load of one key. Whoever puts its flight into the cache's table leads: it runs the
loader and lands the flight with what came of it. Whoever finds another's flight there follows: it
waits for the landing and gets the very same value or exception. The table holds a flight only while
it is under way. No lock is taken: each step is one operation of a dict, which is atomic, and every
pair of steps that could miss each other is ordered as "say so first, then look".

Waiting would never end, so the caller runs the loader itself, where the leader

- is the caller, further up its own stack. The context variable below says so, and it also reaches
  the tasks that a leader starts and what it hands to `asyncio.to_thread`;
- runs on the caller's thread, which would stand still (a task of this loop, for a plain function);
- waits, perhaps over others, for a flight of the caller: see `following`.

A leader can be lost: its process was forked away from it, or its event loop stopped. Then the next
caller leads. That followers share one outcome is the idea of Go's `singleflight`.
"""

from __future__ import annotations

import os
import sys
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Hashable
    from types import TracebackType

    from membudget.bounded.cache import Cache

Outcome: TypeAlias = "tuple[Any, Exception | None, TracebackType | None] | None"
"""A value, or an exception with its leader's traceback; None where the leader gave up."""

Flights: TypeAlias = "dict[Hashable, Flight]"

PATIENCE = 1.0
"""Seconds between two looks at whether the leader, in another thread's loop, is still there."""

LEADING: ContextVar[Flight | None] = ContextVar("membudget_leading", default=None)
"""The innermost flight that runs what runs here."""

_ALL: Final[Any] = object()

_making: dict[int, Flights] = {}


class Flight:
    """One load of one key, led by whoever made this.

    Args:
        loop: The event loop that runs the loader; None for a plain function.

    Attributes:
        is_over: Whether it has landed.
        is_void: Whether the key was forgotten meanwhile, so that the value must not be kept.
    """

    __slots__ = ("followers", "is_over", "is_void", "loop", "process", "thread", "under", "waits")

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.process = os.getpid()
        self.thread = threading.get_ident()
        self.loop = loop
        self.is_over = self.is_void = False
        self.followers: dict[ThreadFollower | TaskFollower, None] = {}
        self.waits: dict[object, Flight] = {}
        under: Flight | None = LEADING.get()
        while under is not None and under.is_over:  # A task may outlive the load that began it.
            under = under.under
        self.under: Flight | None = under

    def is_lost(self) -> bool:
        """Whether nobody goes on with it."""
        if self.process != os.getpid():
            return True
        return self.loop is not None and not self.loop.is_running()

    def land(self, flights: Flights, key: Hashable, outcome: Outcome) -> None:
        """End it, first for those to come and then for those who wait."""
        try:
            leave(flights, key, self)
        finally:
            self.is_over = True
            for follower in list(self.followers):
                if self.take_out(follower):
                    follower.tell(outcome)

    def take_out(self, follower: ThreadFollower | TaskFollower) -> bool:
        """Whether the follower still waited: of its leader and itself only one takes it out."""
        return self.followers.pop(follower, self) is None


class ThreadFollower:
    """A thread that waits for a landing."""

    __slots__ = ("_landed", "_outcome")

    def __init__(self) -> None:
        # The program's kind of lock: greenlets wait for one another without stopping their thread.
        self._landed = threading.Lock()
        self._landed.acquire()
        self._outcome: Outcome = None

    def tell(self, outcome: Outcome) -> None:
        """Let it go on."""
        self._outcome = outcome
        self._landed.release()

    def wait(self, flight: Flight) -> Outcome:
        """The outcome, once the flight has landed; None where its leader is lost."""
        while not self._landed.acquire(timeout=PATIENCE):
            if flight.is_lost() and flight.take_out(self):
                return None
        return self._outcome


class TaskFollower:
    """A task that waits for a landing, by a future of its own loop."""

    __slots__ = ("_loop", "_thread", "future")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = threading.get_ident()
        self.future: asyncio.Future[Outcome] = loop.create_future()

    def tell(self, outcome: Outcome) -> None:
        """Let it go on; nothing happens where its loop was closed meanwhile."""
        try:
            if self._thread == threading.get_ident():
                self._end(outcome)
            else:
                self._loop.call_soon_threadsafe(self._end, outcome)
        except RuntimeError:
            return

    async def wait(self, flight: Flight) -> Outcome:
        """The outcome, once the flight has landed; None where its leader is lost."""
        if flight.loop is self._loop:
            return await self.future
        import asyncio  # a loop runs, so it is there

        while not (await asyncio.wait((self.future,), timeout=PATIENCE))[0]:
            if flight.is_lost() and flight.take_out(self):
                return None
        return self.future.result()

    def _end(self, outcome: Outcome) -> None:
        if not self.future.done():
            self.future.set_result(outcome)


def leave(flights: Flights, key: Hashable, flight: Flight) -> None:
    """Take a flight out of the table, unless another stands there by now."""
    if flights.get(key) is flight:
        flights.pop(key, None)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs in this thread; asyncio is not imported for that."""
    running: Any = sys.modules.get("asyncio")
    if running is None:
        return None
    try:
        loop: asyncio.AbstractEventLoop = running.get_running_loop()
    except RuntimeError:
        return None
    return loop


def abandon(cache: Cache[Any, Any], key: Any = _ALL) -> None:
    """Let loads under way end without being kept: the key, or all, was set or forgotten meanwhile.

    Those who wait already get the value still; who asks from now on, loads anew.
    """
    flights: Flights | None = getattr(cache, "_flights", None)
    if not flights:
        return
    for one in list(flights) if key is _ALL else [key]:
        flight = flights.pop(one, None)
        if flight is not None:
            flight.is_void = True


def flights_of(cache: Cache[Any, Any]) -> Flights:
    """The cache's table of loads under way, made at first use.

    Two threads may both come first. A lock for that moment could be left held in a forked child,
    so they agree by one atomic operation.
    """
    slot: Any = cache
    if getattr(slot, "_flights", None) is None:
        made = _making.setdefault(id(cache), {})
        if getattr(slot, "_flights", None) is None:
            slot._flights = made  # noqa: SLF001  # the slot the cache keeps for this module
        _making.pop(id(cache), None)
    flights: Flights = slot._flights  # noqa: SLF001
    return flights
