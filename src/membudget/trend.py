"""Robust trends of short series: slopes, ranks, floors. Pure, plain Python, lists of floats.

Memory is autocorrelated, its noise has one side and its steps are real, so nothing here computes a
p-value. Sources: H. Theil (1950) and P. K. Sen (1968) for the slope; M. Kendall (1938) for tau;
H. B. Mann (1945) for the count of concordant pairs, here of increments.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate, pairwise
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

NORMAL = 1.4826  # Standard deviations of a normal law in one median absolute deviation.


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which a share of sorted values lies, interpolated; 0.0 of nothing."""
    if not ordered:
        return 0.0
    place = share * (len(ordered) - 1)
    below = int(place)
    if below + 1 >= len(ordered):
        return ordered[-1]
    return ordered[below] + (place - below) * (ordered[below + 1] - ordered[below])


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two middle ones; 0.0 of nothing."""
    ordered = sorted(values)
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) / 2 if ordered else 0.0


def mad(values: Sequence[float]) -> float:
    """The median distance from the median: a spread that half of the points cannot spoil."""
    middle = median(values)
    return median([abs(value - middle) for value in values])


def pairwise_slopes(x: Sequence[float], y: Sequence[float]) -> list[float]:
    """The slopes between every two points that differ in x, sorted. n(n-1)/2 of them."""
    slopes = []
    for first, (left, low) in enumerate(zip(x, y, strict=True)):
        for right, high in zip(x[first + 1 :], y[first + 1 :], strict=True):
            if right != left:
                slopes.append((high - low) / (right - left))
    slopes.sort()
    return slopes


def theil_sen(x: Sequence[float], y: Sequence[float]) -> float:
    """The median of the slopes between every two points; 0.0 where there are none."""
    return quantile(pairwise_slopes(x, y), 0.5)


def rising_share(slopes: Sequence[float]) -> float:
    """Kendall's tau-a from sorted pairwise slopes: the share rising less that falling."""
    if not slopes:
        return 0.0
    falling = bisect_left(slopes, 0.0)
    rising = len(slopes) - bisect_right(slopes, 0.0)
    return (rising - falling) / len(slopes)


def kendall_tau(x: Sequence[float], y: Sequence[float]) -> float:
    """Kendall's tau-a: the share of concordant pairs less the share of discordant ones."""
    return rising_share(pairwise_slopes(x, y))


def mann_kendall_z(y: Sequence[float]) -> float:
    """How far the order of the values is from chance, in standard deviations; below 0 it falls.

    Without correction for ties or autocorrelation: it is used as a measure, not as a test.
    """
    count = len(y)
    if count < 2:  # noqa: PLR2004  # one value has no order
        return 0.0
    ordered: list[float] = []
    score = 0
    for value in y:  # Each value against all before it, by bisection in the sorted ones.
        below = bisect_left(ordered, value)
        above = len(ordered) - bisect_right(ordered, value, below)
        score += below - above
        ordered.insert(below, value)
    deviation = (count * (count - 1) * (2 * count + 5) / 18) ** 0.5
    return float((score - (score > 0) + (score < 0)) / deviation)


def increments(y: Sequence[float]) -> list[float]:
    """What each value has more than the one before."""
    return [after - before for before, after in pairwise(y)]


def floors(
    t: Sequence[float], y: Sequence[float], begin: float, end: float, blocks: int
) -> tuple[list[float], list[float]]:
    """The middles of so many equal blocks of time, and the lowest value in each that has one."""
    width = (end - begin) / blocks
    centres, minima = [], []
    last = bisect_left(t, begin)
    for block in range(blocks):
        until = begin + width * (block + 1)
        first = last
        last = bisect_left(t, until, first) if block + 1 < blocks else bisect_right(t, end, first)
        if last > first:
            centres.append(until - width / 2)
            minima.append(min(y[first:last]))
    return centres, minima


def kept(minima: Sequence[float]) -> list[float]:
    """What was never given back: at each place the lowest of this and all later values."""
    return list(accumulate(reversed(minima), min))[::-1]


def envelope(t: Sequence[float], y: Sequence[float | None], most: int) -> list[int]:
    """Places to keep: of each of `most` / 2 stretches of time, its lowest and its highest value.

    The first and the last are kept, missing values (None) are not; all where they are few enough.
    """
    known = [place for place, value in enumerate(y) if value is not None]
    if len(known) <= max(4, most):
        return known
    begin, width = t[known[0]], (t[known[-1]] - t[known[0]]) / max(1, most // 2)
    stretches: dict[int, list[int]] = {}
    for place in known:
        number = int((t[place] - begin) / width) if width > 0 else 0
        stretches.setdefault(number, []).append(place)
    places = {known[0], known[-1]}
    for stretch in stretches.values():
        values = [(y[place] or 0.0, place) for place in stretch]
        places |= {min(values, key=itemgetter(0))[1], max(values, key=itemgetter(0))[1]}
    return sorted(places)
