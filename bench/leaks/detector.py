"""The verdict as a function of a trace so far: `detector(t_h, rss_mb, aux) -> (level, rate)`.

A level needs two looks that agree, so a verdict depends on the looks before. Called with a trace
that goes on from the last call, the function goes on too; called with anything else, it plays the
looks of every half hour up to now first. Both give the same.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from math import isfinite
from typing import TYPE_CHECKING, Any

from membudget.leaks import Rules
from membudget.leaks.series import LONGEST, MIB, Series
from membudget.leaks.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from membudget.leaks import State, Verdict

EVERY = 0.5
"""Hours between two looks."""

RULES = Rules(collect_first=False)
"""A recorded trace cannot be collected."""

_COLUMNS = {
    "malloc": "malloc_mb",
    "blocks": "py_blocks",
    "requests": "requests",
    "explained": "explained_mb",
}


class Watch:
    """One trace being followed: what was seen last, and the state of the verdict."""

    def __init__(self) -> None:
        self.state: State | None = None
        self.verdict: Verdict | None = None
        self.last: tuple[float, float] | None = None
        self.first: tuple[float, float] | None = None

    def goes_on(self, t: Sequence[float], rss: Sequence[float]) -> bool:
        """Whether a trace goes on from what was seen last, at most one look later."""
        if self.last is None or self.first is None:
            return False
        place = bisect_left(t, self.last[0])
        if place >= len(t) or (t[place], rss[place]) != self.last or t[-1] <= self.last[0]:
            return False
        start = bisect_left(t, self.first[0])
        is_same_start = start < len(t) and (t[start], rss[start]) == self.first
        has_slid = t[0] > self.first[0]
        return (has_slid or is_same_start) and t[-1] - self.last[0] <= EVERY * 1.5

    def look(self, series: Series) -> Verdict:
        """Judge once more."""
        self.verdict, self.state = judge(series, RULES, self.state)
        self.first = (series.hours[0], series.rss[0])
        self.last = (series.hours[-1], series.rss[-1])
        return self.verdict


_watch = Watch()


def detector(t_h: Any, rss_mb: Any, aux: Mapping[str, Any] | None = None) -> tuple[int, float]:
    """Judge a trace so far.

    Args:
        t_h: Hours since the process began, rising; lists or arrays.
        rss_mb: Resident MiB at each.
        aux: "malloc_mb" (in use), "py_blocks" (live), "requests" (per sample), "explained_mb" (held
            by parts with a declared bound); each may be missing.

    Returns:
        The confidence, 0 to 3, and the rate in MiB an hour.
    """
    verdict = followed(t_h, rss_mb, aux)
    return (0, 0.0) if verdict is None else (int(verdict.confidence), verdict.rate / MIB)


def followed(t_h: Any, rss_mb: Any, aux: Mapping[str, Any] | None = None) -> Verdict | None:
    """The whole verdict behind `detector`; None where there are no samples."""
    global _watch  # noqa: PLW0603  # the trace that is followed from call to call
    t, rss = _floats(t_h), _floats(rss_mb)
    if not t:
        return None
    columns = {name: _column(aux, given, len(t)) for name, given in _COLUMNS.items()}
    if _watch.goes_on(t, rss):
        return _watch.look(_series(t, rss, columns, t[-1]))
    _watch = Watch()
    first = _watch
    looks = int((t[-1] - t[0] - 1.0) / EVERY)
    for back in range(max(0, looks), -1, -1):
        first.look(_series(t, rss, columns, t[-1] - back * EVERY))
    return first.verdict


def _series(
    t: Sequence[float],
    rss: Sequence[float],
    columns: Mapping[str, list[float] | None],
    until: float,
) -> Series:
    """The samples up to a time, the newest 72 hours of them."""
    last = max(1, bisect_right(t, until + 1e-9))
    begin = bisect_left(t, t[last - 1] - LONGEST)
    parts = {name: None if col is None else col[begin:last] for name, col in columns.items()}
    return Series(hours=t[begin:last], rss=rss[begin:last], **parts)


def _column(aux: Mapping[str, Any] | None, name: str, count: int) -> list[float] | None:
    """A column that is whole, or None."""
    given = None if aux is None else aux.get(name)
    if given is None:
        return None
    values = _floats(given)
    return values if len(values) == count and all(map(isfinite, values)) else None


def _floats(values: Any) -> list[float]:
    tolist = getattr(values, "tolist", None)
    return [float(value) for value in (tolist() if tolist else values)]
