"""Whether a window shows a leak, for how long such growth must be watched, and what it is.

A leak is growth that is kept, steady, on new ground and does not slow down. Its curve and that of a
slow fill begin alike, and time tells them apart: a line as straight as a ruler is believed after
five hours; the more the quarters of the window differ, the longer it must be, and longer still
where memory grew faster before (a fill's tail?) or the load rose within it.

Live blocks of Python's allocator that grow along speak for Python's objects, whatever their size: a
leak of large buffers shows only in what holds them. But a leak in C leaves a few blocks behind as
well, and any program's grow a little by themselves. So blocks that are few against the growth have
to rise in step with it; where that does not tell, a look at what Python can reach does (`settled`).
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from math import fsum, isnan, log, sqrt
from typing import TYPE_CHECKING, TypeAlias

from membudget.core import Record
from membudget.leaks import Confidence, Kind, Step
from membudget.leaks.series import HOUR, MIB
from membudget.leaks.windows import FINE, NEVER
from membudget.trend import floors, increments, kendall_tau, kept, theil_sen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from membudget.leaks import Filling, Rules, State
    from membudget.leaks.series import Series
    from membudget.leaks.windows import Channel, Columns, Window

MOST_OF_LIFE = 0.7

_MALLOC_SHARE, _BLOCKS_SHARE = 0.35, 0.21
_UNEVEN, _HARDLY_SLOWER, _NOT_SLOWER = 0.4, 0.9, 0.95
_LOAD_TAU, _STEADY_UNDER_LOAD, _CLEARLY = 0.4, 0.3, 3.0
_HALVES = 4.1
"""Deviation of the slopes' ratio of two halves, in noise over growth, for floors in 12 blocks."""


class Finding(Record):
    """What the windows say together."""

    level: Confidence  # How sure one look is
    window: Window | None  # The longest window that passed, or None
    score: float  # From 0 to 1; 0.5 where a window is just as long as it must be
    failed: tuple[str, ...]  # For each window, in order, what it lacks ("" if nothing)


def weigh(found: Sequence[Window], rules: Rules) -> Finding:
    """Take the best level over all windows that pass."""
    # Windows that clearly show the end of growth, whatever a longer one still shows.
    ends = [
        one.length
        for one in found
        if one.bend <= rules.stopped and one.growth > 2 * one.noise and one.late < 0.3 * one.early
    ]
    level, longest, score = Confidence.NONE, None, 0.0
    failed = []
    for window in found:
        lack = lacking(window, rules)
        if not lack and any(window.length / 3 <= end < window.length for end in ends):
            lack = "it has stopped since"
        failed.append(lack)
        if lack:
            continue
        longest, hours = window, needed(window, rules)
        seen = window.length * 1.001 + 0.01  # Samples are seldom taken on the full hour.
        here = Confidence.HIGH if seen >= rules.high else Confidence.MEDIUM
        level = max(level, here if seen >= hours else Confidence.LOW)
        score = max(score, 1 - 0.5 ** (window.length / hours))
    return Finding(level=level, window=longest, score=score, failed=tuple(failed))


def lacking(window: Window, rules: Rules) -> str:
    """What keeps a window from showing a leak, in words; "" where nothing does."""
    least = max(rules.minimum_rate, rules.minimum_share * window.base)
    gain = max(rules.minimum_growth, rules.minimum_growth_share * window.base)
    slowest, second = sorted(window.quarters)[:2]
    is_steady = slowest >= rules.slowest and min(second, window.quarters[-1]) >= rules.slow
    heap = [channel.bend for channel in (window.malloc, window.blocks) if channel]
    lacks = {
        "no trend": window.rate <= 0 or window.tau < rules.tau,
        "within its noise": window.growth < rules.noise * window.noise,
        "too small": window.rate < least or window.growth < gain,
        "given back": window.kept < rules.kept,
        "in few steps": not is_steady or window.jumps > rules.jumps,
        "slowing down": window.late < rules.slowing * window.early or window.bend < rules.bend,
        "slowing down in the heap": bool(heap) and max(heap) < rules.heap_bend,
        "reached before": window.ground < rules.ground or window.peak < 0,
        "within the error of what bounded parts hold": (
            window.growth < rules.explained * window.explained
        ),
    }
    return next((lack for lack, is_so in lacks.items() if is_so), "")


def has_support(window: Window) -> bool:
    """Whether a heap channel shows the growth, or none could."""
    return (window.malloc is None and window.blocks is None) or bool(_supporting(window))


def _supporting(window: Window) -> list[Channel]:
    """The heap channels that show the growth."""
    return [
        channel
        for channel, share in ((window.malloc, _MALLOC_SHARE), (window.blocks, _BLOCKS_SHARE))
        if channel is not None and channel.tau > 0.6 and channel.growth >= share * window.growth  # noqa: PLR2004
    ]


def _unevenness(window: Window) -> float:
    """How uneven the growth is, by the steadiest of the memory and the heap channels that show it.

    Resident memory goes up in stairs where something takes memory now and then and leaves room
    behind that the growth fills next, as a census does every hour; what is in use does not. It is
    more where the second half is hardly slower than the first.
    """
    return min(
        max(one.unevenness, _UNEVEN) if one.late < _HARDLY_SLOWER * one.early else one.unevenness
        for one in (window, *_supporting(window))
    )


def needed(window: Window, rules: Rules) -> float:
    """Hours that growth like this must be watched before it is called a leak."""
    uneven = _unevenness(window)
    hours = min(max(rules.soonest, rules.soonest / 2 + rules.patience * uneven), rules.latest)
    if window.of_life <= MOST_OF_LIFE:
        hours += rules.onset
    if window.prior_length >= 1.0 and window.prior > rules.faster * window.rate:
        hours = max(hours, _tail(window, rules))
    follows = window.load_tau > _LOAD_TAU and window.load_rise > rules.load_rise
    if follows and uneven > _STEADY_UNDER_LOAD:
        hours = max(hours, rules.load_watch)
    return hours if has_support(window) else max(hours, rules.unsupported)


def _tail(window: Window, rules: Rules) -> float:
    """Hours for growth that was faster before: long, unless it clearly does not slow any more.

    A fill that goes on as it did (a power of time, which slows the least of all fills) would show
    a certain ratio of the window's halves. The ratio seen must lie well above it.
    """
    seen = window.late / max(window.early, 1e-9)
    if seen < _NOT_SLOWER:
        return NEVER
    middle = (window.begin + window.end) / 2
    before = window.begin - window.prior_length / 2
    power = log(window.prior / window.rate) / log(middle / before)
    quarter = window.length / 4
    fill = ((window.end - quarter) / (window.begin + quarter)) ** -power
    deviation = _HALVES * window.noise / window.growth + 0.01
    return rules.sure_tail if seen - fill > _CLEARLY * deviation else rules.tail


_HALF = 0.5
_OWN = 0.05
"""Share of the growth in live blocks from which it is Python's whatever else is known: a block for
every 1.3 KiB. Recorded: 0.1 to 1.6 where objects are small, 0.03, 0.018 and 0.0006 for arrays,
threads and sessions of Python, 0.016 and 0.007 for two leaks in C."""

_FEW_BLOCKS = 0.0003  # Share from which live blocks may show it at all: one for every 210 KiB
_SEEN, _SURELY = 0.6, 0.9  # Tau of the blocks, where they are many and where they are few

_GOES_ON = 0.5
"""Least slope of the blocks' second half over that of the first, in the memory's own: what a module
loaded, or a cache that fills up, has left behind does not go on as a leak does."""

_VARIES, _TOO_NOISY = 0.25, 3.0
"""Deviation of the memory's increments over their mean from which it can be told whether the blocks
go along; and how many times that the blocks' own may be."""

_ALONG = 0.2
"""Kendall's tau of the two: leaks of Python with changing load had 0.3 to 0.95, leaks in C beside
blocks that grew by themselves -0.26 to 0.12."""

_REALLY = 0.4  # The same of the memory and malloc, from which what varies is no noise

_HELD, _NOT_HELD = 0.5, 0.15
"""Share of the growth in what Python can reach from which it is Python's, and up to which not."""


def leak_kind(own: Columns, window: Window, state: State, rules: Rules) -> tuple[Kind, bool]:
    """The kind of a leak, by who shows it in the window, and whether that is sure.

    Garbage is told only where nothing speaks against that: no collection before the accusation has
    freed too little, and no full one has run amid the growth. What speaks for it is that automatic
    collection is off, or that the last full one freed much and was long ago, and live blocks that
    grow along. A low share freed is no sign of it: it says that hardly anything waited.
    """
    series = own.series
    if gained(series, series.file, window.begin) >= _HALF * window.growth:
        return Kind.FILE, True
    blocks = window.blocks
    is_python = blocks is not None and _is_seen(own, window, blocks)
    if not is_python and not has_support(window):
        return Kind.SLACK, True
    is_unknown = blocks is None and window.malloc is None
    if (is_python or is_unknown) and _may_be_garbage(series, window, state, rules):
        return Kind.GARBAGE, True
    if is_unknown:
        return Kind.PYTHON, True
    is_sure = is_python and blocks is not None and blocks.growth >= _OWN * window.growth
    return Kind.PYTHON if is_python else Kind.NATIVE, is_sure


def settled(kind: Kind, reached: float | None, *, is_sure: bool) -> Kind:
    """The counters' kind, or where they are not sure what a look (a share of the growth) tells."""
    if is_sure or reached is None or kind not in {Kind.PYTHON, Kind.NATIVE}:
        return kind
    if reached < _NOT_HELD:
        return Kind.NATIVE
    return Kind.PYTHON if reached >= _HELD else kind


def _is_seen(own: Columns, window: Window, blocks: Channel) -> bool:
    """Whether live blocks grow along, and go on growing as the memory does."""
    share = blocks.growth / window.growth
    is_own = share >= _OWN
    if share < _FEW_BLOCKS or blocks.tau < (_SEEN if is_own else _SURELY):
        return False
    slower = window.late / window.early if window.early > 0 else 1.0
    if blocks.late < _GOES_ON * min(slower, 1.0) * blocks.early:
        return False
    return is_own or not _goes_its_own_way(own, window)


def _goes_its_own_way(own: Columns, window: Window) -> bool:
    """Whether the memory grows by turns faster and slower, malloc with it, the blocks not."""
    if own.blocks is None or own.malloc is None:
        return False
    memory, malloc, blocks = (
        increments(floors(hours, values, window.begin, window.end, FINE)[1])
        for hours, values in ((own.series.hours, own.rest), own.malloc, own.blocks)
    )
    varies, others = _variation(memory), _variation(blocks)
    if varies < _VARIES or others > _TOO_NOISY * varies or len(malloc) < len(memory):
        return False
    is_real = kendall_tau(memory, malloc) >= _REALLY
    return is_real and kendall_tau(memory, blocks) < _ALONG


def _variation(steps: Sequence[float]) -> float:
    """Their deviation over their mean; 0.0 where they do not rise."""
    middle = fsum(steps) / len(steps)
    if middle <= 0:
        return 0.0
    return sqrt(fsum((step - middle) ** 2 for step in steps) / len(steps)) / middle


def _may_be_garbage(series: Series, window: Window, state: State, rules: Rules) -> bool:
    """Whether a collection might free most of it: see `leak_kind`."""
    if state.collected is not None:
        return state.collected.freed >= _HALF * state.growth
    last, freed = -NEVER, 0.0
    for hour, share in zip(series.hours, series.gc_efficiency or (), strict=False):
        if not isnan(share):
            last, freed = hour, share
    if last > window.begin + _HALF * window.length:
        return False
    return series.collecting is False or (last > -NEVER and freed >= rules.gc_efficiency)


def gained(series: Series, column: Sequence[float] | None, begin: float) -> float:
    """MiB by which a column's floor grew since an hour."""
    if not column:
        return 0.0
    t, y = floors(series.hours, column, begin, series.hours[-1], 12)
    return theil_sen(t, y) * (series.hours[-1] - begin)


_BLOCKS, _FEWEST = 72, 6
_BETTER, _CLOSE, _STRAIGHT = 0.5, 0.3, 0.05


def onset(own: Columns, rate: float, begin: float) -> float:
    """The earliest hour from which a trend of so many MiB an hour holds to the end.

    Where one line of least squares lies within a twentieth of the growth, the trend began with the
    first sample looked at. Else two lines are laid through 72 floors of all that is looked at; the
    cut that leaves the least is the onset, if it leaves less than half of what one line leaves and
    the second line has the trend's slope. Where no cut fits it is the beginning of the window that
    shows the trend.
    """
    t, y = floors(own.series.hours, own.rest, own.start, own.series.hours[-1], _BLOCKS)
    count = len(t)
    if count < 2 * _FEWEST:
        return begin
    forward, backward = _left_over(t, y), _left_over(t[::-1], y[::-1])[::-1]
    whole, slope = forward[-1]
    is_close = abs(slope - rate) <= _CLOSE * abs(rate)
    if is_close and (whole / count) ** 0.5 <= _STRAIGHT * rate * (t[-1] - t[0]):
        return own.series.hours[0]
    cuts = range(_FEWEST, count - _FEWEST + 1)
    left, best = min((forward[cut - 1][0] + backward[cut][0], cut) for cut in cuts)
    if left > _BETTER * whole and is_close:
        return own.series.hours[0]
    return t[best] if abs(backward[best][1] - rate) <= _CLOSE * abs(rate) else begin


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


_QUARTER = 0.25  # Hours of a block in which a step must happen to be one
_STEP, _STEPS, _FEW, _FLAT, _RECENT = 0.6, 0.85, 3, 0.05, 6.0

Shape: TypeAlias = "tuple[Kind, Step | None, float | None]"
"""NONE, STEP, FILLING or LEVELLING; the jump that explains most of it; MiB at which it will end."""


def shape(
    own: Columns, longest: Window | None, filling: tuple[Filling, ...], rules: Rules
) -> Shape:
    """What growth that is no leak looks like, over all that is looked at."""
    if longest is None:
        return Kind.NONE, None, None
    gain = max(rules.minimum_growth, rules.minimum_growth_share * longest.base)
    explained, hours = own.series.explained, own.series.hours
    is_filling = bool(filling)
    if explained:
        # Whether bounded parts have taken in more lately than what is worth a word; and a daily
        # cycle fills nothing anew.
        before = max(explained[: bisect_left(hours, hours[-1] - _RECENT) + 1])
        is_filling = explained[-1] - before >= (gain / 4 if filling else gain / 2)
    if is_filling:
        return Kind.FILLING, None, None
    found = _risen(own, longest, hours[0], gain)
    if found[1] is not None and found[1].at < own.series.origin + own.start * HOUR:
        # What a process takes as it starts is no step of its life.
        return _risen(own, longest, own.start, gain)
    return found


def _risen(own: Columns, longest: Window, begin: float, gain: float) -> Shape:
    """What the rise since an hour looks like."""
    span = longest.end - begin
    t, y = floors(own.series.hours, own.rest, begin, longest.end, max(12, round(span / _QUARTER)))
    g = kept(y)
    rise = g[-1] - g[0]
    if rise < gain or rise < 2 * longest.noise:
        is_file = gained(own.series, own.series.file, longest.begin) >= max(gain, 10.0)
        return Kind.FILE if is_file else Kind.NONE, None, None
    steps = increments(g)
    largest = sorted(steps, reverse=True)[:_FEW]
    if largest[0] >= _STEP * rise or sum(largest) >= _STEPS * rise:
        at = t[steps.index(largest[0]) + 1]
        step = Step(at=own.series.origin + at * HOUR, size=round(largest[0] * MIB))
        return Kind.STEP, step, None
    plateau = _plateau(own, longest, t, g)
    # What grew and does not slow down: too soon to say more.
    return Kind.NONE if plateau is None else Kind.LEVELLING, None, plateau


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
