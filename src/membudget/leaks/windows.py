"""What a stretch of time says about growth: one `Window` for each length of looking back.

The floor of the unexplained memory is taken in 12 and in 24 equal blocks, and so are bytes in use
by malloc and live blocks of Python's allocator: memory that grows because objects live shows in
those channels, memory that an allocator keeps does not.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from membudget.core import Record
from membudget.leaks.series import less
from membudget.trend import (
    NORMAL,
    floors,
    increments,
    kept,
    mad,
    mann_kendall_z,
    pairwise_slopes,
    quantile,
    rising_share,
    theil_sen,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TypeAlias

    from membudget.leaks.series import Series

    Timed: TypeAlias = tuple[Sequence[float], Sequence[float]]
    """Hours, and a value at each."""


class Channel(Record):
    """What the memory, or a heap channel, did in a window; in MiB, and hours for time."""

    tau: float  # Share of rising less share of falling pairs of floors
    growth: float  # Theil-Sen slope of the floors times length
    # Order of the increments in deviations, the lower of 12 and of 24 floors; well below zero it
    # slows down
    bend: float
    # How much the slopes of the quarters differ, in slopes of the whole; infinite where there are
    # too few floors to tell
    unevenness: float
    early: float  # Theil-Sen slope of the first half
    late: float  # Theil-Sen slope of the second half


class Window(Channel):
    """What one window measured."""

    begin: float  # Where it begins
    end: float  # Where it ends: the newest sample
    of_life: float  # Share of the process's life that it covers
    rate: float  # Theil-Sen slope of the floors, MiB an hour
    low: float  # 5th percentile of the pairwise slopes
    high: float  # 95th percentile of the pairwise slopes
    base: float  # The first floor
    noise: float  # Robust deviation of the floors from the line
    kept: float  # Share of the growth that was never given back
    # Slopes of the quarters of what was kept over its whole slope, in order of time
    quarters: tuple[float, ...]
    jumps: float  # Share of the rise in the two largest steps between floors
    ground: float  # Share of the growth above all floors before the window
    peak: float  # Share of the growth above all that was seen before the window
    explained: float  # MiB by which parts with a declared bound grew meanwhile
    prior: float  # Slope of the floors before the window
    prior_length: float  # Hours over which that was taken; 0.0 where there are none
    load_tau: float  # Share of rising less share of falling pairs of mean loads
    load_rise: float  # Mean load of the last third over that of the first, less one
    malloc: Channel | None
    blocks: Channel | None  # Of Python's allocator

    @property
    def length(self) -> float:
        """Hours."""
        return self.end - self.begin


LENGTHS = (2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 36.0, 48.0, 72.0)
"""Hours looked back; the whole life is looked at beside them."""

NEVER = float("inf")
BLOCKS = 12
FINE = 24
BLOCK_MIB = 64 / 2**20  # MiB of a live block of Python's allocator, on average
_FEWEST = 9
YOUNG = 1.4  # Hours of life after its start from which a process is judged, by a single window
_NEARLY = 1.06
_PRIOR_BLOCKS = 8
_TOLD = 3  # Figures of a heap channel that make a trend at least


def looks(life: float) -> list[float]:
    """The lengths of the windows that fit into so many hours, longest last."""
    fitting = [length for length in LENGTHS if length <= life * _NEARLY]
    if not fitting:
        return [life] if life >= YOUNG else []
    if life > fitting[-1] * 1.1:
        fitting.append(life)
    return fitting


class Columns(Record):
    """What all windows of one series share, computed once."""

    series: Series  # The samples
    start: float  # The hour from which on is looked at
    rest: Sequence[float]  # Unexplained resident MiB
    highest: Sequence[float]  # The highest of those so far, at each sample
    malloc: Timed | None  # Unexplained MiB in use by malloc and the hours of it, or None
    blocks: Timed | None  # Live blocks of Python's allocator and the hours of them, or None


def columns(series: Series, settled: float, since: float = 0.0) -> Columns:
    """Prepare a series of at least one sample; before some hours nothing counts."""
    rest = series.unexplained
    return Columns(
        series=series,
        start=max(series.hours[0], settled, since),
        rest=rest,
        highest=list(accumulate(rest, max)),
        malloc=None if series.malloc is None else _told(series, series.malloc),
        blocks=None if series.blocks is None else (series.hours, series.blocks),
    )


def _told(series: Series, malloc: Sequence[float]) -> Timed:
    """What malloc told, less what is explained: a figure that was only held is no new one."""
    rest, asked = less(malloc, series.explained), series.asked
    if not asked:
        return series.hours, rest
    told = [place for place, was_asked in enumerate(asked) if was_asked]
    return [series.hours[place] for place in told], [rest[place] for place in told]


def windows(own: Columns) -> Iterator[Window]:
    """Measure each window that fits, shortest first; about 0.3 ms each."""
    end = own.series.hours[-1]
    for length in looks(end - own.start):
        window = measured(own, max(own.start, end - length))
        if window is not None:
            yield window


def measured(own: Columns, begin: float) -> Window | None:
    """Measure the window from `begin` on; None where too little is in it."""
    hours, rest, end = own.series.hours, own.rest, own.series.hours[-1]
    first = bisect_left(hours, begin)
    c, f = floors(hours, rest, begin, end, BLOCKS)
    if len(f) < _FEWEST:
        return None
    slopes = pairwise_slopes(c, f)
    rate = quantile(slopes, 0.5)
    g = kept(f)
    scale = rate * (end - begin) if rate > 0 else 1e-9
    rise = f[-1] - f[0]
    explained = own.series.explained
    prior, prior_length = _prior(own, begin)
    load_tau, load_rise = _load(own, first)
    return Window(
        **_trend((hours, rest), begin, end, (c, f), slopes),
        begin=begin,
        end=end,
        of_life=(end - begin) / max(end, 1e-9),
        rate=rate,
        low=quantile(slopes, 0.05),
        high=quantile(slopes, 0.95),
        base=f[0],
        noise=NORMAL * mad([y - rate * x for x, y in zip(c, f, strict=True)]),
        kept=(g[-1] - g[0]) / scale,
        quarters=_quarters(c, g),
        jumps=sum(sorted(increments(f))[-2:]) / rise if rise > 0 else 1.0,
        ground=(g[-1] - _earlier_floor(own, begin, first)) / scale if first else 1.0,
        peak=(g[-1] - own.highest[first - 1]) / scale if first else 1.0,
        explained=explained[-1] - explained[first] if explained else 0.0,
        prior=prior,
        prior_length=prior_length,
        load_tau=load_tau,
        load_rise=load_rise,
        malloc=_channel(own.malloc, begin, end, 1.0),
        blocks=_channel(own.blocks, begin, end, BLOCK_MIB),
    )


def _trend(
    timed: Timed,
    begin: float,
    end: float,
    blocks: Timed,
    slopes: Sequence[float],
    *,
    size: float = 1.0,
) -> dict[str, Any]:
    """What a `Channel` tells, from its floors in 12 blocks and their slopes."""
    (hours, values), (c, f) = timed, blocks
    bend, half = mann_kendall_z(increments(f)), len(f) // 2
    if len(hours) - bisect_left(hours, begin) >= 2 * FINE:  # Each finer block has two samples.
        fine = floors(hours, values, begin, hours[-1], FINE)[1]
        bend = min(bend, mann_kendall_z(increments(fine)))
    quarters = _quarters(c, kept(f)) if len(f) >= _FEWEST else ()
    return {
        "tau": rising_share(slopes),
        "growth": quantile(slopes, 0.5) * (end - begin) * size,
        "bend": bend,
        "unevenness": max(quarters) - min(quarters) if any(quarters) else NEVER,
        "early": theil_sen(c[:half], f[:half]),
        "late": theil_sen(c[half:], f[half:]),
    }


def _quarters(c: Sequence[float], g: Sequence[float]) -> tuple[float, ...]:
    whole = (g[-1] - g[0]) / (c[-1] - c[0])
    if whole <= 0:
        return (0.0, 0.0, 0.0, 0.0)
    cuts = [(len(g) - 1) * quarter // 4 for quarter in range(5)]
    return tuple(
        (g[right] - g[left]) / (c[right] - c[left]) / whole for left, right in pairwise(cuts)
    )


def _channel(timed: Timed | None, begin: float, end: float, size: float) -> Channel | None:
    """Measure a heap channel; where fewer than three figures are so new, the newest three."""
    if timed is None:
        return None
    hours, values = timed
    if len(hours) - bisect_left(hours, begin) < _TOLD:
        c, f = hours[-_TOLD:], values[-_TOLD:]
    else:
        c, f = floors(hours, values, begin, end, BLOCKS)
    if len(f) < _TOLD:
        return None
    return Channel(**_trend(timed, begin, end, (c, f), pairwise_slopes(c, f), size=size))


def _earlier_floor(own: Columns, begin: float, first: int) -> float:
    """The highest floor before the window, in blocks as wide as the window's."""
    hours = own.series.hours
    width = (hours[-1] - begin) / BLOCKS
    blocks = round((begin - hours[0]) / width)
    if blocks < 1:
        return min(own.rest[:first])
    return max(floors(hours, own.rest, begin - blocks * width, begin, blocks)[1])


def _prior(own: Columns, begin: float) -> tuple[float, float]:
    """The slope before the window, over as many hours, and over how many there were."""
    hours = own.series.hours
    start = max(own.start, begin - (hours[-1] - begin))
    if begin - start < 0.5:  # noqa: PLR2004  # hours; too short for eight floors
        return 0.0, 0.0
    c, f = floors(hours, own.rest, start, begin, _PRIOR_BLOCKS)
    return theil_sen(c, f), begin - start


def _load(own: Columns, first: int) -> tuple[float, float]:
    """How the load rose within the window: in order, and in size."""
    if not own.series.requests:
        return 0.0, 0.0
    served = own.series.requests[first:]
    each = len(served) // BLOCKS
    if each < 1:
        return 0.0, 0.0
    means = [sum(served[block * each : (block + 1) * each]) / each for block in range(BLOCKS)]
    third = BLOCKS // 3
    before, after = sum(means[:third]), sum(means[-third:])
    tau = rising_share(pairwise_slopes([float(block) for block in range(BLOCKS)], means))
    return tau, (after - before) / max(before, 1e-9)
