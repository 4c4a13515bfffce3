"""Bounded parts that are filling up: how long until they are full, and what they hold then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.leaks.records import Filling
from membudget.leaks.series import HOUR, MIB
from membudget.trend import floors, kendall_tau, theil_sen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from membudget.leaks.series import PartSeries, Series

_LOOK = 6.0
_FULL = 0.98
_RISING = 0.5
_WORTH_MIB = 0.5
_BLOCKS = 12


def fillings(series: Series) -> tuple[Filling, ...]:
    """The bounded parts whose fill has risen over the newest hours, the fastest first."""
    found = [one for part in series.parts if (one := _filling(series, part)) is not None]
    return tuple(sorted(found, key=lambda one: -one.rate))


def _filling(series: Series, part: PartSeries) -> Filling | None:
    held = part.held if part.held is not None else part.items
    if held is None or len(series.hours) < _BLOCKS:
        return None
    begin = max(series.hours[0], series.hours[-1] - _LOOK)
    t, y = floors(series.hours, held, begin, series.hours[-1], _BLOCKS)
    slope = theil_sen(t, y)
    if slope <= 0 or kendall_tau(t, y) < _RISING:
        return None
    fills = [_fill(part.items, part.most_items), _fill(part.held, part.most_held)]
    fill = max((one for one in fills if one is not None), default=None)
    if fill is not None and fill >= _FULL:
        return None
    is_known = part.held is not None
    if is_known and slope * (t[-1] - t[0]) < _WORTH_MIB:
        return None
    return Filling(
        name=part.name,
        full_in=_full_in(series, part, begin),
        full_at=_full_at(part),
        fill=fill,
        rate=slope * MIB if is_known else 0.0,
    )


def _fill(column: Sequence[float] | None, most: float | None) -> float | None:
    return column[-1] / most if column and most else None


def _full_in(series: Series, part: PartSeries, begin: float) -> float | None:
    """Seconds until the first of its bounds is met at the newest pace."""
    hours: list[float] = []
    for column, most in ((part.items, part.most_items), (part.held, part.most_held)):
        if column is None or most is None:
            continue
        t, y = floors(series.hours, column, begin, series.hours[-1], _BLOCKS)
        pace = theil_sen(t, y)
        if pace > 0:
            hours.append(max(0.0, most - column[-1]) / pace)
    if part.ttl is not None:
        hours.append(max(0.0, part.ttl - (series.hours[-1] - _first_held(series, part))))
    return min(hours) * HOUR if hours else None


def _first_held(series: Series, part: PartSeries) -> float:
    """The hour at which the part first held anything."""
    held = part.held if part.held is not None else part.items
    place = next((index for index, value in enumerate(held or ()) if value > 0), 0)
    return series.hours[place]


def _full_at(part: PartSeries) -> int | None:
    """Bytes it holds when full: its bound in bytes, or its bound in items at today's size."""
    bounds = []
    if part.most_held is not None:
        bounds.append(part.most_held)
    if part.most_items is not None and part.held and part.items and part.items[-1] > 0:
        bounds.append(part.most_items * part.held[-1] / part.items[-1])
    return round(min(bounds) * MIB) if bounds else None
