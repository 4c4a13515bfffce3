"""One cell's process: fills one cache with one kind of values, and says how memory grew.

Run as `python worker.py fill CONTESTANT KIND BUDGET COUNT SECONDS`, or as `python worker.py true
KIND` to find what a value of that kind takes when nothing but a list holds it.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import sys
import time

from contestants import CONTESTANTS
from memory import resident, settled
from values import KINDS

_WARM = 300
_TRUE_BYTES = 40 << 20


def main(what: str, *rest: str) -> None:
    """Measure one cell and print it as one line of JSON."""
    if what == "true":
        found = _true(rest[0])
    else:
        contestant, kind, budget, count, seconds = rest
        found = _fill(contestant, kind, int(budget), int(count), float(seconds))
    print(json.dumps(found), flush=True)
    os._exit(0)  # Taking all of it apart one by one is nobody's figure.


def _true(kind: str) -> dict[str, float]:
    """Bytes a value, keys and the list of them off."""
    values = KINDS[kind]()
    keep = [next(values) for _ in range(_WARM)]  # Also makes what the maker holds.
    del keep
    held: list[object] = [None] * (_TRUE_BYTES // 50)
    before, count = settled(), 0
    while resident() - before < _TRUE_BYTES:
        for one in itertools.islice(values, 100):
            if one.then is not None:
                one.then()
            held[count] = one.value
            count += 1
    return {"bytes": (settled() - before) / count}


def _fill(
    contestant: str, kind: str, budget: int, count: int, seconds: float
) -> dict[str, float | str]:
    """Set so many values, or as many as time allows; only the time in sets is taken."""
    make = CONTESTANTS[contestant].make
    values = KINDS[kind]()
    warm, _ = make(budget)
    for one in itertools.islice(values, _WARM):
        try:
            warm(one.key, one.value)
        except Exception as error:  # noqa: BLE001  # Whatever a sizer raises is its answer.
            return {"raised": f"{type(error).__name__}: {error}"}
    del warm, one
    before = settled()
    put, entries = make(budget)
    now, taken, done = time.perf_counter, 0.0, 0
    until = now() + seconds
    for key, value, then in itertools.islice(values, count):
        began = now()
        put(key, value)
        ended = now()
        taken += ended - began
        if then is not None:
            then()
        done += 1
        if ended > until:
            break
    del key, value, then
    gc.collect()
    grown = resident() - before
    return {
        "growth": grown / budget,
        "us": taken / done * 1e6,
        "seconds": taken,
        "done": done / count,
        "entries": entries(),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
