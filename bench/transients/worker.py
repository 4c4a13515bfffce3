"""A program with one cache and work that needs memory for a moment. Prints its figures as JSON.

    worker.py MODE LOAD SECONDS FIRST

MODE is "membudget", "brake" (membudget with the brake) or the cache's fixed bound in MiB. LOAD is a
size in MB for each second, or one of `LOADS`; FIRST is when it comes for the first time.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np

import membudget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_VALUE, _KEYS = 20_000, 40_000
_LASTS, _WATCHED = 0.15, 0.3  # Seconds of a load, and after it in which the cache is looked at.


def _growing() -> Iterator[float]:
    size = 20
    while True:
        yield size
        size = min(160, size + 5)


def _irregular(draw: random.Random) -> Iterator[float]:
    while True:
        yield draw.uniform(20, 140)


LOADS = ("irregular", "two", "growing")


def main() -> None:
    """Serve for so many seconds."""
    mode, load, seconds, first = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
    cache = cache_of(mode)
    draw, pauses = random.Random(1), random.Random(2)  # noqa: S311  # a load, no secret
    sizes = _growing() if load == "growing" else _irregular(pauses)
    shares: list[float] = []
    done = refused = hits = asked = held = 0
    lowest, watched_until = 0, 0.0
    began = time.monotonic()
    due, ends = began + first, began + seconds
    while (now := time.monotonic()) < ends:
        key = int(draw.paretovariate(0.4)) % _KEYS
        asked += 1
        if cache.get(key) is not None:
            hits += 1
        else:
            cache.set(key, os.urandom(_VALUE))
        if now < watched_until:
            lowest = min(lowest, cache.held_bytes())
        elif held:
            shares.append((held - lowest) / held)
            held = 0
        if now > due:
            held = lowest = cache.held_bytes()
            size = next(sizes) if load in ("growing", "irregular") else 60 if load == "two" else 0
            ended = _beside(size) if load == "two" else _alone(size or float(load))
            done, refused = done + ended, refused + (not ended)
            print(done, flush=True)  # So that it is known which load it died of.
            pause = pauses.uniform(0.1, 2.0) if load == "irregular" else 1.0
            now = time.monotonic()
            due, watched_until = now + pause, now + min(_WATCHED, pause)
            lowest = min(lowest, cache.held_bytes())
    late = shares[len(shares) // 3 :]
    print(
        json.dumps(
            {
                "loads": done,
                "refused": refused,
                "hits": 100 * hits / max(1, asked),
                "holds": cache.held_bytes(),
                "emptied": 100 * sum(late) / max(1, len(late)),
            }
        )
    )


def cache_of(mode: str) -> membudget.Cache[Any, Any]:
    """The cache, and the budget where there is one."""
    if mode in ("membudget", "brake"):
        return membudget.start(brake=mode == "brake").cache("values")
    return membudget.Cache("values", max_bytes=f"{mode}MiB")


def _alone(size: float) -> bool:
    try:
        frame = np.ones(int(size * 125_000))
        time.sleep(_LASTS)
        del frame
    except MemoryError:
        return False
    return True


def _beside(size: float) -> bool:
    ended: list[bool] = []
    work: Callable[[], None] = lambda: ended.append(_alone(size))  # noqa: E731
    threads = [threading.Thread(target=work) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return all(ended)


if __name__ == "__main__":
    main()
