"""Uses the compiled core in all ways, round after round, and prints by how many bytes malloc grew.

    PYTHONMALLOC=malloc python tests/balance_scene.py PART

Every object that a round makes is gone at its end.
"""

from __future__ import annotations

import gc
import sys
from array import array
from contextlib import suppress
from itertools import cycle
from typing import TYPE_CHECKING, Any

from fakes import FakeClock
from hostile_keys import Broken
from membudget import Cache
from membudget._native import core
from membudget.cache.table import POLICIES
from membudget.probes.allocator import in_use
from membudget.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

CORE: Any = core
WARM, ROUNDS, TIMES = 20, 40, 30
FOREVER = float("inf")


def made(policy: str, **more: Any) -> Cache[Any, Any]:
    """One with all that a cache can be given."""
    more = {"max_entries": 60, "max_bytes": 1 << 20, "ttl": 60.0, **more}
    return Cache("balanced", policy=policy, registry=Registry(), **more)


def caches(policy: str) -> None:
    """Caches that live and die, empty, full, within a circle, told of what leaves."""
    made(policy)
    for listener in (None, lambda *_: None):
        for size in (None, lambda _: 100):
            cache = made(policy, on_evict=listener, size=size, idle=30.0)
            for number in range(200):
                cache.set(number, [number])
            cache.set("me", cache)
            del cache
    with suppress(ValueError):
        made(policy, max_entries=-1)
    with suppress(ValueError):
        made("none of them")


def contents(policy: str) -> None:
    """What comes, is used, and leaves in each of the ways."""
    clock = FakeClock()
    cache = made(policy, clock=clock)
    for again in (False, False, True):
        for number in range(150):
            cache.set(number, {"number": [number, f"text {number}"]})
            cache.set(f"key {number}", bytes(number), ttl=5.0 + number, size=number)
            cache.get(number)
            cache.peek(number // 2)
        cache.set_many({f"many {number}": number for number in range(40)}, ttl="1m")
        cache.get_many([0, 1, "key 3", "none"])
        list(cache), cache.keys(), cache.values(), cache.items()
        with suppress(KeyError):
            cache.ttl_left("key 149")
        cache.pop("key 148", None)
        cache.delete("key 147")
        cache.get_or_load("default", lambda key: [key])
        clock.advance(8.0)
        cache.sweep(FOREVER)
        cache.reweigh(FOREVER)
        cache.shrink(1000, give_back=again)
        cache.resize(max_entries=30)
        cache.resize(max_entries=3000)
        cache.reclaim(cache.held_bytes() // 3, FOREVER)
    cache.set_many((number, [number]) for number in range(1300))
    for number in range(1200):
        cache.delete(number)
    while cache._fold():
        pass
    cache.clear()


def failures(policy: str) -> None:
    """Calls that fail in each place where one can."""
    cache = made(policy)
    cache.set_many({number: [number] for number in range(20)})
    wrong: list[Any] = [Broken("hash"), Broken("eq"), []]
    for key in wrong:
        calls: list[Callable[[Any], object]] = [
            cache.get,
            cache.peek,
            cache.delete,
            cache.pop,
            cache.ttl_left,
            cache.__getitem__,
            cache.__contains__,
            lambda key: cache.set(key, [1]),
            lambda key: cache.set_many([(2, [2]), (key, 1)]),
            lambda key: cache.get_many([2, key]),
        ]
        for call in calls:
            with suppress(ValueError, TypeError, KeyError):
                call(key)
    refused: list[dict[str, Any]] = [
        {"ttl": "x"},
        {"ttl": -1},
        {"size": -1},
        {"size": "x"},
        {"size": object()},
    ]
    for more in refused:
        with suppress(ValueError, TypeError):
            cache.set(1, [1], **more)
    for pairs in (1, [1], [(1, 2, 3)], [[1, 2], ()]):
        with suppress(ValueError, TypeError):
            cache.set_many(pairs)  # type: ignore[arg-type]  # that is what is tried
    methods: list[Any] = [cache.get, cache.set, cache.pop, cache.set_many]
    for method in methods:
        for given in ((), (1, 2, 3, 4)):
            with suppress(TypeError):
                method(*given)
        with suppress(TypeError):
            method(1, unknown=2)

    def fails(_: object) -> int:
        raise ValueError("size")

    sized = made(policy, size=fails)
    with suppress(ValueError):
        sized.set(1, [1])

    def refuses(*_: object) -> None:
        raise ValueError("told")

    told = made(policy, on_evict=refuses, max_entries=3)
    for number in range(9):
        with suppress(ValueError):
            told.set(number, [number])
    with suppress(ValueError):
        told.clear()


class Brief:
    """Refers to itself."""

    one: list[Any]


def sizer(_: str) -> None:
    """Walks short and long, whole and sampled, and shares that come and go."""
    brief = Brief()
    brief.one = [brief, {"deep": [(number * 1.5,) for number in range(300)]}]
    for bound in (5, 50, 100_000):
        CORE.size_of(brief, bound)
        CORE.size_of([brief] * 10, bound)
        CORE.size_of([[number * 1.5] * 3 for number in range(500)], bound)
    shared = [number * 1.5 for number in range(100)]
    values = [{"own": number * 2.5, "all": shared} for number in range(30)]
    del shared
    shares = CORE.new_shares()
    for _again in range(3):
        for value in values:
            CORE.entry(None, value, shares)
    CORE.entry("key", values)


def held() -> int:
    """Bytes that malloc has given out, once nothing waits for a collection."""
    gc.collect()
    gc.collect()
    found = in_use()
    assert found is not None
    return found


def main(part: str) -> int:
    """Returns by how much it grew between the least of ten rounds and the least of the last ten."""
    work = {"caches": caches, "contents": contents, "failures": failures, "sizer": sizer}[part]
    policies = cycle(POLICIES)
    figures = array("q", [0] * (WARM + ROUNDS))  # Which takes no object a figure.
    for number in range(WARM + ROUNDS):
        for _ in range(TIMES):
            work(next(policies))
        figures[number] = held()
    return min(figures[-10:]) - min(figures[WARM:][:10])


if __name__ == "__main__":
    sys.stdout.write(f"{main(sys.argv[1])}\n")
