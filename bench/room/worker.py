"""One worker: asks its cache for keys and tells twice a second how that went.

    python worker.py '{"number": 1, "most": null, "roles": [["hot", 20.0]]}'

`most` bounds the cache in bytes; without it the cache lives on what a budget leaves. Each role
lasts so many seconds. A line of JSON each half second; one that is killed leaves what it told.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from typing import Any

from loads import ROLES, VALUE, batches

import membudget

_TELL_EVERY = 0.5
_FILLING = os.urandom(VALUE - 4)
_PAGE = os.sysconf("SC_PAGE_SIZE")


def main(spec: dict[str, Any]) -> None:
    """Play the roles, one after the other."""
    cache: Any
    if spec["most"] is None:
        cache = membudget.start().cache("values")
    else:
        cache = membudget.Cache("values", max_bytes=spec["most"])
    random_ = random.Random(spec["number"])  # noqa: S311  # to be the same again
    ends = next_ = told = time.monotonic()
    asks = hits = 0
    for role, seconds in spec["roles"]:
        ends += seconds
        _tell(role, asks, hits, cache)
        for keys in batches(role, random_):
            now = time.monotonic()
            if now >= ends:
                break
            for key in keys:
                if cache.get(key) is None:
                    cache.set(key, _FILLING + key.to_bytes(4))
                else:
                    hits += 1
            asks += len(keys)
            if now - told >= _TELL_EVERY:
                told = now
                _tell(role, asks, hits, cache)
            # Who is late, as one that was stopped, does not make up for it.
            next_ = max(next_ + ROLES[role].every, now)
            time.sleep(max(0.0, next_ - time.monotonic()))
        _tell(role, asks, hits, cache)


def _tell(role: str, asks: int, hits: int, cache: Any) -> None:
    with open("/proc/self/statm") as file:
        _, resident, shared, *_ = map(int, file.read().split())
    told = {
        "at": time.monotonic(),
        "role": role,
        "asks": asks,
        "hits": hits,
        "held": cache.held_bytes(),
        "rss": resident * _PAGE,
        "own": (resident - shared) * _PAGE,
    }
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
