"""Who leaks: what grew in every look, ranked by the growth that it explains.

Growth in every interval of at least three looks, times what an item takes, against the growth to
be explained: with four looks over some hours this named all of 26 leaks in Python objects first or
second, and rightly kept silent on three native ones. Pure: censuses and series in, culprits out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from membudget.core.slices import in_one_go
from membudget.heap.census import GARBAGE, TYPE
from membudget.leaks.suspect import (
    CARRIERS,
    LOOKS,
    Culprit,
    PartGrowth,
    detail_of,
    from_garbage,
    from_part,
    grew,
    is_users,
    located,
    suspect_of,
)
from membudget.trend import theil_sen

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from membudget.heap.census import Census
    from membudget.heap.freed import Garbage

__all__ = ["LOOKS", "NATIVE", "Culprit", "PartGrowth", "located", "rank", "ranking"]

T = TypeVar("T")

NATIVE = "native or mmap"
ADVICE = (
    "nothing that Python can reach grew along: run it under `memray run --native`, "
    "or profile the allocator"
)

SILENT = 0.15
"""Share of the growth below which nothing is accused."""

_BEYOND = 0.01
"""What counts of bytes beyond the growth to be explained, to tell two such apart."""

_UNKNOWN = 64.0
"""Bytes taken for an item that nobody weighed."""

_WEIGHTS = {TYPE: 0.5, GARBAGE: 0.9, "component": 1.2}
"""What a share counts for in the ranking: a holder says more than the type of what it holds."""

_BUILTIN_TYPE = 0.05
_INNER = 0.4
"""For what lies within another suspect."""

_COMPARED = 50
"""Of the suspects, so many may have others within."""

_KEPT = 200
"""Of the suspects, so many are looked at for lying within others."""

_AT_A_TIME = 50
"""Names looked at in a stretch: 1 ms where all of them grew."""


def rank(
    censuses: Sequence[Census],
    growth: float | None = None,
    parts: Sequence[PartGrowth] = (),
    garbage: Garbage | None = None,
    most: int = 10,
) -> tuple[Culprit, ...]:
    """The suspects, the likeliest first.

    Args:
        censuses: At least three, in order of time; with fewer, only parts and garbage are ranked.
        growth: The growth to be explained, in bytes an hour, or None.
        parts: Registered components over the same time.
        garbage: What a look for cycles found, or None.
        most: How many at most.

    Cost: 2 µs a name, 20 µs one that grew, and 1 ms a part that did.
    """
    return in_one_go(ranking(censuses, growth, parts, garbage, most))


def ranking(
    censuses: Sequence[Census],
    growth: float | None = None,
    parts: Sequence[PartGrowth] = (),
    garbage: Garbage | None = None,
    most: int = 10,
) -> Generator[None, None, tuple[Culprit, ...]]:
    """The same in slices of about a millisecond, for a thread that has other things to do.

    Yields:
        Nothing; another thread may have its turn.
    """
    found: list[Culprit] = []
    for part in parts:
        found += from_part(part)
        yield
    found += from_garbage(garbage)
    if len(censuses) >= LOOKS:
        found += yield from _from_censuses(censuses)
    if growth is not None and growth > 0:
        found = yield from _each(lambda one: _shared(one, growth), found)
    scores = yield from _each(lambda one: _score(one, growth), found)
    order = {id(one): score for one, score in zip(found, scores, strict=True)}
    yield
    found.sort(key=lambda one: -order[id(one)])
    explained = _explained(found)
    yield
    # Those behind come among the first no more, whoever lies within whom.
    found = found[: max(most, _KEPT)]
    outer = found[:_COMPARED]
    within = yield from _each(lambda one: _lies_within(one, outer, order), found)
    final = [
        order[id(one)] * (_INNER if inner else 1.0)
        for one, inner in zip(found, within, strict=True)
    ]
    places = sorted(range(len(found)), key=lambda place: -final[place])
    found = [found[place] for place in places]
    if growth and len(censuses) >= LOOKS and explained < SILENT:
        native = Culprit(
            name=NATIVE,
            kind="native",
            items_per_hour=None,
            bytes_per_hour=growth,
            share=1.0 - explained,
            note=ADVICE,
        )
        found.insert(0, native)
    return tuple(found[:most])


def _each(step: Callable[[Culprit], T], some: Sequence[Culprit]) -> Generator[None, None, list[T]]:
    """What a step makes of each, some at a time."""
    made: list[T] = []
    for place, one in enumerate(some, 1):
        made.append(step(one))
        if place % _AT_A_TIME == 0:
            yield
    return made


def _from_censuses(censuses: Sequence[Census]) -> Generator[None, None, list[Culprit]]:
    last = censuses[-1]
    hours = [one.at / 3600 for one in censuses]
    found: list[Culprit] = []
    looked_at = 0
    for kind, names in last.counts.items():
        for name in names:
            looked_at += 1
            if looked_at % _AT_A_TIME == 0:
                yield
            items = [float(one.counts.get(kind, {}).get(name, 0)) for one in censuses]
            if grew(items):
                slope = theil_sen(hours, items)
                found.append(suspect_of(kind, name, slope, detail_of(censuses, kind, name)))
    return found


def _shared(one: Culprit, growth: float) -> Culprit:
    if one.bytes_per_hour is None:
        return one
    return one.replace(share=max(0.0, min(1.0, one.bytes_per_hour / growth)))


def _score(one: Culprit, growth: float | None) -> float:
    rate = one.bytes_per_hour
    if rate is None:
        rate = (one.items_per_hour or 0.0) * _UNKNOWN
    if growth is not None and rate > growth > 0:
        # Nothing explains more than there is: one that seems to was weighed by a large example.
        rate = growth + _BEYOND * (rate - growth)
    weight = _WEIGHTS.get(one.kind, 1.0)
    if one.note == "registered component":
        weight = _WEIGHTS["component"]
    if one.kind == TYPE:
        weight = weight if is_users(one.name) else CARRIERS.get(one.name, _BUILTIN_TYPE)
    return rate * weight


def _lies_within(one: Culprit, others: Sequence[Culprit], order: Mapping[int, float]) -> bool:
    """Whether it belongs to another suspect that explains nearly as much."""
    return any(
        one.name.startswith((f"{other.name}[", f"{other.name}."))
        for other in others
        if other is not one and other.kind != TYPE and order[id(other)] >= _INNER * order[id(one)]
    )


def _explained(found: Sequence[Culprit]) -> float:
    return max((one.share or 0.0 for one in found), default=0.0)
