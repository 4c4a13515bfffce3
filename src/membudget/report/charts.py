"""Charts as inline SVG, drawn by our own small code; no script, no font, no picture from outside.

The curves are stretched to whatever width there is (`preserveAspectRatio="none"`, strokes that do
not scale), while labels are HTML placed by per cent: so both read well on a phone and on a wide
screen. Lines differ by dashes and areas by their number, so that colour is never all there is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.core import Record
from membudget.report.axes import Tick, ticks_of, time_ticks
from membudget.report.escaped import escaped
from membudget.report.reduced import envelope

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WIDE, HIGH = 1000.0, 300.0
"""The drawing's own units."""

MOST_POINTS = 700
"""Points of a line; more cannot be seen."""

_TAG = 7.0
"""Per cent of the height that a label takes."""


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


def drawn(chart: Chart) -> str:
    """The chart as an HTML figure."""
    areas = [line for line in chart.lines if line.style == "area"]
    ys = ticks_of(chart.unit)(chart.low, chart.high, 3 if chart.is_small else 5)
    xs = time_ticks(
        chart.begin, chart.end, is_dated=chart.is_dated, most=4 if chart.is_small else 8
    )
    kind = "chart small" if chart.is_small else "chart"
    return "".join(
        (
            f'<figure class="{kind}"><figcaption><h3>{escaped(chart.title)}</h3>',
            f"<p>{escaped(chart.words)}</p>",
            _legend(chart, areas),
            '</figcaption><div class="plot"><div class="ys" aria-hidden="true">',
            *(
                f'<span style="bottom:{_up(chart, y):.2f}%">{escaped(name)}</span>'
                for y, name in ys
            ),
            '</div><div class="field">',
            _svg(chart, areas, ys, xs),
            *_labels(chart, areas),
            '</div><div class="xs" aria-hidden="true">',
            *_along(chart, xs),
            "</div></div></figure>",
        )
    )


def _along(chart: Chart, xs: Sequence[Tick]) -> Iterator[str]:
    """The labels of the time axis; every other one gives way on a narrow screen."""
    for place, (at, name) in enumerate(xs):
        left = _left(chart, at)
        edge = " first" if left < 5 else " last" if left > 95 else ""  # noqa: PLR2004  # per cent
        spare = " spare" if place % 2 else ""
        yield f'<span class="x{edge}{spare}" style="left:{left:.2f}%">{escaped(name)}</span>'


def _legend(chart: Chart, areas: Sequence[Line]) -> str:
    if chart.is_small or (len(chart.lines) < 2 and not chart.levels):  # noqa: PLR2004
        return ""  # One curve needs no telling apart.
    rows = []
    for line in chart.lines:
        number = f"<b>{areas.index(line) + 1}</b>" if line in areas and len(areas) > 1 else ""
        sample = (
            f'<svg class="key" viewBox="0 0 24 10" aria-hidden="true"><path class="{line.style} '
            f'c{line.colour}" d="{"M0 1h24v8h-24z" if line.style == "area" else "M1 5h22"}"/></svg>'
        )
        rows.append(f"<li>{sample}{number}{escaped(line.name)}</li>")
    for kind, wanted in (("limit", True), ("level", False)):
        if names := [level.words for level in chart.levels if level.is_limit is wanted]:
            sample = (
                '<svg class="key" viewBox="0 0 24 10" aria-hidden="true">'
                f'<path class="{kind}" d="M1 5h22"/></svg>'
            )
            rows.append(f"<li>{sample}{escaped(', '.join(names))}</li>")
    return f'<ul class="legend">{"".join(rows)}</ul>'


def _svg(chart: Chart, areas: Sequence[Line], ys: Sequence[Tick], xs: Sequence[Tick]) -> str:
    label = escaped(f"{chart.title}. {chart.words}")
    box = f'viewBox="0 0 {WIDE:.0f} {HIGH:.0f}" preserveAspectRatio="none"'
    drawing = [f'<svg role="img" {box} aria-label="{label}">']
    grid = "".join(f"M0 {_y(chart, y):.1f}h{WIDE:.0f}" for y, _ in ys)
    grid += "".join(f"M{_x(chart, x):.1f} 0v{HIGH:.0f}" for x, _ in xs)
    drawing.append(f'<path class="grid" d="{grid}"/>')
    base: list[float] | None = None
    for line in areas:
        top = [
            (held or 0.0) + (base[at] if base is not None else 0.0)
            for at, held in enumerate(line.y)
        ]
        drawing.append(_area(chart, line, top, base))
        base = top
    for level in chart.levels:
        kind = "limit" if level.is_limit else "level"
        drawing.append(f'<path class="{kind}" d="M0 {_y(chart, level.at):.1f}h{WIDE:.0f}"/>')
    drawing += [
        f'<path class="moment" d="M{_x(chart, moment.at):.1f} 0v{HIGH:.0f}"/>'
        for moment in chart.moments
    ]
    drawing += [_curve(chart, line) for line in chart.lines if line.style != "area"]
    return "".join([*drawing, "</svg>"])


def _curve(chart: Chart, line: Line) -> str:
    kept = set(envelope(line.t, line.y, MOST_POINTS // 2 if chart.is_small else MOST_POINTS))
    path, pen = [], "M"
    for place, (t, y) in enumerate(zip(line.t, line.y, strict=True)):
        if y is None:
            pen = "M"
        elif place in kept:
            path.append(f"{pen}{_x(chart, t):.1f} {_y(chart, y):.1f}")
            if line.style == "dots":
                path.append("h0")
            else:
                pen = "L"
    if len(path) == 1:  # A single point would not be seen as a line.
        path.append("h0")
    dots = " dots" if len(path) == 2 and path[1] == "h0" else ""  # noqa: PLR2004
    return (
        f'<g><title>{escaped(line.name)}</title><path class="{line.style}{dots} c{line.colour}" '
        f'd="{"".join(path)}"/></g>'
    )


def _area(chart: Chart, line: Line, top: Sequence[float], base: Sequence[float] | None) -> str:
    kept = envelope(line.t, top, MOST_POINTS)
    upper = [f"{_x(chart, line.t[at]):.1f} {_y(chart, top[at]):.1f}" for at in kept]
    lower = [
        f"{_x(chart, line.t[at]):.1f} {_y(chart, base[at] if base else chart.low):.1f}"
        for at in reversed(kept)
    ]
    return (
        f'<g><title>{escaped(line.name)}</title><path class="area c{line.colour}" '
        f'd="M{"L".join([*upper, *lower])}z"/></g>'
    )


def _labels(chart: Chart, areas: Sequence[Line]) -> Iterator[str]:
    """The names of levels and moments, and the numbers of areas, within the picture."""
    yield from _tags(chart)
    edge = -100.0
    for moment in sorted(chart.moments, key=lambda one: one.at):
        left = _left(chart, moment.at)
        if left - edge > 14:  # noqa: PLR2004  # per cent: a label's width
            edge = left
            side = " before" if left > 70 else ""  # noqa: PLR2004  # per cent
            yield (
                f'<span class="at{side}" aria-hidden="true" style="left:{left:.2f}%">'
                f"{escaped(moment.name)}</span>"
            )
    yield from _numbers(chart, areas)


def _tags(chart: Chart) -> Iterator[str]:
    """The names of levels, the limit's below its line; one without room is in the legend alone."""
    taken: list[float] = []
    for level in sorted(chart.levels, key=lambda one: (not one.is_limit, one.at)):
        up = _up(chart, level.at)
        is_below = up > 100 - _TAG
        low = up - _TAG if is_below else up
        if all(abs(low - other) >= _TAG for other in taken):
            taken.append(low)
            yield (
                f'<span class="tag{" below" if is_below else ""}" aria-hidden="true" '
                f'style="bottom:{up:.2f}%">{escaped(level.name)}</span>'
            )


def _numbers(chart: Chart, areas: Sequence[Line]) -> Iterator[str]:
    if len(areas) < 2:  # noqa: PLR2004  # one needs no telling apart
        return
    base = 0.0
    for number, line in enumerate(areas, 1):
        top = base + ((line.y[-1] or 0.0) if line.y else 0.0)
        low, high = _up(chart, base), _up(chart, top)
        if high - low > 6:  # noqa: PLR2004  # per cent: a digit's height
            yield (
                f'<span class="number" aria-hidden="true" style="bottom:{(low + high) / 2:.2f}%">'
                f"{number}</span>"
            )
        base = top


def _share(value: float, low: float, high: float) -> float:
    share = (value - low) / (high - low) if high > low else 0.5
    return min(max(share, 0.0), 1.0)


def _x(chart: Chart, t: float) -> float:
    return _share(t, chart.begin, chart.end) * WIDE


def _y(chart: Chart, y: float) -> float:
    return (1 - _share(y, chart.low, chart.high)) * HIGH


def _left(chart: Chart, t: float) -> float:
    return _share(t, chart.begin, chart.end) * 100


def _up(chart: Chart, y: float) -> float:
    return _share(y, chart.low, chart.high) * 100
