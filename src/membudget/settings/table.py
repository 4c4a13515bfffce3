"""Every setting: its key, how its text is read, its default, and what it is.

One row a setting; everything else (environment names, checks, explanations) follows from it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from membudget.core import PART_MARKS, Record
from membudget.errors import ConfigError
from membudget.units import (
    as_bytes,
    as_seconds,
    format_fraction,
    parse_fraction,
    parse_mark,
)

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIX = "MEMBUDGET_"


class Setting(Record):
    """One setting.

    Attributes:
        key: Its name with sections, as in "thresholds.low".
        default: The value where nobody sets it.
        read: Checks it and reads it from text, where a number without its unit is refused; as a
            Python value a bare number is bytes or seconds.
        meaning: What it is, in a few words.
    """

    key: str
    default: Any
    read: Callable[..., Any]
    meaning: str

    @property
    def variable(self) -> str:
        """Its environment variable: MEMBUDGET_THRESHOLDS_LOW."""
        return PREFIX + self.key.replace(".", "_").upper()


_BARE_SHARE = re.compile(r"0?\.\d+|1\.0*")


def _limit(value: Any, *, name: str) -> int | None:
    if value is None or value == "auto":
        return None
    return as_bytes(value, name=name)


def _mark(value: Any, *, name: str) -> float | int:
    if isinstance(value, str):
        if _BARE_SHARE.fullmatch(value.strip()):
            share = format_fraction(float(value))
            raise ConfigError(f'{name} {value!r} has no unit: write a share as "{share}"')
        return parse_mark(value, name=name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f'{name} {value!r} is not a mark: give a share (0.8, "80%") or bytes')
    if value <= 0 or (isinstance(value, float) and value > 1):
        rule = 'a share goes above 0 and up to 1.0, bytes are an int above 0, or write "80%"'
        raise ConfigError(f"{name} {value!r} is out of range: {rule}")
    return value


def _share(value: Any, *, name: str) -> float:
    if isinstance(value, str):
        return parse_fraction(value, name=name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1:
        raise ConfigError(f'{name} {value!r} is not a share: give 0.05 or "5%"')
    return float(value)


def _interval(value: Any, *, name: str) -> float | None:
    return None if value in (None, "adaptive") else as_seconds(value, name=name)


def _switch(value: Any, *, name: str) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word not in _SWITCH:
        raise ConfigError(f"{name} {value!r} is not a switch: use true or false")
    return _SWITCH[word]


def _count(least: int) -> Callable[..., int]:
    def parse(value: Any, *, name: str) -> int:
        number = value
        if isinstance(value, str) and value.strip().isdecimal():
            number = int(value)
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise ConfigError(f"{name} {value!r} is not a count: give a whole number >= {least}")
        return number

    return parse


_SWITCH = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def _row(key: str, default: Any, read: Callable[..., Any], meaning: str) -> tuple[str, Setting]:
    return key, Setting(key=key, default=default, read=read, meaning=meaning)


_PARTS = ("rss", "native")

SETTINGS: dict[str, Setting] = dict(
    (
        _row("limit", None, _limit, "bytes to keep within; auto finds them"),
        _row("thresholds.low", 0.70, _mark, "where a cleanup is content"),
        _row("thresholds.warning", 0.80, _mark, "WARNING begins"),
        _row("thresholds.critical", 0.90, _mark, "CRITICAL begins"),
        _row("thresholds.emergency", 0.95, _mark, "EMERGENCY begins"),
        _row("thresholds.shutdown", 0.98, _mark, "protection attempts begin"),
        *(
            _row(f"thresholds.{part}.{mark}", None, _mark, f"{mark.upper()} by {part} alone")
            for part in _PARTS
            for mark in PART_MARKS
        ),
        _row("monitoring.check_interval", None, _interval, "between two readings; adaptive"),
        _row("monitoring.snapshot_interval", 300.0, as_seconds, "between two samples kept"),
        _row("monitoring.history_size", 288, _count(1), "samples kept"),
        _row("monitoring.pressure_window", 10, _count(2), "readings over which growth is taken"),
        _row("caches.cleanup_interval", 600.0, as_seconds, "between two sweeps of the expired"),
        _row("cleanup.auto", True, _switch, "reclaim, or only watch and tell"),
        _row("cleanup.settle", 5.0, as_seconds, "for freed memory to show"),
        _row("cleanup.cooldown", 60.0, as_seconds, "between two full collections"),
        _row("cleanup.gc_time_share", 0.05, _share, "of the time for full collections"),
        _row("cleanup.gc_above", 500 << 20, as_bytes, "bytes from which to collect unasked"),
        _row("emergency.protection", True, _switch, "try everything at the shutdown mark"),
        _row("emergency.max_attempts", 3, _count(1), "attempts before the last resort"),
        _row("emergency.cooldown", 60.0, as_seconds, "between two attempts"),
        _row("emergency.restart_after", 300.0, as_seconds, "at NORMAL until attempts count anew"),
        _row("emergency.dump", True, _switch, "write down the state at the last resort"),
        _row("emergency.exit", False, _switch, "end the process in good order at the last resort"),
    )
)
