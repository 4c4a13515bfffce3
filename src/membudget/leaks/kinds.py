"""What a leak is: its kind by the channels that show it.

Live blocks of Python's allocator that grow along speak for Python's objects, and the size of them
tells little: a leak of large buffers shows only in what holds them, a key or a slot each. But a
leak in C leaves a few blocks behind as well, and any program's blocks grow a little by themselves,
for a while or with the load. So blocks that are few against the growth have to rise in step with
it; and where that is not enough to tell, a look at what Python can reach is (`settled`).
"""

from __future__ import annotations

from math import fsum, isnan, sqrt
from typing import TYPE_CHECKING

from membudget.leaks.evidence import has_support
from membudget.leaks.records import Kind
from membudget.leaks.windows import FINE
from membudget.trend import floors, increments, kendall_tau, theil_sen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from membudget.leaks.records import Rules, State
    from membudget.leaks.series import Series
    from membudget.leaks.windows import Channel, Columns, Window

_HALF = 0.5
_OWN = 0.05
"""Share of the growth in live blocks from which it is Python's whatever else is known: a block for
every 1.3 KiB. Recorded: 0.1 to 1.6 where objects are small, 0.03, 0.018 and 0.0006 for arrays,
threads and sessions of Python, 0.016 and 0.007 for two leaks in C."""

_FEW_BLOCKS = 0.0003
"""Share from which live blocks may show it at all: one for every 210 KiB."""

_SEEN, _SURELY = 0.6, 0.9
"""Tau of the blocks, where they are many and where they are few."""

_GOES_ON = 0.5
"""Least slope of the blocks' second half over that of the first, in the memory's own: what a module
loaded, or a cache that fills up, has left behind does not go on as a leak does."""

_VARIES, _TOO_NOISY = 0.25, 3.0
"""Deviation of the memory's increments over their mean from which it can be told whether the blocks
go along; and how many times that the blocks' own may be."""

_ALONG = 0.2
"""Kendall's tau of the two: leaks of Python with changing load had 0.3 to 0.95, leaks in C beside
blocks that grew by themselves -0.26 to 0.12."""

_REALLY = 0.4
"""The same of the memory and malloc, from which what varies is no noise."""

_HELD, _NOT_HELD = 0.5, 0.15
"""Share of the growth in what Python can reach from which it is Python's, and up to which not."""


def leak_kind(own: Columns, window: Window, state: State, rules: Rules) -> tuple[Kind, bool]:
    """The kind of a leak, by who shows it in the window, and whether that is sure.

    Garbage is growth that a collection would free. So it is told only where nothing speaks against
    that: no collection before the accusation has freed too little, and no full one has run amid the
    growth, which what stayed has then outlived. Nor is a low share freed a sign of it, as one might
    read "low efficiency": it says that hardly anything waited. What speaks for it is that automatic
    collection is off, or that the last full collection freed much (`Rules.gc_efficiency`) and was
    long ago, and live blocks that grow along: garbage is made of objects.
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
    """The kind, where those who looked at what Python can reach know better than the counters.

    Args:
        kind: What the counters say.
        reached: Share of the growth that what Python can reach explains, or None.
        is_sure: Whether the counters are sure.
    """
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
    known = [
        (hour, share)
        for hour, share in zip(series.hours, series.gc_efficiency or (), strict=False)
        if not isnan(share)
    ]
    if known and known[-1][0] > window.begin + _HALF * window.length:
        return False
    return series.collecting is False or bool(known and known[-1][1] >= rules.gc_efficiency)


def gained(series: Series, column: Sequence[float] | None, begin: float) -> float:
    """MiB by which a column's floor grew since an hour."""
    if not column:
        return 0.0
    t, y = floors(series.hours, column, begin, series.hours[-1], 12)
    return theil_sen(t, y) * (series.hours[-1] - begin)
