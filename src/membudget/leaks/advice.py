"""Settings proposed from the process's own history, each with its reason; nothing is applied here.

A mark belongs above what a normal day needs, a minimum rate above what noise alone can feign, and
the bound of a deque above what it ever needed.
"""

from __future__ import annotations

from math import ceil, floor, log10
from typing import TYPE_CHECKING

from membudget.core import Record
from membudget.leaks import Rules
from membudget.leaks.series import MIB, Series
from membudget.trend import NORMAL, floors, kendall_tau, mad, quantile, theil_sen
from membudget.units import format_bytes, format_fraction, human_bytes

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from membudget.core import Sample

_ENOUGH = 12.0  # Hours of history without which nothing is proposed
_MARK = "thresholds."
_RATE = "leaks.minimum_rate"
_AT_A_TIME = 64  # Samples looked through in a stretch

_LOW, _WARNING, _LEAST_WARNING, _MOST_WARNING = 0.70, 0.80, 0.50, 0.88
_ROOM, _GAP, _WORTH_SAYING, _DIFFERS = 1.1, 0.10, 0.05, 1.25
_DEQUE_ROOM, _SPARSE, _RISING = 1.5, 0.25, 0.6


class Proposal(Record):
    """One setting as the history suggests it."""

    setting: str  # The setting's path, or `maxlen of NAME`
    value: float  # A share for marks, MiB an hour for rates, bytes for limits, items for bounds
    reason: str  # Why, with the figures
    key: str = ""  # The key of the settings that does it, or "" where only the program can
    now: str = ""  # What holds today, as a file writes it, or "" where nothing does

    @property
    def told(self) -> str:
        """The value as a settings file writes it: "50%", "640MiB", "0.4MiB/h", "1900"."""
        if self.setting.startswith(_MARK):
            return format_fraction(self.value)
        if self.setting == "limit":
            return format_bytes(round(self.value))
        return f"{self.value:g}MiB/h" if self.setting == _RATE else f"{self.value:.0f}"

    def as_row(self) -> dict[str, str]:
        """All of it as a settings file writes it, for people."""
        return {"setting": self.setting, "to": self.told, "now": self.now, "reason": self.reason}


def proposing(
    samples: Sequence[Sample],
    rules: Rules | None = None,
    *,
    warning: float = _WARNING,
    low: float = _LOW,
    is_growing: bool = False,
    series: Series | None = None,
) -> Generator[None, None, tuple[Proposal, ...]]:
    """Propose settings from a history of at least twelve hours; nothing where it is shorter.

    In slices of about a millisecond: three for a day of five-minute samples with ten parts. Earlier
    processes count for marks and bounds; `warning` and `low` are the marks of now, as shares of the
    limit. What a process holds that leaks is no normal day: no limit and no mark is proposed then.
    """
    if not samples or samples[-1].wall - samples[0].wall < _ENOUGH * 3600:
        return ()
    found = [] if is_growing else [*_marks(samples, warning, low)]
    yield
    series = series if series is not None else Series.of(samples)
    yield
    found += _minimum_rate(series, rules or Rules())
    yield
    return (*found, *(yield from _bounds(samples)))


def _marks(samples: Sequence[Sample], now: float, low: float) -> Iterable[Proposal]:
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
            key="limit",
            now=format_bytes(limit),
        )
        return
    warning = max(_LEAST_WARNING, ceil(share * 100) / 100)
    if abs(warning - now) < _WORTH_SAYING:
        return
    yield Proposal(
        setting=f"{_MARK}warning",
        value=warning,
        reason=f"{seen}; a tenth above that is no normal day",
        key=f"{_MARK}warning",
        now=format_fraction(now),
    )
    yield Proposal(
        setting=f"{_MARK}low",
        value=round(warning - _GAP, 2),
        reason="a tenth of the limit below the warning, so that calming down is no flutter",
        key=f"{_MARK}low",
        now=format_fraction(low),
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
        setting=_RATE,
        value=value,
        key=_RATE,
        now=f"{rules.minimum_rate:g}MiB/h",
        reason=(
            f"the floors of the last day scatter by {noise:.2g} MiB, which over"
            f" {rules.latest:g} h looks like {feigned:.2g} MiB/h;"
            f" {rules.minimum_share:.1%} of the memory an hour is {rules.minimum_share * f[-1]:.2g}"
        ),
    )


def _bounds(samples: Sequence[Sample]) -> Generator[None, None, list[Proposal]]:
    """A bound for each watched deque that has none, or one far above what it ever held."""
    deques = [one for one in samples[-1].parts if "deque" in one.kind.lower()]
    seen: dict[str, list[tuple[float, float]]] = {one.name: [] for one in deques}
    for place, one in enumerate(samples, 1):
        if place % _AT_A_TIME == 0:
            yield
        for part in one.parts if seen else ():
            if part.items is not None and part.name in seen:
                seen[part.name].append((one.wall / 3600, float(part.items)))
    found = []
    for part in deques:
        if part.items is None:
            continue
        peak, most = max(items for _, items in seen[part.name]), part.most_items
        # The next number with two leading figures, at least 16.
        roomy = max(16.0, peak * _DEQUE_ROOM)
        unit = 10 ** max(0, floor(log10(roomy)) - 1)
        value = float(ceil(roomy / unit) * unit)
        if most is None:
            hours, counts = zip(*seen[part.name], strict=True)
            c, f = floors(hours, counts, hours[0], hours[-1], 12)
            reason = f"it has no bound; it never held more than {peak:,.0f} items"
            if kendall_tau(c, f) >= _RISING:
                reason = (
                    f"it has no bound and grows by {theil_sen(c, f):,.0f} items an hour;"
                    f" it held {peak:,.0f} at most so far, which may be all it ever needed"
                )
        elif peak < _SPARSE * most and value < most:
            reason = f"it never held more than {peak:,.0f} of {most:,} items"
        else:
            continue
        found.append(
            Proposal(
                setting=f"maxlen of {part.name}",
                value=value,
                reason=reason,
                # Deques of ours have their bound from the program.
                key=f"components.{part.name}.max_items" if part.kind.startswith("watched") else "",
                now="" if most is None else f"{most}",
            )
        )
    return found
