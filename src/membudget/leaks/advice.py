"""Settings proposed from the process's own history, each with its reason; nothing is applied here.

A mark belongs above what a normal day needs, a minimum rate above what noise alone can feign, and
the bound of a deque above what it ever needed.
"""

from __future__ import annotations

from math import ceil, floor, log10
from typing import TYPE_CHECKING

from membudget.core import Record
from membudget.leaks.rules import Rules
from membudget.leaks.series import MIB, Series
from membudget.trend import NORMAL, floors, kendall_tau, mad, quantile, theil_sen
from membudget.units import human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from membudget.core import Sample

_ENOUGH = 12.0
"""Hours of history without which nothing is proposed."""

_WARNING = 0.80
_LEAST_WARNING = 0.50
_MOST_WARNING = 0.88
_ROOM = 1.1
_GAP = 0.10
_WORTH_SAYING = 0.05
_DEQUE_ROOM = 1.5
_SPARSE = 0.25
_RISING = 0.6
_DIFFERS = 1.25


class Proposal(Record):
    """One setting as the history suggests it.

    Attributes:
        setting: The setting's path, or `maxlen of NAME`.
        value: A share for marks, MiB an hour for rates, bytes for limits, items for bounds.
        reason: Why, with the figures.
    """

    setting: str
    value: float
    reason: str


def propose(samples: Sequence[Sample], rules: Rules | None = None) -> tuple[Proposal, ...]:
    """Propose settings from a history of at least twelve hours; nothing where it is shorter.

    Args:
        samples: The history, oldest first; earlier processes count for marks and bounds.
        rules: The constants in use; defaults without.
    """
    if not samples or samples[-1].wall - samples[0].wall < _ENOUGH * 3600:
        return ()
    return (
        *_marks(samples),
        *_minimum_rate(Series.of(samples), rules or Rules()),
        *_bounds(samples),
    )


def _marks(samples: Sequence[Sample]) -> Iterable[Proposal]:
    """Marks above a normal day's peak; a larger limit where no mark can be."""
    limit = samples[-1].limit
    if not limit:
        return
    used = sorted(one.used for one in samples)
    peak = quantile(used, 0.99)
    share = peak * _ROOM / limit
    seen = f"99 of 100 samples stayed below {human_bytes(peak)}, {peak / limit:.0%} of the limit"
    if share > _MOST_WARNING:
        larger = ceil(peak * _ROOM / _WARNING / (16 * MIB)) * 16 * MIB
        yield Proposal(
            setting="limit",
            value=float(larger),
            reason=f"{seen}: a warning above that leaves no room below the limit",
        )
        return
    warning = max(_LEAST_WARNING, ceil(share * 100) / 100)
    if abs(warning - _WARNING) < _WORTH_SAYING:
        return
    yield Proposal(
        setting="thresholds.warning",
        value=warning,
        reason=f"{seen}; a tenth above that is no normal day",
    )
    yield Proposal(
        setting="thresholds.low",
        value=round(warning - _GAP, 2),
        reason="a tenth of the limit below the warning, so that calming down is no flutter",
    )


def _minimum_rate(series: Series, rules: Rules) -> Iterable[Proposal]:
    """The least rate that the floors' own noise cannot feign over the hours a leak is watched."""
    hours = series.hours
    if len(hours) < 2 or hours[-1] - hours[0] < _ENOUGH:  # noqa: PLR2004
        return
    rest = series.unexplained
    begin = max(hours[0], hours[-1] - 24.0)
    c, f = floors(hours, rest, begin, hours[-1], 24)
    slope = theil_sen(c, f)
    noise = NORMAL * mad([y - slope * x for x, y in zip(c, f, strict=True)])
    feigned = rules.noise * noise / rules.latest
    least = max(feigned, rules.minimum_share * f[-1], 0.1)
    value = ceil(least * 10) / 10
    if max(value, rules.minimum_rate) < _DIFFERS * min(value, rules.minimum_rate):
        return
    yield Proposal(
        setting="leaks.minimum_rate",
        value=value,
        reason=(
            f"the floors of the last day scatter by {noise:.2g} MiB, which over"
            f" {rules.latest:g} h looks like {feigned:.2g} MiB/h;"
            f" {rules.minimum_share:.1%} of the memory an hour is {rules.minimum_share * f[-1]:.2g}"
        ),
    )


def _bounds(samples: Sequence[Sample]) -> Iterable[Proposal]:
    """A bound for each watched deque that has none, or one far above what it ever held."""
    for part in samples[-1].parts:
        if "deque" not in part.kind.lower() or part.items is None:
            continue
        seen = [
            (one.wall / 3600, float(own.items))
            for one in samples
            for own in one.parts
            if own.name == part.name and own.items is not None
        ]
        counts = [items for _, items in seen]
        peak = max(counts)
        value = _rounded_up(peak * _DEQUE_ROOM)
        if part.most_items is None:
            yield Proposal(setting=f"maxlen of {part.name}", value=value, reason=_why(seen, peak))
        elif peak < _SPARSE * part.most_items and value < part.most_items:
            yield Proposal(
                setting=f"maxlen of {part.name}",
                value=value,
                reason=f"it never held more than {peak:,.0f} of {part.most_items:,} items",
            )


def _why(seen: Sequence[tuple[float, float]], peak: float) -> str:
    hours, counts = zip(*seen, strict=True)
    c, f = floors(hours, counts, hours[0], hours[-1], 12)
    if kendall_tau(c, f) >= _RISING:
        return (
            f"it has no bound and grows by {theil_sen(c, f):,.0f} items an hour;"
            f" it held {peak:,.0f} at most so far, which may be all it ever needed"
        )
    return f"it has no bound; it never held more than {peak:,.0f} items"


def _rounded_up(value: float) -> float:
    """The next number with two leading figures, at least 16."""
    if value <= 16:  # noqa: PLR2004
        return 16.0
    unit = 10 ** max(0, floor(log10(value)) - 1)
    return float(ceil(value / unit) * unit)
