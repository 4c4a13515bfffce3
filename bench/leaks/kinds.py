"""Whether the kind of growth is told rightly: by label, after the first 24 hours of each trace.

What the process itself knows, and a trace does not, is added from the label: whether automatic
collection was off.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from detector import RULES

from membudget.leaks import Kind, State
from membudget.leaks.series import Series
from membudget.leaks.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Iterable

    from corpus import Trace

    from membudget.leaks import Verdict

_RISEN = (Kind.LEVELLING, Kind.STEP)
"""Cycles, batches and noise rise once to what they need, by a slope or a step, and stay."""

_SWINGS = ("diurnal", "periodic_batch", "noisy")
"""What neither leaks nor fills: where its floor has risen, once to what it needs, else nothing."""

EXPECTED: dict[str, tuple[Kind, ...]] = {
    "cycles_gc_off": (Kind.GARBAGE,),
    "c_malloc": (Kind.NATIVE,),
    "warmup_plateau": (Kind.LEVELLING,),
    "lru_fill": (Kind.FILLING,),
    "sawtooth_gc": (Kind.GARBAGE, Kind.LEVELLING),
    "fragmentation": (Kind.LEVELLING, Kind.SLACK),
    "one_step": (Kind.STEP,),
    "highwater_records": (Kind.STEP,),
    "pool_growth_to_cap": (Kind.FILLING,),
    "flat": (Kind.NONE,),
}
FULL = (Kind.LEVELLING, Kind.NONE)
"""A cache that was full before the end has levelled off."""

_GC_OFF = ("cycles_gc_off", "sawtooth_gc")
_HOURS = 24.0


_FILLS = ("lru_fill", "pool_growth_to_cap")


def expected(trace: Trace) -> tuple[Kind, ...]:
    """The kinds that are right for a trace."""
    kind = trace.label["kind"]
    if trace.is_leak:
        return EXPECTED.get(kind, (Kind.PYTHON,))
    if kind in _FILLS and _is_full(trace):
        return FULL
    if kind in _SWINGS:
        return _RISEN if _has_risen(trace) else (Kind.NONE,)
    return EXPECTED.get(kind, (Kind.NONE,))


def _has_risen(trace: Trace) -> bool:
    """Whether the lowest of the last twelve of 24 hours lies above that of the third quarter hour.

    By what is worth a word, 2 % and 2 MiB at least; bounded parts aside. In fewer hours a daily
    cycle may have been high all the time.
    """
    rest = [held - known for held, known in zip(trace.rss, trace.aux["explained_mb"], strict=True)]
    cuts = [bisect_right(trace.t, hour) for hour in (0.5, 0.75, _HOURS / 2, _HOURS)]
    before, after = min(rest[cuts[0] : cuts[1]]), min(rest[cuts[2] : cuts[3]])
    return after - before >= max(2.0, 0.02 * before)


def _is_full(trace: Trace) -> bool:
    """Whether nothing was taken in over the last six of the first 24 hours."""
    held = trace.aux["explained_mb"]
    last = bisect_right(trace.t, _HOURS) - 1
    before = bisect_right(trace.t, _HOURS - 6) - 1
    return held[last] - held[before] < 1.0


def judged(trace: Trace) -> Verdict:
    """The verdict after the first 24 hours, looked at every half hour."""
    state: State | None = None
    for half in range(2, round(_HOURS * 2) + 1):
        last = bisect_right(trace.t, half / 2 + 1e-9)
        series = Series(
            hours=trace.t[:last],
            rss=trace.rss[:last],
            malloc=trace.aux["malloc_mb"][:last],
            blocks=trace.aux["py_blocks"][:last],
            requests=trace.aux["requests"][:last],
            explained=trace.aux["explained_mb"][:last],
            collecting=False if trace.label["kind"] in _GC_OFF else None,
        )
        verdict, state = judge(series, RULES, state)
    return verdict


def confusion(traces: Iterable[Trace]) -> tuple[dict[str, dict[Kind, int]], int, int, list[float]]:
    """Kinds told by label, how many were right, of how many, and hours the onsets were off."""
    table: dict[str, dict[Kind, int]] = {}
    right = total = 0
    off = []
    for trace in traces:
        verdict = judged(trace)
        row = table.setdefault(f"{'leak' if trace.is_leak else 'ok'} {trace.label['kind']}", {})
        row[verdict.kind] = row.get(verdict.kind, 0) + 1
        right += verdict.kind in expected(trace)
        total += 1
        if trace.is_leak and verdict.onset is not None:
            off.append(abs(verdict.onset / 3600 - trace.onset))
    return table, right, total, off
