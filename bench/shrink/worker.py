"""One cell's process: churns one cache, has it let go of half, and says what came of it.

Run as `python worker.py churn CONTESTANT KIND LIMIT TRUE_BYTES`, or as `python worker.py true KIND`
to find what a key and a value of that kind take in a dictionary.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from typing import TYPE_CHECKING

from contestants import CONTESTANTS
from loads import KINDS, key_of, requests
from memory import resident, settled
from watching import Watcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contestants import Made

_TRUE_BYTES = 40 << 20
_KEYS = 2.5
_CHURN = 8


def main(what: str, *rest: str) -> None:
    """Measure one cell and print it as one line of JSON."""
    if what == "true":
        found = _true(rest[0])
    else:
        contestant, kind, limit, true = rest
        found = _churned(contestant, kind, int(limit), float(true))
    print(json.dumps(found), flush=True)
    os._exit(0)  # Taking all of it apart one by one is nobody's figure.


def _true(kind: str) -> dict[str, float]:
    make, held = KINDS[kind], {}
    before = settled()
    for number in itertools.count():
        held[key_of(number)] = make(number)
        if number % 100 == 0 and resident() - before > _TRUE_BYTES:
            break
    return {"bytes": (settled() - before) / len(held)}


def _churned(contestant: str, kind: str, limit: int, true: float) -> dict[str, float]:
    entries = int(limit / true)
    drawn = requests(int(_KEYS * entries), (_CHURN + 1) * entries)
    churn, upcoming = drawn[: _CHURN * entries], drawn[_CHURN * entries :]
    made = CONTESTANTS[contestant].make(limit, entries)
    make, get, put = KINDS[kind], made.get, made.put
    empty = settled()
    for number in churn:
        key = key_of(number)
        if get(key) is None:
            put(key, make(number))
    hits = _hit_rate(made, upcoming)
    full, held = settled(), made.count()
    with Watcher() as watcher:
        began = time.perf_counter()
        said = made.halve()
        took = time.perf_counter() - began
    after = resident()
    freed = (full - empty) * (held - made.count()) / held  # What those entries took in memory.
    with Watcher() as control:
        time.sleep(max(took, 0.5))
    return {
        "full MB": (full - empty) / 1e6,
        "entries": held,
        "freed MB": freed / 1e6,
        "share back": (full - after) / max(1.0, freed),
        "hits before": hits,
        "hits after": _hit_rate(made, upcoming),
        "ms": took * 1e3,
        "pause": watcher.longest_ms,
        "control": control.longest_ms,
        "share back after trim": (full - settled()) / max(1.0, freed),
        **{name: figure / 1e6 for name, figure in said.items()},
    }


def _hit_rate(made: Made, upcoming: Sequence[int]) -> float:
    """Of the next requests, without putting in what they miss."""
    held = set(made.keys())
    return sum(key_of(number) in held for number in upcoming) / len(upcoming)


if __name__ == "__main__":
    main(*sys.argv[1:])
