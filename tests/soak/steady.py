"""Operations of all kinds, most of them hits: the process ends with the blocks it began with.

    PYTHONPATH=src python tests/soak/steady.py --steps 100000000

Looked at after each round, with the same things held each time: blocks of the interpreter's
allocator, and the memory of the process, which also shows what was taken from the system directly.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import random
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hostile_keys import Broken
from membudget import Cache
from membudget.registry import Registry
from soak.rig import Span, check_whole, drain, policies_of, resident, run

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

KEYS = 2000
HITS = 20
"""Times that all keys are looked up in a round."""

WARM = 3
"""Rounds before the first look: caches of the interpreter and of the sizer fill."""

BLOCKS = 100
"""Blocks by which two looks may differ: a dict that grew, a name that was interned."""

RESIDENT = 4 << 20
"""Bytes by which the process may grow: malloc keeps some."""


def look_up(cache: Cache[Any, Any], keys: list[Any]) -> int:
    """Look all keys up in each way; returns how often that was."""
    get = cache.get
    for _ in range(HITS):
        for key in keys:
            get(key)
    for key in keys:
        cache.peek(key)
        with suppress(KeyError):
            cache[key]
    cache.get_many(keys)
    return len(keys) * (HITS + 3)


def change(cache: Cache[Any, Any], keys: list[Any], chance: random.Random) -> int:
    """Take in, replace and take out; returns how often."""
    for number, key in enumerate(keys):
        kind = number % 16
        if kind < 8:
            cache.set(key, number)
        elif kind < 11:
            cache.set(key, [key, {"a": [number]}, bytes(chance.randrange(200))])
        elif kind < 12:
            cache.set(key, "short", ttl=1e-6)
        elif kind < 13:
            cache.set(key, b"", size=chance.choice([10, 1 << 40]))
        elif kind < 14:
            cache.pop(key, None)
        elif kind < 15:
            cache.delete(key)
        else:
            cache.set(object(), cache.items()[:3])
    cache.set_many({key: key for key in keys[:200]}, ttl=0.001)
    return len(keys) + 200


def fail(cache: Cache[Any, Any]) -> int:
    """Have calls fail in all places where they can; returns how many."""
    wrong: list[Any] = [Broken("hash"), Broken("eq"), []]
    for key in wrong:
        for call in (cache.get, cache.peek, cache.delete, cache.ttl_left, cache.__getitem__):
            with suppress(ValueError, TypeError, KeyError):
                call(key)
        with suppress(ValueError, TypeError):
            cache.set(key, [1])
        with suppress(ValueError, TypeError, KeyError):
            cache.pop(key)
        with suppress(ValueError, TypeError):
            cache.set_many([(1, 1), (key, 1)])
        with suppress(ValueError, TypeError):
            cache.get_many([1, key])
    for more in ({"ttl": "x"}, {"ttl": -1}, {"size": -1}, {"size": "x"}, {"size": object()}):
        with suppress(ValueError, TypeError):
            cache.set(1, 1, **more)
    for pairs in (1, [1], [(1, 2, 3)], [[1, 2], ()]):
        with suppress(ValueError, TypeError):
            cache.set_many(pairs)  # type: ignore[arg-type]  # that is what is tried
    return 50


def keep_house(cache: Cache[Any, Any]) -> int:
    """Do what the budget does, and what programs do now and then; returns how often."""
    forever = float("inf")
    cache.reclaim(cache.held_bytes() // 3, forever)
    cache.sweep(forever)
    cache.reweigh(time.monotonic() + 0.002)
    cache.resize(max_entries=KEYS // 10)
    cache.resize(max_entries=KEYS)
    cache.stats()
    for key in cache:
        with suppress(KeyError):
            cache.ttl_left(key)
    list(zip(cache.keys(), cache.values(), cache.items(), strict=False))
    cache.get_or_load("loaded", lambda key: [key])
    cache.shrink(1000)
    return 10


def live_and_die(policy: str) -> int:
    """Make caches and let them go, some within a circle; returns how many."""
    for number in range(20):
        one: Cache[Any, Any] = Cache(
            "brief", max_entries=50, policy=policy, ttl=1.0, registry=Registry()
        )
        one.set_many((key, [key]) for key in range(100))
        if number % 2:
            one.set("me", one)
    with suppress(ValueError):
        Cache("never", max_entries=-1, registry=Registry())
    return 20


def one_round(cache: Cache[Any, Any], keys: list[Any], policy: str, seed: int) -> int:
    """Everything once; returns how many operations that were."""
    chance = random.Random(seed)  # noqa: S311  # no secret depends on it
    done = change(cache, keys, chance) + look_up(cache, keys)
    done += fail(cache) + keep_house(cache) + live_and_die(policy)
    cache.clear()
    while cache._fold():
        pass
    return done


def blocks() -> int:
    """The blocks in use once nothing but what is held is left."""
    gc.collect()
    gc.collect()
    return sys.getallocatedblocks()


def stay(policy: str, given: argparse.Namespace, span: Span) -> tuple[int, int, int]:
    """Go on until the steps are done.

    Returns:
        How many operations there were, and by how much blocks and memory changed at most.
    """
    told: list[int] = [0]

    def hear(*_: object) -> None:
        told[0] += 1

    cache: Cache[Any, Any] = Cache(
        "steady",
        max_entries=KEYS,
        max_bytes=1 << 20,
        policy=policy,
        on_evict=hear,
        registry=Registry(),
    )
    keys = [number if number % 2 else f"key {number}" for number in range(KEYS)]
    done, rounds, is_left = 0, 0, True
    first = most = (0, 0)  # Two figures only: a list of all would grow itself.
    while is_left or rounds <= WARM:
        more = one_round(cache, keys, policy, given.seed)
        done += more
        rounds += 1
        now = blocks(), resident()
        if rounds == WARM:
            first = most = now
        most = max(most[0], now[0]), max(most[1], now[1])
        is_left = span.goes_on(more)
    cache.set_many((key, key) for key in keys)
    check_whole(cache)
    drain(cache)
    assert told[0] > 0
    return done, most[0] - first[0], most[1] - first[1]


def work(given: argparse.Namespace) -> Iterator[str]:
    """Go on in each order of eviction in turn."""
    chosen = policies_of(given)
    for policy in chosen:
        done, more_blocks, more_bytes = stay(policy, given, Span(given, len(chosen)))
        assert more_blocks <= BLOCKS, f"{policy}: {more_blocks:,} blocks more after {done:,}"
        assert more_bytes <= RESIDENT, f"{policy}: {more_bytes:,} bytes more after {done:,}"
        yield f"{policy} {done:,} operations, {more_blocks:+,} blocks, {more_bytes:+,} bytes"


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(run("steady", "Live blocks stay the same.", work, steps=3_000_000))
