"""One suspect: what grew, and what is said of it.

Pure: from counts and details of censuses, from a component's figures, from garbage and lines.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING

from membudget.core import Record
from membudget.heap.census import GARBAGE, TYPE
from membudget.trend import theil_sen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from membudget.heap.census import Census, Detail
    from membudget.heap.freed import Garbage
    from membudget.heap.window import Line

LOOKS = 3
"""Looks at least: in two, most of what is busy has grown."""

CARRIERS = {"frame": 0.3, "traceback": 0.3, "generator": 0.3, "coroutine": 0.2}
"""Types that keep others alive, and what a share of theirs counts for."""

_POINTS = 64
"""Of a part's figures, so many are compared, each with each: 1 ms, and 288 took 11."""

_FRAMES = "exceptions or generators keep the local variables of the functions they passed"
_NAMELESS = "objects in cycles"
"""A name for garbage of types that nobody could tell."""

_TYPES_TOLD = 3
_CYCLES = "cycles that only a collection frees: is gc off, or frozen?"


class PartGrowth(Record):
    """A registered component's figures over time.

    Attributes:
        name: As it was registered.
        kind: "Cache", "BoundedDeque", …
        hours: When each figure was taken.
        items: Its items at those times.
        bytes: Its bytes at those times, or None where it does not count them.
    """

    name: str
    kind: str
    hours: tuple[float, ...]
    items: tuple[float, ...]
    bytes: tuple[float, ...] | None = None


class Culprit(Record):
    """One suspect.

    Attributes:
        name: As "app.store.SessionStore._by_id".
        kind: "dict", "lru_cache", "task", "thread", "type", "garbage", "native", "line", or a
            component's.
        items_per_hour: By how many items it grows.
        bytes_per_hour: How fast that is, guessed; None where nobody can tell what an item takes.
        share: The share of the growth that it explains, 0 to 1; None where that is not known.
        newest: The newest item's type and shortened text.
        chain: The steps from a root to it.
        note: What is to be said of it.
    """

    name: str
    kind: str
    items_per_hour: float | None
    bytes_per_hour: float | None
    share: float | None
    newest: str = ""
    chain: tuple[str, ...] = ()
    note: str = ""


def from_part(part: PartGrowth) -> Iterator[Culprit]:
    """A registered component as a suspect, where its figures grew."""
    if not grew(part.items) and not (part.bytes and grew(part.bytes)):
        return
    yield Culprit(
        name=part.name,
        kind=part.kind,
        items_per_hour=theil_sen(_thinned(part.hours), _thinned(part.items)),
        bytes_per_hour=theil_sen(_thinned(part.hours), _thinned(part.bytes))
        if part.bytes
        else None,
        share=None,
        note="registered component",
    )


def _thinned(series: Sequence[float]) -> Sequence[float]:
    """At most 64 of its values, evenly, the last one always: there are slopes for each two."""
    return series[:: -max(1, ceil(len(series) / _POINTS))][::-1]


def detail_of(censuses: Sequence[Census], kind: str, name: str) -> Detail:
    """What the newest census that looked closer says of one thing."""
    for census in reversed(censuses):
        if (kind, name) in census.details:
            return census.details[kind, name]
    return censuses[-1].detail(kind, name)


def suspect_of(kind: str, name: str, items: float, detail: Detail) -> Culprit:
    """What grew in censuses as a suspect, by so many items an hour."""
    each, note = detail.bytes_each, detail.note
    if kind == TYPE and name in CARRIERS:
        note = note or _FRAMES
    return Culprit(
        name=name,
        kind=kind,
        items_per_hour=items,
        bytes_per_hour=None if each is None else items * each,
        share=None,
        newest=detail.newest,
        chain=detail.chain,
        note=note,
    )


def from_garbage(garbage: Garbage | None) -> Iterator[Culprit]:
    """Garbage as a suspect, by the program's own type that most of it has."""
    if garbage is None or not garbage.garbage:
        return
    own = {name: count for name, count in garbage.types.items() if is_users(name)}
    named = own or garbage.types
    name = max(named, key=lambda one: named[one], default=_NAMELESS)
    hours = max(garbage.over, 1e-3) / 3600
    yield Culprit(
        name=name,
        kind=GARBAGE,
        items_per_hour=named.get(name, garbage.garbage) / hours,
        bytes_per_hour=garbage.bytes / hours,
        share=None,
        note=_said_of(garbage, named),
    )


def _said_of(garbage: Garbage, named: Mapping[str, int]) -> str:
    said = [f"{_CYCLES} One freed {garbage.garbage} objects"]
    most = sorted(named, key=lambda one: -named[one])[:_TYPES_TOLD]
    if most:
        said.append("among them " + ", ".join(f"about {named[one]} {one}" for one in most))
    if garbage.uncollectable:
        said.append(f"{garbage.uncollectable} more wait in gc.garbage for somebody to clear it")
        if garbage.kept:
            said[-1] += f", most of them {garbage.kept}"
    return "; ".join(said)


def located(found: tuple[Culprit, ...], lines: Sequence[Line]) -> tuple[Culprit, ...]:
    """The suspects, the first with the line that allocated most of what stayed.

    Args:
        found: As `rank` gives them; where there is none, the line is the suspect.
        lines: Of a window of tracemalloc, those that kept the most first.
    """
    if found and found[0].kind == "native":
        from membudget.heap.window import memray_advice  # looks for a package on the disk

        note = "; ".join(text for text in (found[0].note, memray_advice()) if text)
        found = (found[0].replace(note=note), *found[1:])
    if not lines:
        return found
    first, all_bytes = lines[0], sum(one.bytes for one in lines)
    where = f"{first.file}:{first.line}"
    told = f"allocated at {where}, {first.bytes / all_bytes:.0%} of what stayed while it was traced"
    if not found:
        line = Culprit(
            name=where,
            kind="line",
            items_per_hour=None,
            bytes_per_hour=first.per_hour,
            share=None,
            note=told,
        )
        return (line,)
    culprit = found[0].replace(note="; ".join(text for text in (found[0].note, told) if text))
    return (culprit, *found[1:])


def grew(items: Sequence[float]) -> bool:
    """Whether it grew in every interval; of five and more, one may have stood still."""
    if len(items) < LOOKS:
        return False
    steps = [after - before for before, after in pairwise(items)]
    still = sum(step == 0 for step in steps)
    return min(steps) >= 0 and items[-1] > items[0] and still <= (1 if len(steps) > LOOKS else 0)


def is_users(name: str) -> bool:
    """Whether a type is of the program or a library, not of the interpreter's own."""
    root = name.partition(".")[0]
    return "." in name and (root == "__main__" or root not in sys.stdlib_module_names)
