"""Which charts a report has: memory first, then what explains it, then what goes on beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.leaks.records import Confidence
from membudget.report.columns import Columns
from membudget.report.pictures_small import beside, items
from membudget.report.plots import ROOM, Chart, Level, Line, Moment, value_range
from membudget.report.words import Calendar, signed
from membudget.units import human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from membudget.report.records import Report

_NEAR = 0.4
"""Share of the limit from which on it is in the picture."""

_AHEAD = 1.0
"""The limit is in the picture, too, where it is reached within so many times the time shown."""

_PARTS = 6
_FEW = 2
_DIFFERS = 0.02
_WORTH, _WORTH_EXPLAINED = 0.01, 0.05
"""Shares of resident memory from which on a picture of a part of it is worth looking at."""


def pictures(report: Report) -> Iterator[Chart]:
    """The charts that these samples have something for; none of fewer than two samples."""
    if len(report.samples) < _FEW or report.span <= 0:
        return
    columns = Columns(report.samples)
    yield memory(report, columns)
    for make in (explained, held):
        if (chart := make(report, columns)) is not None:
            yield chart
    yield from items(report, columns)
    yield from beside(report, columns)


def memory(report: Report, columns: Columns) -> Chart:
    """Use over time, with limit, marks, trend, restarts and where it will lead."""
    t, used = columns.of(lambda one: one.used)
    _, rss = columns.of(lambda one: one.rss)
    lines = [Line(name="resident memory", t=t, y=rss)]
    if any(abs(a - b) > _DIFFERS * a for a, b in _both(rss, used)):
        lines = [
            Line(name="judged figure", t=t, y=used),
            Line(name="resident memory", t=t, y=rss, style="dash", colour=7),
        ]
    end = _end(report)
    trend = _trend(report, end)
    lines += [trend] if trend is not None else []
    values = [value for line in lines for value in line.y if value is not None]
    top = max(values)
    levels = _levels(report, top, is_ahead=end > report.made)
    low, high = value_range(min(values), max([top, *(one.at for one in levels)]))
    calendar = Calendar(is_dated=report.is_dated)
    first = next(value for value in rss if value is not None)
    last = report.samples[-1].rss
    words = f"{human_bytes(first)} at {calendar.moment(t[0])}, {human_bytes(last)} at the end."
    if report.limit is not None and not levels:
        words += f" The limit of {human_bytes(report.limit)} is far above."
    if low > 0:
        words += " The axis does not begin at zero."
    moments = [Moment(name="restart", at=one) for one in report.restarts]
    if end > report.made:
        moments.append(Moment(name="now", at=report.made))
    return Chart(
        title="Memory",
        words=words,
        unit="bytes",
        lines=tuple(lines),
        begin=t[0],
        end=end,
        low=low,
        high=high,
        is_dated=report.is_dated,
        levels=levels,
        moments=tuple(moments),
    )


def explained(report: Report, columns: Columns) -> Chart | None:
    """How much of the memory bounded parts explain; None where none is known to hold any."""
    most = max(max(one.explained, one.governed) / max(1, one.rss) for one in report.samples)
    if most < _WORTH_EXPLAINED:
        return None
    is_bounded = any(one.explained for one in report.samples)
    t, known = columns.of(lambda one: min(one.rss, one.explained if is_bounded else one.governed))
    _, rest = columns.of(
        lambda one: max(0, one.rss - (one.explained if is_bounded else one.governed))
    )
    newest = report.samples[-1]
    share = (newest.explained if is_bounded else newest.governed) / max(1, newest.rss)
    what = "parts with a declared bound" if is_bounded else "what holders count"
    return Chart(
        title="Explained memory",
        words=f"{share:.0%} of resident memory is in {what} now; a leak is in the rest.",
        unit="bytes",
        lines=(
            Line(name=what, t=t, y=known, style="area", colour=3),
            Line(name="the rest", t=t, y=rest, style="area", colour=7),
        ),
        begin=t[0],
        end=report.made,
        low=0.0,
        high=max(one.rss for one in report.samples) * ROOM,
        is_dated=report.is_dated,
    )


def held(report: Report, columns: Columns) -> Chart | None:
    """The bytes of the largest parts, one upon the other; None where they are not worth it."""
    names = [one.name for one in report.parts if one.bytes][:_PARTS]
    if not names:
        return None
    lines = []
    for number, name in enumerate(names):
        t, y = columns.part(name, "bytes")
        lines.append(Line(name=name, t=t, y=y, style="area", colour=number % 6 + 1))
    others = [one.name for one in report.parts if one.bytes][_PARTS:]
    if others:
        t, y = columns.others(others)
        lines.append(Line(name=f"{len(others)} more", t=t, y=y, style="area", colour=7))
    totals = [
        sum(value or 0 for value in row) for row in zip(*(one.y for one in lines), strict=True)
    ]
    if max(totals) < _WORTH * max(one.rss for one in report.samples):
        return None
    return Chart(
        title="Caches and containers, by bytes",
        words=(
            f"Together {human_bytes(totals[-1])} now, {human_bytes(max(totals))} at most; "
            f"the largest is {names[0]}."
        ),
        unit="bytes",
        lines=tuple(lines),
        begin=lines[0].t[0],
        end=report.made,
        low=0.0,
        high=max(max(totals) * ROOM, 1.0),
        is_dated=report.is_dated,
    )


def _end(report: Report) -> float:
    """The end of the time axis: now, or where the limit is reached if that is near."""
    left = report.forecast.seconds_left
    if left is None or left > report.span * _AHEAD or report.limit is None:
        return report.made
    return report.made + min(left * 1.05, report.span * _AHEAD)


def _trend(report: Report, end: float) -> Line | None:
    """The rate of the verdict as a line through the newest hour's middle."""
    verdict = report.verdict
    if verdict is None or verdict.confidence == Confidence.NONE or verdict.onset is None:
        return None
    newest = [one for one in report.samples if one.wall >= report.made - 3600.0]
    middle = sorted(one.rss for one in newest)[len(newest) // 2]
    at = (newest[0].wall + newest[-1].wall) / 2
    begin = max(verdict.onset, report.samples[0].wall)
    if report.restarts:
        begin = max(begin, report.restarts[-1])
    t = (begin, end)
    y = tuple(max(0.0, middle + (one - at) / 3600.0 * verdict.rate) for one in t)
    return Line(name=f"trend, {signed(verdict.rate)}/h", t=t, y=y, style="dash", colour=5)


def _levels(report: Report, top: float, *, is_ahead: bool) -> tuple[Level, ...]:
    limit = report.limit
    if limit is None or (top < _NEAR * limit and not is_ahead):
        return ()
    marks = [
        Level(name=name, at=at, words=f"{name} {human_bytes(at)}")
        for name, at in report.marks.items()
        if at < limit
    ]
    return (
        Level(name="limit", at=limit, words=f"limit {human_bytes(limit)}", is_limit=True),
        *marks,
    )


def _both(
    first: Sequence[float | None], second: Sequence[float | None]
) -> Iterator[tuple[float, float]]:
    for a, b in zip(first, second, strict=True):
        if a is not None and b is not None:
            yield a, b
