"""Loads under way: who leads one, who waits for it, and who must not.

A flight is one load of one key. A caller that puts its flight into the cache's table leads: it
runs the loader and lands the flight with what came of it. One that finds another's follows: it
waits for the landing and gets the very same value or exception. The table holds a flight only while
it is under way. No lock is taken: each step is one operation of a dict, which is atomic, and every
pair of steps that could miss each other is ordered as "say so first, then look".

Waiting would never end, so the caller runs the loader itself, where the leader

- is the caller, further up its own stack. The context variable below says so, and it also reaches
  the tasks that a leader starts and what it hands to `asyncio.to_thread`;
- runs on the caller's thread, which would stand still (a task of this loop, for a plain function);
- waits, perhaps over others, for a flight of the caller. A caller notes first what it waits for, at
  every flight that waits for it in turn and, for a plain function, at its thread, which now stands
  still. Then it walks along such notes from the flight it found. Of waits that would form a ring,
  the last one noted sees the whole ring. These are the wait-for graphs of databases.

A leader can be lost: its process was forked away from it, or its event loop stopped. Then the next
caller leads. That followers share one outcome is the idea of Go's `singleflight`.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Hashable, Iterator
    from types import TracebackType

Outcome: TypeAlias = "tuple[Any, Exception | None, TracebackType | None] | None"
"""A value, or an exception with its leader's traceback; None where the leader gave up."""

Flights: TypeAlias = "dict[Hashable, Flight]"

PATIENCE = 1.0
"""Seconds between two looks at whether the leader, in another thread's loop, is still there."""

LEADING: ContextVar[Flight | None] = ContextVar("membudget_leading", default=None)
"""The innermost flight that runs what runs here."""

OWN: Final[Outcome] = (None, None, None)
"""Instead of an outcome: do not wait, run the loader yourself."""

_held_up: dict[int, Flight] = {}
"""By thread, the flight that it stands still for."""


class Flight:
    """One load of one key, led by the caller that made this.

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
        """Whether its leader cannot go on with it."""
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

    def has_landed(self, follower: ThreadFollower | TaskFollower) -> bool:
        """Have a follower be told of the landing, unless it was before."""
        self.followers[follower] = None
        return self.is_over and self.take_out(follower)

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


def follow(flights: Flights, key: Hashable, flight: Flight) -> Outcome:
    """Wait in this thread for another's flight.

    Returns:
        Its outcome; None where the caller should try anew, `OWN` where it must not wait.
    """
    if flight.is_lost():
        leave(flights, key, flight)
        return None
    thread, leading = threading.get_ident(), list(_leading())
    if flight.thread == thread or flight in leading:
        return OWN
    follower = ThreadFollower()
    with _noted(flight, follower, leading, thread) as is_ring:
        if is_ring:
            return OWN
        return None if flight.has_landed(follower) else follower.wait(flight)


async def follow_async(flights: Flights, key: Hashable, flight: Flight) -> Outcome:
    """Wait in this task for another's flight; returns as `follow` does."""
    if flight.is_lost():
        leave(flights, key, flight)
        return None
    loop, leading = running_loop(), list(_leading())
    is_here = flight.thread == threading.get_ident() and flight.loop is not loop
    if loop is None or is_here or flight in leading:
        return OWN
    follower = TaskFollower(loop)
    with _noted(flight, follower, leading, None) as is_ring:
        if is_ring:
            return OWN
        return None if flight.has_landed(follower) else await follower.wait(flight)


def _leading() -> Iterator[Flight]:
    """The flights whose loaders wait for what runs here, the innermost first."""
    flight = LEADING.get()
    while flight is not None:
        if not flight.is_over:
            yield flight
        flight = flight.under


@contextmanager
def _noted(
    flight: Flight,
    follower: ThreadFollower | TaskFollower,
    leading: list[Flight],
    thread: int | None,
) -> Iterator[bool]:
    """Note what is waited for while it is; gives whether that would come back to the caller."""
    before = None if thread is None else _held_up.get(thread)
    try:
        if thread is not None:
            _held_up[thread] = flight
        for one in leading:
            one.waits[follower] = flight
        yield _comes_back(flight, leading, thread)
    finally:
        flight.take_out(follower)
        for one in leading:
            one.waits.pop(follower, None)
        if thread is not None and before is None:
            _held_up.pop(thread, None)
        elif thread is not None and before is not None:
            # A signal's handler waits in the middle of another wait.
            _held_up[thread] = before


def _comes_back(flight: Flight, leading: list[Flight], thread: int | None) -> bool:
    """Whether a flight waits, over any others, for those led here, or for this very thread."""
    seen: set[int] = set()
    waiting = [flight]
    while waiting:
        one = waiting.pop()
        if one in leading or one.thread == thread:
            return True
        if id(one) not in seen:
            seen.add(id(one))
            waiting.extend(list(one.waits.values()))
            held_up = _held_up.get(one.thread)
            if held_up is not None:
                waiting.append(held_up)
    return False
