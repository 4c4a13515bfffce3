"""The one sentence of a verdict, with its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.leaks.records import Confidence, Kind
from membudget.units import human_bytes, human_seconds, human_span

if TYPE_CHECKING:
    from membudget.leaks.records import Verdict

_NOTES = {
    Kind.PYTHON: "live Python objects grow with it",
    Kind.NATIVE: "the C heap grows with it and what Python can reach does not",
    Kind.SLACK: "no heap grows with it: fragmentation, or memory mapped past malloc",
    Kind.GARBAGE: "much of it may be garbage that waits for a collection",
    Kind.FILE: "most of it is page cache, which the kernel takes back",
    Kind.CHILDREN: "it is in child processes",
}

_UNSURE = {
    Kind.PYTHON: "a few live Python objects grow with it, holders of much or left behind by C code",
    Kind.NATIVE: "the C heap grows with it, and Python's objects only if they are few and large",
}
"""Where the counters cannot tell."""

_CALM = {
    Kind.GARBAGE: "A collection gave back most of what had grown",
    Kind.SLACK: "A trim gave back most of what had grown",
    Kind.FILE: "Only the page cache grew",
}


def reason(verdict: Verdict, lack: str) -> str:
    """Say what was seen, over how long, and why it is called what it is called.

    Args:
        verdict: The verdict, its reason still empty.
        lack: What the longest window lacked, "" if nothing.
    """
    hours = human_seconds(verdict.window)
    if verdict.confidence > Confidence.NONE:
        begin = "Before it is called a leak, collect and trim once: " if _wants(verdict) else ""
        unsure = {} if verdict.is_kind_sure else _UNSURE
        note = unsure.get(verdict.kind, _NOTES.get(verdict.kind, ""))
        return (
            f"{begin}{_signed(verdict.rate)}/h"
            f" ({human_span(verdict.rate_low, verdict.rate_high)}/h) over {hours},"
            f" {_signed(verdict.growth)} in all; {note}."
        )
    if verdict.kind is Kind.NONE and not lack:
        return f"{_signed(verdict.rate)}/h over {hours}: the next look must agree before it counts."
    return f"{_calm(verdict, hours)}{f' ({lack})' if lack else ''}."


def _wants(verdict: Verdict) -> bool:
    return verdict.wants_collection


def _calm(verdict: Verdict, hours: str) -> str:
    kind = verdict.kind
    if kind is Kind.FILLING:
        return _filling(verdict)
    if kind is Kind.STEP and verdict.step is not None:
        return f"A step of {human_bytes(verdict.step.size)} explains most of the growth"
    if kind is Kind.LEVELLING:
        where = verdict.levels_off_at
        return "It grew, and slows down" + (f" towards {human_bytes(where)}" if where else "")
    return _CALM.get(kind, f"No leak over {hours}")


def _filling(verdict: Verdict) -> str:
    if not verdict.filling:
        return "Parts with a declared bound are filling up"
    first = verdict.filling[0]
    when = f", full in {human_seconds(first.full_in)}" if first.full_in is not None else ""
    size = f"{human_bytes(first.full_at)}" if first.full_at is not None else ""
    until = (f" at {size}" if when else f", until {size}") if size else ""
    more = len(verdict.filling) - 1
    return f"{first.name} is filling up{when}{until}" + (f", and {more} more" if more else "")


def _signed(size: float) -> str:
    return f"{'-' if size < 0 else '+'}{human_bytes(abs(size))}"
