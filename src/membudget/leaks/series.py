"""What a process's samples look like to the detector: columns in hours and MiB.

The simple rules in use miss a third of real leaks and call healthy warm-ups leaks; people know them
and ask for them. So their figures are shown beside the verdict, and nothing is decided by them.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import TYPE_CHECKING

from membudget.core import Record
from membudget.leaks import Filling, SimpleFacts
from membudget.trend import floors, increments, kendall_tau, theil_sen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from membudget.core import PartSample, Sample
    from membudget.leaks import Rules

MIB = 2**20
HOUR = 3600.0
LONGEST = 72.0  # Hours that are looked back at most

APART = 285.0
"""Seconds between two samples that are judged: five minutes, on which the detector's constants were
set, less what a sample may come early."""


def spread(samples: Sequence[Sample], apart: float = APART) -> list[Sample]:
    """Samples at least so many seconds apart, the first of each process always."""
    kept = list(samples[:1])
    for one in samples[1:]:
        before = kept[-1]
        is_other = (one.pid, one.began) != (before.pid, before.began)
        if is_other or one.wall - before.wall >= apart:
            kept.append(one)
    return kept


class PartSeries(Record):
    """One bounded part over time."""

    name: str  # The part's name
    items: Sequence[float] | None = None  # How many items it held at each sample
    held: Sequence[float] | None = None  # MiB it held at each sample
    most_items: float | None = None  # The most items it may hold, or None
    most_held: float | None = None  # The most MiB it may hold, or None
    ttl: float | None = None  # Hours that an item may stay, or None


class Series(Record):
    """One process's samples as columns; all of one length, oldest first."""

    hours: Sequence[float]  # Hours since the process began
    rss: Sequence[float]  # Resident MiB
    # MiB in use by the C allocator; where it was not asked, what it said last
    malloc: Sequence[float] | None = None
    # Whether it was asked at each sample; None where it was at all. A large heap is slow to tell,
    # and asked once an hour
    asked: Sequence[bool] | None = None
    blocks: Sequence[float] | None = None  # Live blocks of Python's allocator, a count
    # Requests served per unit of time, any unit: a load measure
    requests: Sequence[float] | None = None
    explained: Sequence[float] | None = None  # MiB held by parts with a declared bound
    file: Sequence[float] | None = None  # MiB of page cache
    children: Sequence[float] | None = None  # Resident MiB of child processes
    # Share that full collections freed; NaN where none ran
    gc_efficiency: Sequence[float] | None = None
    # Whether automatic collection is on, which a first threshold of 0 turns off as well; None where
    # that is not known. Who turned it off may still collect by hand: then `gc_efficiency` has a
    # share for it
    collecting: bool | None = None
    parts: tuple[PartSeries, ...] = ()  # The bounded parts
    origin: float = 0.0  # Unix seconds of hour zero: when the process began

    @property
    def unexplained(self) -> Sequence[float]:
        """Resident MiB less what parts with a declared bound hold."""
        return less(self.rss, self.explained)

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Series:
        """The columns of the newest process in these samples: a restart begins a new series."""
        if not samples:
            return cls(hours=(), rss=())
        newest = samples[-1]
        own = [
            one
            for one in samples
            if (one.pid, one.began) == (newest.pid, newest.began)
            and newest.wall - one.wall <= LONGEST * HOUR
        ]
        origin = newest.began or own[0].wall
        asked = [one.malloc is not None for one in own]
        return cls(
            hours=[(one.wall - origin) / HOUR for one in own],
            rss=[one.rss / MIB for one in own],
            malloc=_column(own, lambda one: one.malloc, MIB),
            # None where it was asked each time, or never.
            asked=asked if any(asked) and not all(asked) else None,
            blocks=[float(one.blocks) for one in own] if newest.blocks else None,
            requests=_rates(own),
            explained=[one.explained / MIB for one in own],
            file=_column(own, lambda one: one.file, MIB),
            children=_column(own, lambda one: one.children, MIB),
            gc_efficiency=[
                float("nan") if one.gc_efficiency is None else one.gc_efficiency for one in own
            ],
            collecting=newest.gc_enabled and newest.gc_thresholds[0] != 0,
            parts=tuple(_part(part, own) for part in newest.parts if part.is_bounded),
            origin=origin,
        )


def less(held: Sequence[float], known: Sequence[float] | None) -> Sequence[float]:
    """One column less another, where there is another."""
    if not known or not any(known):
        return held
    return [value - part for value, part in zip(held, known, strict=True)]


def _column(
    samples: Sequence[Sample], of: Callable[[Sample], float | None], unit: float
) -> list[float] | None:
    """A figure that may be missing now and then: the last one known stands; None if none is."""
    values = [of(one) for one in samples]
    last = next((value for value in values if value is not None), None)
    if last is None:
        return None
    column = []
    for value in values:
        last = last if value is None else value
        column.append(last / unit)
    return column


def _rates(samples: Sequence[Sample]) -> list[float] | None:
    """Requests a second from a counter; None where nobody counts."""
    counts = _column(samples, lambda one: one.requests, 1)
    if counts is None or len(counts) < 2:  # noqa: PLR2004  # a rate needs two
        return None
    rates = [
        max(0.0, step) / max(later.wall - sooner.wall, 1e-9)
        for step, (sooner, later) in zip(increments(counts), pairwise(samples), strict=True)
    ]
    return [rates[0], *rates]


def _part(newest: PartSample, samples: Sequence[Sample]) -> PartSeries:
    found = [next((p for p in one.parts if p.name == newest.name), None) for one in samples]
    items = [float(part.items or 0) if part else 0.0 for part in found]
    held = [(part.bytes or 0) / MIB if part else 0.0 for part in found]
    return PartSeries(
        name=newest.name,
        items=items if newest.items is not None else None,
        held=held if newest.bytes is not None else None,
        most_items=newest.most_items,
        most_held=None if newest.most_bytes is None else newest.most_bytes / MIB,
        ttl=None if newest.ttl is None else newest.ttl / HOUR,
    )


def growing_share(values: Sequence[float]) -> float:
    """Share of the values above the one before; 0.0 of fewer than two."""
    steps = increments(values)
    return sum(step > 0 for step in steps) / len(steps) if steps else 0.0


def simple_facts(series: Series, rules: Rules) -> SimpleFacts:
    """The simple rules over the newest hours: at least so many hours and so many samples."""
    hours, rss = series.hours, series.rss
    first = bisect_left(hours, hours[-1] - rules.min_duration) if hours else 0
    first = max(0, min(first, len(hours) - rules.min_samples))
    seen = rss[first:]
    span = hours[-1] - hours[first] if hours else 0.0
    gained = seen[-1] - seen[0] if seen else 0.0
    rate = gained / span if span > 0 else 0.0
    steps = increments(seen)
    shares = [step / before for step, before in zip(steps, seen, strict=False) if before > 0]
    is_enough = len(seen) >= rules.min_samples and span >= rules.min_duration * 0.95
    since = next((back for back, step in enumerate(reversed(steps)) if step <= 0), len(steps))
    return SimpleFacts(
        rate=rate,
        threshold=rules.threshold_mb_per_hour,
        hours=span,
        samples=len(seen),
        is_above=is_enough and rate > rules.threshold_mb_per_hour,
        growing_share=growing_share(seen),
        growth_per_sample=sum(shares) / len(shares) if shares else 0.0,
        running=since,
        growth_over_window=gained / seen[0] if seen and seen[0] > 0 else 0.0,
    )


_LOOK, _BLOCKS = 6.0, 12
_FULL, _RISING, _WORTH_MIB = 0.98, 0.5, 0.5


def fillings(series: Series) -> tuple[Filling, ...]:
    """The bounded parts whose fill has risen over the newest hours, the fastest first."""
    found = [one for part in series.parts if (one := _filling(series, part)) is not None]
    return tuple(sorted(found, key=lambda one: -one.rate))


def _filling(series: Series, part: PartSeries) -> Filling | None:
    held = part.held if part.held is not None else part.items
    if held is None or len(series.hours) < _BLOCKS:
        return None
    now = series.hours[-1]
    begin = max(series.hours[0], now - _LOOK)
    t, y = floors(series.hours, held, begin, now, _BLOCKS)
    slope = theil_sen(t, y)
    if slope <= 0 or kendall_tau(t, y) < _RISING:
        return None
    bounds = [(part.items, part.most_items), (part.held, part.most_held)]
    known = [(column, most) for column, most in bounds if column and most]
    fill = max((column[-1] / most for column, most in known), default=None)
    is_known = part.held is not None
    if (fill is not None and fill >= _FULL) or (is_known and slope * (t[-1] - t[0]) < _WORTH_MIB):
        return None
    # Hours until the first of its bounds is met at the newest pace.
    full_in: list[float] = []
    for column, most in known:
        pace = theil_sen(*floors(series.hours, column, begin, now, _BLOCKS))
        if pace > 0:
            full_in.append(max(0.0, most - column[-1]) / pace)
    if part.ttl is not None:
        begun = (hour for hour, value in zip(series.hours, held, strict=True) if value > 0)
        full_in.append(max(0.0, part.ttl - (now - next(begun, series.hours[0]))))
    # What it holds then: its bound in bytes, or its bound in items at today's size.
    full_at = [] if part.most_held is None else [part.most_held]
    if part.most_items is not None and part.held and part.items and part.items[-1] > 0:
        full_at.append(part.most_items * part.held[-1] / part.items[-1])
    return Filling(
        name=part.name,
        full_in=min(full_in) * HOUR if full_in else None,
        full_at=round(min(full_at) * MIB) if full_at else None,
        fill=fill,
        rate=slope * MIB if is_known else 0.0,
    )
