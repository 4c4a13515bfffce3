"""Whether a window shows a leak, and for how long such growth must be watched.

A leak is growth that is kept, steady, on new ground and does not slow down. What the curve of a
leak and the curve of a slow fill share is the beginning; what tells them apart is time. So the
hours that a window must cover are no constant. A line as straight as a ruler is believed after
five hours. The more the quarters of the window differ, the longer it must be; and where memory
grew faster before the window (a fill's tail?) or the load rose within it (memory that follows
load?), longer still.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

from membudget.core import Record
from membudget.leaks.records import Confidence
from membudget.leaks.windows import NEVER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from membudget.leaks.records import Rules
    from membudget.leaks.windows import Channel, Window

MOST_OF_LIFE = 0.7

_MALLOC_SHARE = 0.35
_BLOCKS_SHARE = 0.21
_UNEVEN = 0.4
_HARDLY_SLOWER = 0.9
_NOT_SLOWER = 0.95
_LOAD_TAU = 0.4
_STEADY_UNDER_LOAD = 0.3
_CLEARLY = 3.0
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
    ends = [window.length for window in found if has_stopped(window, rules)]
    level, longest, score = Confidence.NONE, None, 0.0
    failed = []
    for window in found:
        lack = lacking(window, rules)
        if not lack and any(window.length / 3 <= end < window.length for end in ends):
            lack = "it has stopped since"
        failed.append(lack)
        if lack:
            continue
        longest = window
        level = max(level, _level(window, rules))
        score = max(score, 1 - 0.5 ** (window.length / needed(window, rules)))
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


def has_stopped(window: Window, rules: Rules) -> bool:
    """Whether a window clearly shows the end of growth, whatever a longer one still shows."""
    is_bent = window.bend <= rules.stopped and window.growth > 2 * window.noise
    return is_bent and window.late < 0.3 * window.early


def has_support(window: Window) -> bool:
    """Whether a heap channel shows the growth, or none could."""
    if window.malloc is None and window.blocks is None:
        return True
    return bool(_supporting(window))


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
    behind that the growth fills next, as a census does every hour; what is in use does not.
    """
    heap = [_uneven_slopes(channel) for channel in _supporting(window)]
    return min([_uneven_slopes(window), *heap])


def _uneven_slopes(one: Window | Channel) -> float:
    """How much the slopes differ; more where the second half is hardly slower than the first."""
    if one.late < _HARDLY_SLOWER * one.early:
        return max(one.unevenness, _UNEVEN)
    return one.unevenness


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


def _level(window: Window, rules: Rules) -> Confidence:
    hours = needed(window, rules)
    length = window.length * 1.001 + 0.01  # Samples are seldom taken on the full hour.
    if length < hours:
        return Confidence.LOW
    return Confidence.HIGH if length >= max(rules.high, hours) else Confidence.MEDIUM
