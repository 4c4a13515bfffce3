"""What a chart is, and where its values and moments lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.core import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDE, HIGH = 1000.0, 300.0
"""The drawing's own units."""


ROOM = 1.06
"""How much higher a picture is than its highest value."""


class Line(Record):
    """One curve.

    Attributes:
        name: What it is, in the legend.
        t: Unix seconds, or seconds since the recording began, rising.
        y: Values; None breaks the line.
        style: "line", "dash", "dots" or "area".
        colour: From 1 to 8.
    """

    name: str
    t: Sequence[float]
    y: Sequence[float | None]
    style: str = "line"
    colour: int = 1


class Level(Record):
    """A horizontal line with its name, and the words of the legend."""

    name: str
    at: float
    words: str = ""
    is_limit: bool = False


class Moment(Record):
    """A vertical line with its name."""

    name: str
    at: float


class Chart(Record):
    """One picture.

    Attributes:
        title: What is shown.
        words: The same for who does not see it, and what to learn from it.
        unit: "bytes", "share", "count", or "whole" for whole counts.
        lines: Curves; areas lie upon each other, the first lowest.
        begin: Where the time axis begins.
        end: Where it ends.
        low: The least value shown.
        high: The highest.
        is_dated: Whether times are of a calendar.
        levels: Horizontal lines.
        moments: Vertical lines.
        is_small: Whether it may stand beside another.
    """

    title: str
    words: str
    unit: str
    lines: tuple[Line, ...]
    begin: float
    end: float
    low: float
    high: float
    is_dated: bool = True
    levels: tuple[Level, ...] = ()
    moments: tuple[Moment, ...] = ()
    is_small: bool = False


def _share(value: float, low: float, high: float) -> float:
    share = (value - low) / (high - low) if high > low else 0.5
    return min(max(share, 0.0), 1.0)


def x_of(chart: Chart, t: float) -> float:
    """Where a moment lies in the drawing, from the left."""
    return _share(t, chart.begin, chart.end) * WIDE


def y_of(chart: Chart, y: float) -> float:
    """Where a value lies in the drawing, from the top."""
    return (1 - _share(y, chart.low, chart.high)) * HIGH


def left_of(chart: Chart, t: float) -> float:
    """The same of a moment in per cent, for labels."""
    return _share(t, chart.begin, chart.end) * 100


def up_of(chart: Chart, y: float) -> float:
    """How far up a value lies, in per cent, for labels."""
    return _share(y, chart.low, chart.high) * 100


def value_range(least: float, most: float) -> tuple[float, float]:
    """From zero where that costs no more than half of the picture, else a little around."""
    if least <= most / 2 or most <= 0:
        return 0.0, max(most * ROOM, 1.0)
    room = max((most - least) * 0.12, most * 0.005)
    return least - room, most + room
