"""Waiting for another's flight, and when not to: a wait that could never end is not begun.

Whoever waits notes first what for, at every flight that waits for it in turn and, for a plain
function, at its thread, which now stands still. Then it walks along such notes from the flight it
found. Of waits that would form a ring, the last one noted sees the whole ring; its caller runs the
loader itself. These are the wait-for graphs by which databases find deadlocks.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from membudget.bounded.loading.flights import (
    LEADING,
    TaskFollower,
    ThreadFollower,
    leave,
    running_loop,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from membudget.bounded.loading.flights import Flight, Flights, Outcome

OWN: Final[Outcome] = (None, None, None)
"""Instead of an outcome: do not wait, run the loader yourself."""

_held_up: dict[int, Flight] = {}
"""By thread, the flight that it stands still for."""


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
    before = _held_up.get(thread)
    try:
        _held_up[thread] = flight
        _note(leading, follower, flight)
        if _comes_back(flight, leading, thread):
            return OWN
        flight.followers[follower] = None
        if flight.is_over and flight.take_out(follower):
            return None
        return follower.wait(flight)
    finally:
        flight.take_out(follower)
        _note(leading, follower, None)
        if before is None:
            _held_up.pop(thread, None)
        else:  # A signal's handler waits in the middle of another wait.
            _held_up[thread] = before


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
    try:
        _note(leading, follower, flight)
        if _comes_back(flight, leading, None):
            return OWN
        flight.followers[follower] = None
        if flight.is_over and flight.take_out(follower):
            return None
        return await follower.wait(flight)
    finally:
        flight.take_out(follower)
        _note(leading, follower, None)


def _leading() -> Iterator[Flight]:
    """The flights whose loaders wait for what runs here, the innermost first."""
    flight = LEADING.get()
    while flight is not None:
        if not flight.is_over:
            yield flight
        flight = flight.under


def _note(leading: list[Flight], follower: object, flight: Flight | None) -> None:
    for waiting in leading:
        if flight is None:
            waiting.waits.pop(follower, None)
        else:
            waiting.waits[follower] = flight


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
