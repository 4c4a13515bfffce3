"""A user's program, checked by mypy and never run: the public surface as people write it."""

from __future__ import annotations

import membudget
from membudget import Budget, Cache, Level, Pressure

budget: Budget = membudget.start("400MiB", thresholds={"warning": "85%"}, cleanup={"settle": 2})
prices: Cache[str, float] = membudget.Cache("prices", max_bytes="50MiB", ttl="1h")
named = Cache[str, float]("named", idle="5m")
half: float = named["EURUSD"] / 2
loose = Cache("loose")
loose[1] = loose["a"] = object()
books: Cache[str, bytes] = budget.cache("books", max_bytes="50MiB", ttl="1h")
book: bytes | None = books.get("EURUSD")
on_disk: int = budget.cache("spilled", spill="/var/cache/app").spill_stats().entries
prices.set("EURUSD", 1.08, ttl="5m")
price: float | None = prices.get("EURUSD")
sure: float = prices.get("EURUSD", 0.0)


def flush(target: int) -> int:
    """Let go of something."""
    return target


budget.callback("flush", flush, rung="gentle")


def load() -> bytes:
    """Ask before a big load."""
    with budget.admit("200MiB", timeout=2):
        return b""


async def load_async() -> bytes:
    """The same from a coroutine."""
    async with budget.admit("200MiB", timeout="2s"):
        return b""


def is_pressed(pressure: Pressure) -> bool:
    """Levels are ordered."""
    return pressure.level >= Level.WARNING and pressure.fraction > 0.8
