"""Eight threads on two caches, with keys whose `__eq__` and `__hash__` are Python code.

    PYTHONPATH=src python tests/soak/hammer.py --seconds 600

Threads change every 10 µs, so that they do inside every call that lets them. Each value tells which
key it belongs to. A thread that stands still for half a minute, or a process that no longer runs
any Python code, ends with all stacks written out.
"""

from __future__ import annotations

import faulthandler
import os
import random
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from membudget import Cache
from membudget.registry import Registry
from soak.rig import MISSING, check_whole, drain, policies_of, run

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

THREADS = 8
SWITCH = 1e-5
STANDSTILL = 30.0
FROZEN = 60.0
AT_A_TIME = 50
REACH = 2000
MOST_BYTES = 200_000


@dataclass(frozen=True)
class Page:
    """A key as programs have them."""

    number: int
    language: str


@dataclass(frozen=True)
class Crowded:
    """A key that shares its hash with many others."""

    number: int

    def __hash__(self) -> int:
        return self.number % 5


def key_of(number: int) -> Any:
    """The key of a number: one in ten is crowded."""
    return Crowded(number) if number % 10 == 0 else Page(number, "en")


class Hammer:
    """Two caches and the threads that use them.

    Args:
        policy: The order of eviction.
        seed: What chance is drawn from.
    """

    def __init__(self, policy: str, seed: int) -> None:
        self.seed = seed
        self.told = 0
        self.errors: list[BaseException] = []
        self.is_over = False
        self.progress = [0] * THREADS
        registry = Registry()
        self.caches: list[Cache[Any, Any]] = [
            Cache("entries", max_entries=REACH // 4, policy=policy, registry=registry),
            Cache(
                "bytes",
                max_bytes=MOST_BYTES,
                ttl=0.05,
                idle=1.0,
                policy=policy,
                on_evict=self.hear,
                registry=registry,
            ),
        ]

    def hear(self, key: Any, value: Any, cause: str) -> None:
        """Be told of one, and check that key and value belong together."""
        assert value[0] == key.number, (key, value, cause)
        self.told += 1

    def work(self, number: int) -> None:
        """Do this and that, as one of the threads."""
        chance = random.Random(self.seed * THREADS + number)  # noqa: S311  # no secret depends on it
        acts, weights = zip(*ACTS, strict=True)
        try:
            while not self.is_over:
                for act in chance.choices(acts, weights, k=AT_A_TIME):
                    act(chance.choice(self.caches), chance)
                self.progress[number] += AT_A_TIME
        except BaseException as error:  # noqa: BLE001  # raised by the main thread
            self.errors.append(error)
            self.is_over = True

    def go(self, seconds: float) -> int:
        """Let the threads run for so long; returns how often they did something.

        Raises:
            AssertionError: One of them found something wrong, or stood still.
        """
        threads = [
            threading.Thread(target=self.work, args=(number,), daemon=True)
            for number in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        ends, seen, seen_at = time.monotonic() + seconds, list(self.progress), time.monotonic()
        while time.monotonic() < ends and not self.is_over:
            faulthandler.dump_traceback_later(FROZEN, exit=True)
            time.sleep(min(1.0, max(0.0, ends - time.monotonic())))
            if all(now > then for now, then in zip(self.progress, seen, strict=True)):
                seen, seen_at = list(self.progress), time.monotonic()
            if time.monotonic() - seen_at > STANDSTILL:
                faulthandler.dump_traceback()
                raise AssertionError(f"a thread stands still: {seen} and {self.progress}")
        self.is_over = True
        for thread in threads:
            thread.join(FROZEN)
        faulthandler.cancel_dump_traceback_later()
        assert not any(thread.is_alive() for thread in threads), "a thread does not end"
        for error in self.errors:
            raise error
        check_whole(self.caches[0])
        check_whole(self.caches[1], is_timed=True)
        for cache in self.caches:
            drain(cache)
        return sum(self.progress)


def pick(chance: random.Random) -> Any:
    """A key, the small numbers most often."""
    return key_of(int(REACH * chance.random() ** 2))


def value_of(key: Any, chance: random.Random) -> Any:
    """A value that tells whose it is."""
    return key.number, bytes(chance.randrange(300)), [key]


def look(cache: Any, chance: random.Random) -> None:
    """Look one up, and check that it is the right one."""
    key = pick(chance)
    value = cache.get(key, MISSING)
    assert value is MISSING or value[0] == key.number, (key, value)


def put(cache: Any, chance: random.Random) -> None:
    """Take one in."""
    key = pick(chance)
    ttl = chance.choice([None, 0.001, 0.02, 3600]) if cache.max_entries is None else None
    assert cache.set(key, value_of(key, chance), ttl=ttl)


def take(cache: Any, chance: random.Random) -> None:
    """Take one out."""
    key = pick(chance)
    value = cache.pop(key, MISSING)
    assert value is MISSING or value[0] == key.number, (key, value)


def load(cache: Any, chance: random.Random) -> None:
    """Have one loaded."""
    key = pick(chance)
    value = cache.get_or_load(key, lambda key: value_of(key, chance))
    assert value[0] == key.number, (key, value)


def put_many(cache: Any, chance: random.Random) -> None:
    """Take several in."""
    keys = [pick(chance) for _ in range(20)]
    cache.set_many([(key, value_of(key, chance)) for key in keys])


def look_many(cache: Any, chance: random.Random) -> None:
    """Look several up."""
    for key, value in cache.get_many([pick(chance) for _ in range(20)]).items():
        assert value[0] == key.number, (key, value)


def look_around(cache: Any, chance: random.Random) -> None:
    """See all there is."""
    for key, value in cache.items():
        assert value[0] == key.number, (key, value)


def resize(cache: Any, chance: random.Random) -> None:
    """Change a bound."""
    share = chance.choice([0.1, 0.5, 1])
    if cache.max_entries is not None:
        cache.resize(max_entries=int(REACH // 4 * share))
    else:
        cache.resize(max_bytes=int(MOST_BYTES * share))


def until(seconds: float) -> float:
    """A time to stop at."""
    return time.monotonic() + seconds


ACTS: list[tuple[Callable[[Any, random.Random], object], int]] = [
    (look, 500),
    (put, 250),
    (take, 30),
    (load, 30),
    (put_many, 10),
    (look_many, 10),
    (look_around, 1),
    (resize, 1),
    (lambda cache, chance: cache.delete(pick(chance)), 20),
    (lambda cache, chance: cache.peek(pick(chance)), 20),
    (lambda cache, chance: pick(chance) in cache, 20),
    (lambda cache, chance: cache.reclaim(chance.randrange(20_000), until(0.01)), 3),
    (lambda cache, chance: cache.sweep(until(0.01)), 5),
    (lambda cache, chance: cache.reweigh(until(0.001)), 3),
    (lambda cache, chance: cache._fold(), 3),
    (lambda cache, chance: cache.shrink(chance.randrange(1, 9000), give_back=True), 1),
    (lambda cache, chance: cache.stats(), 3),
    (lambda cache, chance: cache.clear() if chance.random() < 0.1 else None, 1),
]


def work(given: argparse.Namespace) -> Iterator[str]:
    """Hammer in each order of eviction in turn; without seconds, a tenth of a ms for a step."""
    chosen = policies_of(given)
    seconds = given.seconds if given.steps is None else given.steps / 10_000
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    done = told = 0
    try:
        for policy in chosen:
            hammer = Hammer(policy, given.seed)
            done += hammer.go(seconds / len(chosen))
            told += hammer.told
    finally:
        sys.setswitchinterval(before)
    yield f"{THREADS} threads did {done:,} things"
    yield f"{told:,} evictions told"


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(run("hammer", "Threads on the same caches.", work, steps=100_000))
