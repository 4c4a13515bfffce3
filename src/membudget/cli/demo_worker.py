"""The demo's worker: fills caches with records that grow, with a budget or without.

Run as `python -m membudget.cli.demo_worker budget|plain LIMIT SECONDS`; prints one JSON object a
second.
"""

from __future__ import annotations

import json
import random
import sys
import time
from typing import Any

from membudget import start
from membudget.core import Severity
from membudget.sinks.log import merged, stderr_sink

_KEYS = 2_000_000
_GROWS_OVER = 0.6
_LEAK_A_SECOND = 512 << 10
_BATCH = 500


def main(kind: str, limit: int, seconds: float) -> None:
    """Work until the time is over."""
    if kind == "plain":
        _fill_dict(time.monotonic() + seconds)
        return
    with start(limit, sinks=[merged(stderr_sink(least=Severity.WARNING))]) as budget:
        prices = budget.cache("prices", ttl=60.0)
        began = time.monotonic()
        next_line, inserted, leaked = began + 1, 0, []
        while (now := time.monotonic()) < began + seconds:
            part = (now - began) / seconds
            for _ in range(_BATCH):
                key = _key()
                if prices.get(key) is None:
                    record = _record(key, part)
                    prices.set(key, record)
                    inserted += len(record["payload"])
            if now >= next_line:
                leaked.append(bytes(_LEAK_A_SECOND))
                next_line += 1
                _print(round(now - began), budget, prices, inserted)
        _print(seconds, budget, prices, inserted)


def _fill_dict(until: float) -> None:
    held = {}
    while time.monotonic() < until:
        for _ in range(_BATCH):
            key = _key()
            held[key] = _record(key, 0.0)


def _key() -> str:
    # Skewed as real keys are: few are asked for often.
    return f"symbol-{int(_KEYS * random.random() ** 6)}"  # noqa: S311  # no secret


def _record(key: str, part: float) -> dict[str, Any]:
    size = 1_000 if part < _GROWS_OVER else 10_000
    return {"key": key, "price": len(key) * 1.5, "payload": key.ljust(size, ".")}


def _print(seconds: float, budget: Any, prices: Any, inserted: int) -> None:
    stats, figures = prices.stats(), budget.stats()
    line = {
        "seconds": seconds,
        "used": figures.pressure.used,
        "level": figures.pressure.level.name,
        "peak": figures.peak,
        "entries": stats.entries,
        "hit_rate": round(stats.hit_rate, 4),
        "inserted": inserted,
        "evicted": stats.bytes_evicted,
    }
    print(json.dumps(line), flush=True)  # noqa: T201  # its one way to speak to the demo


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
