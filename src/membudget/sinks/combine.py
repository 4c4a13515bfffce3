"""Sinks made of sinks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.core import Reclaimed

if TYPE_CHECKING:
    from membudget.core import Event, Sink

MERGE_WITHIN = 1.0
"""Seconds within which the rounds of one reclaimer become one event."""

_NEVER = float("-inf")


def only(sink: Sink, *kinds: type) -> Sink:
    """The same sink for events of these types alone."""

    def chosen(event: Event) -> None:
        if isinstance(event, kinds):
            sink(event)

    return chosen


def tee(*sinks: Sink) -> Sink:
    """One sink that passes each event to several."""

    def split(event: Event) -> None:
        for sink in sinks:
            sink(event)

    return split


def merged(sink: Sink, within: float = MERGE_WITHIN) -> Sink:
    """The same sink, told the rounds of one reclaimer summed up instead of one by one.

    A cleanup under pressure takes a round every 10 ms; people want to read one line of it. The
    first round is told at once, those within the next second when it is over or when any other
    event comes.
    """
    told: dict[str, float] = {}
    held: dict[str, Reclaimed] = {}

    # Events come on any thread, and in signal handlers. Each event is put in and taken out by one
    # operation of a dict, which is whole by itself: no lock that a forked child could find taken.
    def flush(now: float | None = None) -> None:
        for by in list(held):
            if now is None or now - told.get(by, _NEVER) >= within:
                event = held.pop(by, None)
                if event is not None:
                    told[by] = event.at
                    sink(event)

    def merge(event: Event) -> None:
        if not isinstance(event, Reclaimed):
            flush()
            sink(event)
            return
        flush(event.at)
        if event.by in held or event.at - told.get(event.by, _NEVER) < within:
            _hold(held, event)
        else:
            told[event.by] = event.at
            sink(event)

    return merge


def _hold(held: dict[str, Reclaimed], event: Reclaimed) -> None:
    while held.setdefault(event.by, event) is not event:
        before = held.pop(event.by, None)
        if before is not None:
            event = summed(before, event)


def summed(one: Reclaimed, two: Reclaimed) -> Reclaimed:
    """Two rounds of a reclaimer as one; the later one tells when, and at which rung."""
    objects = None
    if one.objects is not None or two.objects is not None:
        objects = (one.objects or 0) + (two.objects or 0)
    return two.replace(
        asked=max(one.asked, two.asked),
        claimed=one.claimed + two.claimed,
        measured=one.measured + two.measured,
        took=one.took + two.took,
        objects=objects,
    )
