"""What expiring a million entries and clearing four million take, and do to another thread."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from contestants import CONTESTANTS
from loops import writing
from memory import resident, settled
from watching import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from contestants import Made

_MIB = 1 << 20
_TRIED = 50_000
_FIRST = 1_000_000
_LONG = 3600.0


def expiring(contestant: str, entries: int) -> dict[str, float]:
    """Fill, let all of it expire, then sweep."""
    chosen = CONTESTANTS[contestant]
    trial = chosen.make(_TRIED, _FIRST, _value(0), _LONG)
    began = time.perf_counter()
    _fill(chosen.write, trial, _TRIED)
    took = (time.perf_counter() - began) * entries / _TRIED
    trial.clear()
    ttl = max(2.0, 2 * took)  # Nothing expires while it fills.
    made = chosen.make(entries, _FIRST, _value(0), ttl)
    _fill(chosen.write, made, entries)
    filled, held = settled(), made.count()
    if made.expire is None:
        raise ValueError(f"{contestant} has nothing that frees what has expired")
    if not made.sweeps_itself:
        time.sleep(ttl + 0.1)
    return {"held": held, "full MB": filled / _MIB, **_watched(made.expire, made)}


def clearing(contestant: str, entries: int) -> dict[str, float]:
    """Fill, then clear."""
    chosen = CONTESTANTS[contestant]
    made = chosen.make(entries, _FIRST, _value(0), _LONG)
    _fill(chosen.write, made, entries)
    filled, held = settled(), made.count()
    return {"held": held, "full MB": filled / _MIB, **_watched(made.clear, made)}


def _watched(act: Callable[[], object], made: Made) -> dict[str, float]:
    """The pauses another thread saw, and those it saw for as long before while nothing ran."""
    with Watcher() as watcher:
        began, used = time.perf_counter(), time.process_time()
        act()
        took, used = time.perf_counter() - began, time.process_time() - used
    after = resident()
    with Watcher() as control:
        time.sleep(max(took, 0.5))
    return {
        "cpu ms": used * 1e3,
        "took ms": took * 1e3,
        "pause": watcher.longest_ms,
        "control": control.longest_ms,
        "left": made.count(),
        "after MB": after / _MIB,
    }


def _fill(write: str | None, made: Made, entries: int) -> None:
    """Keys and values that only the cache holds."""
    if write is None:
        raise ValueError("a function's cache is not filled this way")
    keys = range(_FIRST, _FIRST + entries)
    writing(write, made.names)(keys, map(_value, keys))


def _value(number: int) -> bytes:
    return b"%032d" % number
