"""What a process's samples look like to the detector: columns in hours and MiB."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.core import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from membudget.core import PartSample, Sample

MIB = 2**20
HOUR = 3600.0
LONGEST = 72.0
"""Hours that are looked back at most."""


class PartSeries(Record):
    """One bounded part over time.

    Attributes:
        name: The part's name.
        items: How many items it held at each sample.
        held: MiB it held at each sample.
        most_items: The most items it may hold, or None.
        most_held: The most MiB it may hold, or None.
        ttl: Hours that an item may stay, or None.
    """

    name: str
    items: Sequence[float] | None = None
    held: Sequence[float] | None = None
    most_items: float | None = None
    most_held: float | None = None
    ttl: float | None = None


class Series(Record):
    """One process's samples as columns; all of one length, oldest first.

    Attributes:
        hours: Hours since the process began.
        rss: Resident MiB.
        malloc: MiB in use by the C allocator; where it was not asked, what it said last.
        asked: Whether it was asked at each sample; None where it was at all. A large heap is slow
            to tell, and asked once an hour.
        blocks: Live blocks of Python's allocator, a count.
        requests: Requests served per unit of time, any unit: a load measure.
        explained: MiB held by parts with a declared bound.
        file: MiB of page cache.
        children: Resident MiB of child processes.
        cpu: Processor seconds so far.
        gc_efficiency: Share that full collections freed; NaN where none ran.
        collecting: Whether automatic collection is on, which a first threshold of 0 turns off as
            well; None where that is not known. Who turned it off may still collect by hand: then
            `gc_efficiency` has a share for it.
        parts: The bounded parts.
        restarts: Unix seconds at which earlier samples ended because the process did.
        origin: Unix seconds of hour zero: when the process began.
    """

    hours: Sequence[float]
    rss: Sequence[float]
    malloc: Sequence[float] | None = None
    asked: Sequence[bool] | None = None
    blocks: Sequence[float] | None = None
    requests: Sequence[float] | None = None
    explained: Sequence[float] | None = None
    file: Sequence[float] | None = None
    children: Sequence[float] | None = None
    cpu: Sequence[float] | None = None
    gc_efficiency: Sequence[float] | None = None
    collecting: bool | None = None
    parts: tuple[PartSeries, ...] = ()
    restarts: tuple[float, ...] = ()
    origin: float = 0.0

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
        own = [one for one in samples if (one.pid, one.began) == (newest.pid, newest.began)]
        own = [one for one in own if newest.wall - one.wall <= LONGEST * HOUR]
        earlier = [one for one in samples if (one.pid, one.began) != (newest.pid, newest.began)]
        origin = newest.began or own[0].wall
        return cls(
            hours=[(one.wall - origin) / HOUR for one in own],
            rss=[one.rss / MIB for one in own],
            malloc=_column(own, lambda one: one.malloc, MIB),
            asked=_asked(own),
            blocks=[float(one.blocks) for one in own] if newest.blocks else None,
            requests=_rates(own),
            explained=[one.explained / MIB for one in own],
            file=_column(own, lambda one: one.file, MIB),
            children=_column(own, lambda one: one.children, MIB),
            cpu=[one.cpu for one in own],
            gc_efficiency=[
                float("nan") if one.gc_efficiency is None else one.gc_efficiency for one in own
            ],
            collecting=newest.gc_enabled and newest.gc_thresholds[0] != 0,
            parts=tuple(_part(part, own) for part in newest.parts if part.is_bounded),
            restarts=_ends(earlier),
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


def _asked(samples: Sequence[Sample]) -> list[bool] | None:
    """Whether malloc told its bytes in use; None where it did each time, or never."""
    asked = [one.malloc is not None for one in samples]
    return None if all(asked) or not any(asked) else asked


def _rates(samples: Sequence[Sample]) -> list[float] | None:
    """Requests a second from a counter; None where nobody counts."""
    counts = _column(samples, lambda one: one.requests, 1)
    if counts is None or len(counts) < 2:  # noqa: PLR2004  # a rate needs two
        return None
    rates = [
        max(0.0, after - before) / max(later.wall - sooner.wall, 1e-9)
        for before, after, sooner, later in zip(
            counts, counts[1:], samples, samples[1:], strict=False
        )
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


def _ends(earlier: Sequence[Sample]) -> tuple[float, ...]:
    """When each of the earlier processes was last seen."""
    last: dict[tuple[int, float], float] = {}
    for one in earlier:
        last[one.pid, one.began] = one.wall
    return tuple(sorted(last.values()))
