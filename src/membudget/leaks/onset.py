"""When the trend began: the hinge of two lines through the floors of the process's life."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from membudget.trend import floors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from membudget.leaks.windows import Columns

_BLOCKS = 72
_FEWEST = 6
_BETTER = 0.5
_CLOSE = 0.3
_STRAIGHT = 0.05


def onset(own: Columns, rate: float, begin: float) -> float:
    """The earliest hour from which the trend holds to the end.

    Where one line of least squares lies within a twentieth of the growth, the trend began with the
    first sample looked at. Else two lines are laid through 72 floors of all that is looked at; the
    cut that leaves the least is the onset, if it leaves less than half of what one line leaves and
    the second line has the trend's slope.

    Args:
        own: The series.
        rate: The trend's slope, MiB an hour.
        begin: Where the window that shows it begins; the answer where no cut fits.
    """
    t, y = floors(own.series.hours, own.rest, own.start, own.series.hours[-1], _BLOCKS)
    count = len(t)
    if count < 2 * _FEWEST:
        return begin
    forward = _left_over(t, y)
    backward = _left_over(t[::-1], y[::-1])[::-1]
    whole, slope = forward[-1]
    deviation = (whole / count) ** 0.5
    if _is_close(slope, rate) and deviation <= _STRAIGHT * rate * (t[-1] - t[0]):
        return own.series.hours[0]
    cuts = range(_FEWEST, count - _FEWEST + 1)
    best = min(cuts, key=lambda cut: forward[cut - 1][0] + backward[cut][0])
    left = forward[best - 1][0] + backward[best][0]
    if left > _BETTER * whole and _is_close(slope, rate):
        return own.series.hours[0]
    return t[best] if _is_close(backward[best][1], rate) else begin


def _is_close(slope: float, rate: float) -> bool:
    return abs(slope - rate) <= _CLOSE * abs(rate)


def _left_over(t: Sequence[float], y: Sequence[float]) -> list[tuple[float, float]]:
    """For each number of first points: what a line of least squares leaves, and its slope."""
    x0, y0 = t[0], y[0]
    xs = [x - x0 for x in t]
    ys = [value - y0 for value in y]
    sums = zip(
        accumulate(xs),
        accumulate(ys),
        accumulate(x * x for x in xs),
        accumulate(x * value for x, value in zip(xs, ys, strict=True)),
        accumulate(value * value for value in ys),
        strict=True,
    )
    left = []
    for count, (x, value, xx, xy, yy) in enumerate(sums, 1):
        spread = xx - x * x / count
        slope = (xy - x * value / count) / spread if spread > 0 else 0.0
        rest = yy - value * value / count - slope * slope * spread
        left.append((max(rest, 0.0), slope))
    return left
