"""Where an axis has its ticks, and what they say."""

from __future__ import annotations

import time
from math import ceil, floor, log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_UNITS = (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1))
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_STEPS = (
    *(1.0, 2.0, 5.0, 10.0, 30.0),
    *(_MINUTE * count for count in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * count for count in (1, 2, 3, 6, 12)),
    *(_DAY * count for count in (1, 2, 7, 14, 30, 90, 365)),
)
Tick = tuple[float, str]


def nice_step(span: float, most: int) -> float:
    """The smallest of 1, 2, 5 times a power of ten that cuts a span into at most so many parts."""
    if span <= 0:
        return 1.0
    rough = span / max(1, most)
    power = 10.0 ** floor(log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * (1 - 1e-9))


def number_ticks(low: float, high: float, most: int = 5) -> list[Tick]:
    """Ticks for counts: 0, 500, 1,000; with k and M where they get long."""
    return _numbers(low, high, nice_step(high - low, most))


def whole_ticks(low: float, high: float, most: int = 5) -> list[Tick]:
    """Ticks for what comes in whole pieces only."""
    return _numbers(low, high, max(1.0, nice_step(high - low, most)))


def _numbers(low: float, high: float, step: float) -> list[Tick]:
    values = _multiples(low, high, step)
    top = max((abs(one) for one in values), default=0.0)
    scale, letter = next(
        ((scale, letter) for scale, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")) if top >= scale),
        (1.0, ""),
    )
    scale = 1e3 if letter == "k" else scale
    digits = max(0, -floor(log10(step / scale) + 1e-9))
    return [(one, f"{one / scale:,.{digits}f}{letter}" if one else "0") for one in values]


def share_ticks(low: float, high: float, most: int = 5) -> list[Tick]:
    """Ticks for shares: 0 %, 20 %."""
    step = nice_step((high - low) * 100, most)
    digits = max(0, -floor(log10(step) + 1e-9))
    return [(one / 100, f"{one:.{digits}f} %") for one in _multiples(low * 100, high * 100, step)]


def byte_ticks(low: float, high: float, most: int = 5) -> list[Tick]:
    """Ticks for bytes, in one unit: 0, 100 MiB, 200 MiB."""
    unit, scale = next((one for one in _UNITS if max(abs(high), abs(low)) >= one[1]), _UNITS[-1])
    step = nice_step((high - low) / scale, most)
    digits = max(0, -floor(log10(step) + 1e-9))
    return [
        (one * scale, f"{one:.{digits}f} {unit}" if one else "0")
        for one in _multiples(low / scale, high / scale, step)
    ]


def time_ticks(begin: float, end: float, *, is_dated: bool, most: int = 6) -> list[Tick]:
    """Ticks for time: on the local clock's round times, or as time since the recording began."""
    longest = _STEPS[-1] * max(1, ceil((end - begin) / _STEPS[-1] / most))
    step = next((one for one in _STEPS if (end - begin) / one <= most), longest)
    if step < _MINUTE and is_dated:  # Seconds make long labels.
        most = max(2, most * 2 // 3)
        step = next((one for one in _STEPS if (end - begin) / one <= most), longest)
    if not is_dated:
        return [(one, _since(one, step)) for one in _multiples(begin, end, step)]
    local = time.localtime(begin)
    shift = local.tm_gmtoff
    return [
        (one - shift, _clock(one - shift, step))
        for one in _multiples(begin + shift, end + shift, step)
    ]


def ticks_of(unit: str) -> Callable[[float, float, int], list[Tick]]:
    """The ticks of an axis by its unit: "bytes", "share", "count" or "whole"."""
    return {"bytes": byte_ticks, "share": share_ticks, "whole": whole_ticks}.get(unit, number_ticks)


def _multiples(low: float, high: float, step: float) -> list[float]:
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [count * step for count in range(first, last + 1)]


def _since(seconds: float, step: float) -> str:
    if step < _MINUTE:
        return f"{seconds:.0f} s"
    if step < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.0f} h"


def _clock(wall: float, step: float) -> str:
    local = time.localtime(wall)
    if step >= _DAY or (local.tm_hour == local.tm_min == local.tm_sec == 0):
        return time.strftime("%d %b", local)
    return time.strftime("%H:%M:%S" if step < _MINUTE else "%H:%M", local)
