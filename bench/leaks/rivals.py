"""What is in use today: two simple rules, regression, Mann-Kendall with Theil-Sen, fixed hours.

Each answers as `detector` does. Regression and Mann-Kendall see all samples so far, resident memory
only; "floor trend, fixed hours" is our own test with the usual waits of 4 and 6 hours in place of
waits that depend on the evidence.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from detector import RULES

from membudget.leaks.evidence import MOST_OF_LIFE, has_support, lacking
from membudget.leaks.series import Series, simple_facts
from membudget.leaks.windows import columns, windows
from membudget.trend import increments, mann_kendall_z, theil_sen

if TYPE_CHECKING:
    from collections.abc import Callable

    from scoring import Detector

Answer = tuple[int, float]

_NOTHING = (0, 0.0)
_MINIMUM = 1.0
"""MiB an hour below which no rival needs to speak either."""


def simple_slope(t: list[float], rss: list[float]) -> Answer:
    """More than 10 MiB an hour over two hours and 24 samples; surer, the more samples grew."""
    facts = simple_facts(Series(hours=t, rss=rss), RULES)
    if not facts.is_above:
        return 0, facts.rate
    share = facts.growing_share
    return 3 if share > 0.8 else 2 if share > 0.6 else 1, facts.rate


def simple_growth(_t: list[float], rss: list[float]) -> Answer:
    """At least 3 % from each sample to the next, 15 in a row."""
    steps = increments(rss[-16:])
    shares = [step / held for step, held in zip(steps, rss[-16:], strict=False)]
    is_leak = len(shares) == 15 and min(shares) >= 0.03
    return 3 if is_leak else 0, 0.0


def simple_window(t: list[float], rss: list[float]) -> Answer:
    """The same read leniently: 3 % over a window of 15 samples that mostly grow."""
    steps = increments(rss[-16:])
    if len(steps) < 15 or rss[-1] < 1.03 * rss[-16]:
        return _NOTHING
    rate = (rss[-1] - rss[-16]) / (t[-1] - t[-16])
    return 2 if sum(step > 0 for step in steps) > 7 else 0, rate


def regression(t: list[float], rss: list[float]) -> Answer:
    """A line of least squares over all samples, steeper than 1 MiB an hour, R2 above 0.9."""
    if len(t) < 24:
        return _NOTHING
    mean_t, mean_y = sum(t) / len(t), sum(rss) / len(rss)
    tt = sum((one - mean_t) ** 2 for one in t)
    ty = sum((one - mean_t) * (held - mean_y) for one, held in zip(t, rss, strict=True))
    yy = sum((held - mean_y) ** 2 for held in rss)
    slope = ty / tt
    fit = slope * ty / yy if yy > 0 else 0.0
    return 2 if slope > _MINIMUM and fit > 0.9 else 0, slope


def mann_kendall(t: list[float], rss: list[float]) -> Answer:
    """Mann-Kendall above 2.58 over all samples, Theil-Sen of a hundred of them above 1 MiB/h."""
    if len(t) < 24:
        return _NOTHING
    each = max(1, len(t) // 100)
    slope = theil_sen(t[::each], rss[::each])
    return 2 if slope > _MINIMUM and mann_kendall_z(rss) > 2.58 else 0, slope


def fixed_hours(t: list[float], rss: list[float], aux: dict[str, list[float]]) -> Answer:
    """One look of the floor-trend test with waits of 4 and 6 hours."""
    if len(t) < RULES.min_samples:
        return _NOTHING
    series = Series(
        hours=t,
        rss=rss,
        malloc=aux.get("malloc_mb"),
        blocks=aux.get("py_blocks"),
        explained=aux.get("explained_mb"),
    )
    level, rate = 0, 0.0
    for window in windows(columns(series, RULES.settled)):
        if lacking(window, RULES):
            continue
        wait = 6.0 if window.of_life > MOST_OF_LIFE else 4.0
        wait = wait if has_support(window) else RULES.unsupported
        level, rate = max(level, 2 if window.length * 1.001 + 0.01 >= wait else 1), window.rate
    return level, rate


class Twice:
    """A detector whose levels hold once two looks agree and end after three without."""

    def __init__(self, inner: Detector) -> None:
        self._inner = inner
        self._last: tuple[float, int] | None = None
        self._level = 0
        self._without = 0

    def __call__(self, t: list[float], rss: list[float], aux: dict[str, list[float]]) -> Answer:
        """Ask the inner detector and let its answer count."""
        level, rate = self._inner(t, rss, aux)
        if self._last is None or t[-1] < self._last[0] or bisect_left(t, self._last[0]) >= len(t):
            self._last, self._level, self._without = (t[-1], 0), 0, 0
        agreed = min(level, self._last[1])
        self._without = 0 if agreed >= self._level else self._without + 1
        if agreed >= self._level or self._without >= 3:
            self._level, self._without = agreed, 0
        self._last = (t[-1], level)
        return self._level, rate


def _alone(rule: Callable[[list[float], list[float]], Answer]) -> Detector:
    """A rule that looks at resident memory only, as a detector."""
    return lambda t, rss, _aux: rule(t, rss)


RIVALS: dict[str, Detector] = {
    "10 MB/h over 2 h": _alone(simple_slope),
    "3 % a sample, 15 running": _alone(simple_growth),
    "3 % over 15 samples": _alone(simple_window),
    "regression, R2 > 0.9": _alone(regression),
    "Mann-Kendall + Theil-Sen": _alone(mann_kendall),
    "floor trend, fixed hours": Twice(fixed_hours),
}
