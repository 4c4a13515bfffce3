"""What will be: the time to the limit with an interval, where growth levels off, what is odd now.

Pure: hours and MiB in, records in bytes and seconds out. The time to the limit is what is left over
the Theil-Sen slope of the floors, its interval from percentiles of the pairwise slopes. Growth that
slows down is taken for an exponential: with slopes b1 and b2 in two halves of L hours, its time
constant is L / 2 / ln(b1 / b2). Nothing here says whether there is a leak.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from math import log
from typing import TYPE_CHECKING

from membudget.core import Record
from membudget.trend import (
    NORMAL,
    floors,
    mad,
    median,
    pairwise_slopes,
    quantile,
    rising_share,
    theil_sen,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WARN_BELOW = 12 * 3600.0  # Seconds to the limit below which it is worth a warning.
LENGTHS = (72.0, 48.0, 24.0, 12.0, 8.0, 6.0, 4.0, 3.0, 2.0)  # Hours: the longest that holds.
ODD = 6.0  # Robust deviations from what was to be expected at which a figure is odd.
_MIB = 2**20
_HOUR = 3600.0
_BLOCKS = 12
_FEWEST = 9
_TAU = 0.6
_STEADY = 0.75
_NEWEST = 1.0
_NOISE = 3.0
_ESTIMATED = 0.25
_LONGEST = 10 * 365 * 24.0  # Hours beyond which "never" is the better word.
_AGREEING = 2
_CLEARING = 3
_CLEARLY_FAR = 1.5
_NEW_GROUND = 1.02  # Use over the highest before from which it is no mere peak.
_DAY = 24.0
_RECENT = 3.0
_LEAST_SAMPLES = 12


class Forecast(Record):
    """Where a figure is going."""

    used: int  # Bytes now: the highest of the newest hour, for peaks meet the limit first.
    limit: int | None  # Bytes that it is held against, or None.
    rate: float = 0.0  # Bytes an hour.
    window: float = 0.0  # Seconds that the rate was taken over; 0.0 where no trend was found.
    seconds_left: float | None = None  # Until the limit is met, or None where it is not in sight.
    soonest: float | None = None  # The same at the 95th percentile of the slopes.
    latest: float | None = None  # The same at the 5th; None where that meets no limit.
    levels_off_at: int | None = None  # Bytes at which growth that slows down will end, or None.
    highest: int = 0  # Bytes held before that growth, but for a hundredth of the samples.

    @property
    def is_near(self) -> bool:
        """Whether the limit is near enough for a warning.

        Growth below what was held before is none: it has come back, as on every morning.
        """
        if self.seconds_left is None or self.seconds_left >= WARN_BELOW:
            return False
        return self.used >= _NEW_GROUND * self.highest


class Anomaly(Record):
    """A figure that is not what was to be expected, in its own unit."""

    name: str
    value: float  # The median of its newest samples.
    expected: float
    spread: float  # A robust deviation of what was seen lately.
    score: float  # Value less expected, in deviations.
    basis: str  # What was expected: "the same hour before" or "the last hours".


class Nearness(Record):
    """What was said of a limit that is near, for the next forecast to be held against."""

    is_told: bool = False  # As near, and not taken back since.
    near: int = 0  # Forecasts in a row that had it near.
    far: int = 0  # And that had it out of sight or clearly farther away.

    def after(self, ahead: Forecast) -> Nearness:
        """What holds after one more: two in a row have it told, three far ones take it back."""
        left = ahead.seconds_left
        near = self.near + 1 if ahead.is_near else 0
        far = self.far + 1 if left is None or left > _CLEARLY_FAR * WARN_BELOW else 0
        is_told = far < _CLEARING if self.is_told else near >= _AGREEING
        return Nearness(is_told=is_told, near=near, far=far)


def forecast(
    hours: Sequence[float],
    held: Sequence[float],
    limit: int | None = None,
    *,
    bounded: Sequence[float] | None = None,
) -> Forecast:
    """Say when a limit in bytes will be met, or where growth will end. Cost: about 1 ms.

    `held` are MiB at these hours, rising; `bounded` MiB of it that parts with a bound of their own
    held, whose growth is theirs to stop. Without a rate where there are too few samples or no
    trend.
    """
    if not hours:
        return Forecast(used=0, limit=limit)
    level = max(held[bisect_left(hours, hours[-1] - _NEWEST) :])
    ahead = Forecast(used=round(level * _MIB), limit=limit)
    rest = held
    if is_any_bounded := bounded is not None and any(bounded):
        rest = [whole - part for whole, part in zip(held, bounded or (), strict=True)]
    trend = _trend(hours, rest)
    if trend is None:
        return ahead
    length, slopes, early, late = trend
    rate, begin = quantile(slopes, 0.5), hours[-1] - length
    if is_any_bounded:
        # So small a rest beside what bounded parts take in is their estimate's error: a quarter,
        # as the verdict on leaks has it (`explained` in `leaks.Rules`).
        c, f = floors(hours, bounded or (), begin, hours[-1], _BLOCKS)
        if rate < _ESTIMATED * theil_sen(c, f):
            return ahead
    left = None if limit is None else limit / _MIB - level
    # 99 of 100 stayed below: one sample in a day is no peak.
    before = sorted(held[: bisect_left(hours, begin)])
    ahead = ahead.replace(window=length * _HOUR, highest=round(quantile(before, 0.99) * _MIB))
    if late < _STEADY * early:
        return _slowing(ahead, length, early, max(late, 0.0), left)
    return ahead.replace(
        rate=rate * _MIB,
        seconds_left=_seconds(left, rate),
        soonest=_seconds(left, quantile(slopes, 0.95)),
        latest=_seconds(left, quantile(slopes, 0.05)),
    )


def _trend(
    hours: Sequence[float], held: Sequence[float]
) -> tuple[float, list[float], float, float] | None:
    """The longest stretch that rises, and steadily; else the longest that rises and slows down.

    Its length, its slopes, and the slopes of its two halves.
    """
    slowing = None
    for length in LENGTHS:
        if length > (hours[-1] - hours[0]) * 1.06:
            continue
        begin = max(hours[0], hours[-1] - length)
        c, f = floors(hours, held, begin, hours[-1], _BLOCKS)
        if len(f) < _FEWEST:
            continue
        slopes = pairwise_slopes(c, f)
        rate = quantile(slopes, 0.5)
        noise = NORMAL * mad([y - rate * x for x, y in zip(c, f, strict=True)])
        if rate <= 0 or rising_share(slopes) < _TAU or rate * length < _NOISE * noise:
            continue
        half = len(f) // 2
        early, late = theil_sen(c[:half], f[:half]), theil_sen(c[half:], f[half:])
        trend = hours[-1] - begin, slopes, early, late
        if late >= _STEADY * early:
            return trend
        slowing = slowing or trend
    return slowing


def _slowing(
    ahead: Forecast, length: float, early: float, late: float, left: float | None
) -> Forecast:
    """Growth that slows down: where it ends, or when it meets the limit all the same."""
    constant = length / 2 / log(early / late) if late > 0 else 0.0
    to_come = late * constant
    ends = ahead.replace(
        rate=late * _MIB,
        soonest=_seconds(left, late),
        levels_off_at=ahead.used + round(to_come * _MIB),
    )
    if left is None or to_come <= left:
        return ends
    return ends.replace(seconds_left=-constant * log(1 - max(left, 0.0) / to_come) * _HOUR)


def _seconds(left: float | None, rate: float) -> float | None:
    if left is None or rate <= 0:
        return None
    hours = max(0.0, left) / rate
    return hours * _HOUR if hours < _LONGEST else None


def anomalies(
    hours: Sequence[float], columns: Mapping[str, Sequence[float]], newest: int = 3
) -> tuple[Anomaly, ...]:
    """The figures, by name and each in its own unit, whose newest samples are odd; oddest first."""
    scored = (scored_newest(name, hours, column, newest) for name, column in columns.items())
    odd = [one for one in scored if one is not None and abs(one.score) >= ODD]
    return tuple(sorted(odd, key=lambda one: -abs(one.score)))


def scored_newest(
    name: str, hours: Sequence[float], column: Sequence[float], newest: int = 3
) -> Anomaly | None:
    """The robust score of the newest samples; None where too few came before.

    What is expected is what was seen in the same hour the day before, moved by as much as the last
    hours lie above the same hours then; without a day before, the median of the last hours.
    """
    first = len(column) - newest
    begin = bisect_left(hours, hours[-1] - _RECENT) if hours else 0
    recent = column[begin:first]
    if len(recent) < _LEAST_SAMPLES:
        return None
    value, middle = median(column[first:]), median(recent)
    spread = max(NORMAL * mad(recent), 0.01 * abs(middle), 1e-9)

    def between(place: int, other: int) -> Sequence[float]:
        begins, ends = hours[place] - _DAY - 1e-9, hours[other] - _DAY + 1e-9
        return column[bisect_left(hours, begins) : bisect_right(hours, ends)]

    before, then = between(first, -1), between(begin, first)
    expected, basis = middle, "the last hours"
    if before and len(then) >= _LEAST_SAMPLES:
        expected = median(before) + middle - median(then)
        basis = "the same hour before"
    score = (value - expected) / spread
    return Anomaly(
        name=name, value=value, expected=expected, spread=spread, score=score, basis=basis
    )
