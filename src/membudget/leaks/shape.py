"""What growth that is no leak looks like: a fill, a step, a curve that levels off.

When a trend began is the hinge of two lines through the floors of the process's life.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from math import log
from typing import TYPE_CHECKING

from membudget.core import Record
from membudget.leaks.kinds import gained
from membudget.leaks.records import Kind, Step
from membudget.leaks.series import HOUR, MIB
from membudget.trend import floors, increments, kept, theil_sen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from membudget.leaks.records import Filling, Rules
    from membudget.leaks.series import Series
    from membudget.leaks.windows import Columns, Window


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


QUARTER = 0.25
"""Hours of a block in which a step must happen to be one."""

_STEP = 0.6
_STEPS = 0.85
_FEW = 3
_FLAT = 0.05
_RECENT = 6.0


class Shape(Record):
    """What growth that is no leak looks like.

    Attributes:
        kind: NONE, STEP, FILLING or LEVELLING.
        step: The jump that explains most of it, or None.
        levels_off_at: MiB at which it will end, or None.
    """

    kind: Kind
    step: Step | None = None
    levels_off_at: float | None = None


def shape(
    own: Columns, longest: Window | None, filling: tuple[Filling, ...], rules: Rules
) -> Shape:
    """What growth that is no leak looks like, over all that is looked at."""
    if longest is None:
        return Shape(kind=Kind.NONE)
    gain = max(rules.minimum_growth, rules.minimum_growth_share * longest.base)
    if _is_filling(own, filling, gain):
        return Shape(kind=Kind.FILLING)
    found = _risen(own, longest, own.series.hours[0], gain)
    if found.step is not None and found.step.at < own.series.origin + own.start * HOUR:
        # What a process takes as it starts is no step of its life.
        return _risen(own, longest, own.start, gain)
    return found


def _risen(own: Columns, longest: Window, begin: float, gain: float) -> Shape:
    """What the rise since an hour looks like."""
    span = longest.end - begin
    t, y = floors(own.series.hours, own.rest, begin, longest.end, max(12, round(span / QUARTER)))
    g = kept(y)
    rise = g[-1] - g[0]
    if rise < gain or rise < 2 * longest.noise:
        return _page_cache(own.series, longest, gain)
    steps = increments(g)
    largest = sorted(steps, reverse=True)[:_FEW]
    if largest[0] >= _STEP * rise or sum(largest) >= _STEPS * rise:
        at = t[steps.index(largest[0]) + 1]
        step = Step(at=own.series.origin + at * HOUR, size=round(largest[0] * MIB))
        return Shape(kind=Kind.STEP, step=step)
    plateau = _plateau(own, longest, t, g)
    if plateau is None:
        return Shape(kind=Kind.NONE)  # It grew and does not slow down: too soon to say more.
    return Shape(kind=Kind.LEVELLING, levels_off_at=plateau)


def _is_filling(own: Columns, filling: tuple[Filling, ...], gain: float) -> bool:
    """Whether bounded parts have taken in more lately than what is worth a word."""
    explained, hours = own.series.explained, own.series.hours
    if not explained:
        return bool(filling)
    first = bisect_left(hours, hours[-1] - _RECENT)
    taken_in = explained[-1] - max(explained[: first + 1])  # A daily cycle fills nothing anew.
    return taken_in >= (gain / 4 if filling else gain / 2)


def _page_cache(series: Series, longest: Window, gain: float) -> Shape:
    if gained(series, series.file, longest.begin) >= max(gain, 10.0):
        return Shape(kind=Kind.FILE)
    return Shape(kind=Kind.NONE)


def _plateau(own: Columns, longest: Window, t: Sequence[float], g: Sequence[float]) -> float | None:
    """MiB where growth that slows down like an exponential ends; None where it does not slow down.

    With slopes b1 and b2 in two halves of a window of L hours, the time constant is
    L / 2 / ln(b1 / b2), and b2 times that is still to come.
    """
    explained = own.series.explained[-1] if own.series.explained else 0.0
    half = len(t) // 2
    early, late = theil_sen(t[:half:2], g[:half:2]), theil_sen(t[half::2], g[half::2])
    if late <= _FLAT * (g[-1] - g[0]) / (t[-1] - t[0]):
        return g[-1] + explained  # It has levelled off already.
    if late >= early:
        return None
    constant = longest.length / 2 / log(early / late)
    return g[-1] + explained + late * constant
