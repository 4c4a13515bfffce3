"""Charts as inline SVG, drawn by our own small code; no script, no font, no picture from outside.

The curves are stretched to whatever width there is (`preserveAspectRatio="none"`, strokes that do
not scale), while labels are HTML placed by per cent: so both read well on a phone and on a wide
screen. Lines differ by dashes and areas by their number, so that colour is never all there is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.report.axes import Tick, ticks_of, time_ticks
from membudget.report.escaped import escaped
from membudget.report.plots import HIGH, WIDE, Chart, Line, left_of, up_of, x_of, y_of
from membudget.report.reduced import envelope

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


MOST_POINTS = 700
"""Points of a line; more cannot be seen."""

_TAG = 7.0
"""Per cent of the height that a label takes."""


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
                f'<span style="bottom:{up_of(chart, y):.2f}%">{escaped(name)}</span>'
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
        left = left_of(chart, at)
        edge = " first" if left < 3 else " last" if left > 97 else ""  # noqa: PLR2004  # per cent
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
    grid = "".join(f"M0 {y_of(chart, y):.1f}h{WIDE:.0f}" for y, _ in ys)
    grid += "".join(f"M{x_of(chart, x):.1f} 0v{HIGH:.0f}" for x, _ in xs)
    drawing.append(f'<path class="grid" d="{grid}"/>')
    base: list[float] | None = None
    runs = _runs(areas)
    for line in areas:
        top = [
            (held or 0.0) + (base[at] if base is not None else 0.0)
            for at, held in enumerate(line.y)
        ]
        drawing.append(_area(chart, line, top, base, runs))
        base = top
    for level in chart.levels:
        kind = "limit" if level.is_limit else "level"
        drawing.append(f'<path class="{kind}" d="M0 {y_of(chart, level.at):.1f}h{WIDE:.0f}"/>')
    drawing += [
        f'<path class="moment" d="M{x_of(chart, moment.at):.1f} 0v{HIGH:.0f}"/>'
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
            path.append(f"{pen}{x_of(chart, t):.1f} {y_of(chart, y):.1f}")
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


def _area(
    chart: Chart,
    line: Line,
    top: Sequence[float],
    base: Sequence[float] | None,
    runs: Sequence[tuple[int, int]],
) -> str:
    path = []
    for first, last in runs:
        kept = [first + at for at in envelope(line.t[first:last], top[first:last], MOST_POINTS)]
        upper = [f"{x_of(chart, line.t[at]):.1f} {y_of(chart, top[at]):.1f}" for at in kept]
        lower = [
            f"{x_of(chart, line.t[at]):.1f} {y_of(chart, base[at] if base else chart.low):.1f}"
            for at in reversed(kept)
        ]
        path.append(f"M{'L'.join([*upper, *lower])}z")
    return (
        f'<g><title>{escaped(line.name)}</title><path class="area c{line.colour}" '
        f'd="{"".join(path)}"/></g>'
    )


def _runs(areas: Sequence[Line]) -> list[tuple[int, int]]:
    """From where to where at least one area has a value; between, nobody looked."""
    runs, first = [], None
    for place, row in enumerate(zip(*(line.y for line in areas), strict=True)):
        is_known = any(value is not None for value in row)
        if is_known and first is None:
            first = place
        elif not is_known and first is not None:
            runs.append((first, place))
            first = None
    if first is not None:
        runs.append((first, len(areas[0].y)))
    return runs


def _labels(chart: Chart, areas: Sequence[Line]) -> Iterator[str]:
    """The names of levels and moments, and the numbers of areas, within the picture."""
    yield from _tags(chart)
    edge = -100.0
    for moment in sorted(chart.moments, key=lambda one: one.at):
        left = left_of(chart, moment.at)
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
        up = up_of(chart, level.at)
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
        low, high = up_of(chart, base), up_of(chart, top)
        if high - low > 6:  # noqa: PLR2004  # per cent: a digit's height
            yield (
                f'<span class="number" aria-hidden="true" style="bottom:{(low + high) / 2:.2f}%">'
                f"{number}</span>"
            )
        base = top
