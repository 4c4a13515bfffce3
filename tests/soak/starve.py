"""Memory that runs out in the middle of any call: MemoryError comes, and the table is whole.

    PYTHONPATH=src python tests/soak/starve.py --steps 200000

Two ways: the interpreter's allocators fail at the first, second, third ... request of a call, by
its own test module; and the process may not grow, so that the system gives no large blocks.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import random
import resource
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakes import FakeClock
from membudget import Cache
from membudget.cache.table import IS_COMPILED
from membudget.registry import Registry
from soak.rig import Span, check_whole, drain, is_sanitized, policies_of, run

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

MOST_REQUESTS = 60
"""Requests of one call that fail in turn, at most."""

ROUND = 400
"""Steps on one cache."""

ROOM = 24 << 20
"""Bytes that the process may grow by in the second way."""


def fails_at() -> tuple[Callable[[int, int], None], Callable[[], None]] | None:
    """How to have requests fail, and how to end it; None where this interpreter cannot."""
    try:
        module: Any = import_module("_testcapi")
    except ImportError:
        return None
    return module.set_nomemory, module.remove_mem_hooks


def calls_on(cache: Any, chance: random.Random) -> Callable[[], object]:
    """A call with its arguments made beforehand.

    Calls of the table, not of what is built on it: a function made on the way, as in `reclaim`,
    crashes the interpreters from 3.12 on by itself where a request fails.
    """
    key: Any = chance.randrange(300)
    key = chance.choice([key, f"key {key}", (key, "pair")])
    value = chance.choice([key, [key, [1.5]], {"a": [key]}, b"x" * chance.randrange(900)])
    many = [(number, [number]) for number in range(chance.randrange(20))]
    ttl = chance.choice([None, None, 0.5, 30])
    most = chance.choice([10, 100, 200])
    calls: list[tuple[int, Callable[[], object]]] = [
        (40, lambda: cache.set(key, value)),
        (20, lambda: cache.set(key, value, ttl=ttl, size=50)),
        (10, lambda: cache.get(key)),
        (5, lambda: cache.pop(key, None)),
        (3, lambda: cache.get_many([key, 1, 2])),
        (3, lambda: cache.set_many(many, ttl=ttl)),
        (3, cache.items),
        (2, lambda: cache._evict(500, "pressure")),
        (2, cache._sweep),
        (2, cache._enforce),
        (2, cache._reweigh),
        (2, cache._fold),
        (1, lambda: cache._set_bounds(None, most)),
        (1, cache._counts),
        (1, cache.clear),
    ]
    weights, acts = zip(*calls, strict=True)
    act: Callable[[], object] = chance.choices(acts, weights)[0]
    return act


def starved(call: Callable[[], object], at: int, fail: Any, end: Any) -> bool:
    """Make a call while the request of that number fails; returns whether one did."""
    is_short = False
    fail(at, at + 1)
    try:
        call()
    except MemoryError:
        is_short = True
    finally:
        end()
    return is_short


def requests_fail(policy: str, chance: random.Random, fail: Any, end: Any) -> int:
    """One cache, on which requests of each call fail in turn; returns how many did."""
    clock, told, short = FakeClock(), list[Any](), 0
    cache: Any = Cache(
        "starved",
        max_entries=150,
        max_bytes=chance.choice([None, 60_000]),
        policy=policy,
        clock=clock,
        on_evict=lambda *what: told.append(what) if chance.random() < 0.5 else None,
        registry=Registry(),
    )
    for step in range(ROUND):
        call = calls_on(cache, chance)
        first = chance.randrange(MOST_REQUESTS // 3)
        for at in range(first, first + chance.randrange(1, 6)):
            short += starved(call, at, fail, end)
        clock.advance(chance.choice([0, 0, 0.1]))
        if step % 20 == 0:
            check_whole(cache, is_timed=True)
    check_whole(cache, is_timed=True)
    drain(cache)
    return short


def system_refuses(policy: str) -> int:
    """Fill a cache until the system gives no more, twice; returns how much it held."""
    with open("/proc/self/statm", encoding="ascii") as file:
        now = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    cache: Any = Cache("full", max_entries=1 << 30, policy=policy, registry=Registry())
    held = 0
    for _ in range(2):
        resource.setrlimit(resource.RLIMIT_AS, (now + ROOM, hard))
        key = 0
        try:
            while True:
                cache.set(key, None, ttl=60 if key % 3 == 0 else None)
                key += 1
        except MemoryError:
            pass
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        held = max(held, len(cache))
        assert len(cache) >= key, f"{len(cache)} are held of {key} that were taken in"
        check_whole(cache, is_timed=True)
        drain(cache)
    return held


def starve_calls(given: argparse.Namespace, ways: tuple[Any, Any]) -> int:
    """The first way, in each order of eviction in turn; returns how many calls were short."""
    chosen, short = policies_of(given), 0
    gc.disable()  # Where the collector runs out of memory the interpreter gives up.
    for policy in chosen:
        span = Span(given, len(chosen))
        chance = random.Random(given.seed)  # noqa: S311  # no secret depends on it
        while span.goes_on(ROUND):
            short += requests_fail(policy, chance, *ways)
            gc.collect()
    assert short > 0, "no request failed"
    return short


def work(given: argparse.Namespace) -> Iterator[str]:
    """Both ways, where this interpreter and this process can."""
    ways = fails_at()
    if not IS_COMPILED:
        yield "left out: no Python code is whole where each of its lines may lack memory"
        return
    if ways is None:
        yield "no _testcapi here, so no request was made to fail"
    else:
        yield f"{starve_calls(given, ways):,} calls ran out of memory"
    if is_sanitized():
        yield "no limit on address space under this tool"
    else:
        full = [f"{system_refuses(policy):,}" for policy in policies_of(given)]
        yield f"the system refused at {', '.join(full)} entries"


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(run("starve", "Memory that runs out anywhere.", work, steps=12_000))
