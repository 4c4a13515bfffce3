"""Tables that grow to hundreds of thousands of entries and shrink again, beside a dict.

    PYTHONPATH=src python tests/soak/growth.py --steps 20000000

Indexes and ghosts are exchanged bit by bit only where they are large, and memory is given back in
steps: entries come, go and are looked for in the middle of all that. No bound is reached, so the
dict knows all.
"""

from __future__ import annotations

import faulthandler
import os
import random
import sys
from typing import TYPE_CHECKING, Any

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakes import FakeClock
from membudget import Cache
from membudget.registry import Registry
from soak.rig import MISSING, Span, check_whole, drain, policies_of, run

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

LARGEST = 400_000
"""Entries."""

FOLDS = 200
"""Steps of giving back at a time, at most."""

TTL = 1000.0


class Growth:
    """A cache and the dict it must be equal to.

    Args:
        policy: The order of eviction.
        seed: What chance is drawn from.
    """

    def __init__(self, policy: str, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311  # no secret depends on it
        self.clock = FakeClock()
        self.cache: Any = Cache(
            "growth", max_entries=1 << 30, policy=policy, clock=self.clock, registry=Registry()
        )
        self.known: dict[Any, int] = {}
        self.timed: set[Any] = set()
        self.serial = 0

    def act(self, largest: int) -> int:
        """One large change, and a look; returns how many operations that was."""
        kind = self.chance.random()
        if kind < 0.5:
            done = self.put(self.chance.randrange(1, largest), is_timed=False)
        elif kind < 0.6:
            done = self.put(self.chance.randrange(1, largest // 4 + 2), is_timed=True)
        elif kind < 0.85:
            done = self.take(self.chance.random())
        elif kind < 0.91:
            done = self.expire()
        elif kind < 0.96:
            done = self.shrink(self.chance.random())
        else:
            self.cache.clear()
            self.known, self.timed = {}, set()
            done = 1
        for _ in range(self.chance.choice([0, 1, FOLDS])):
            if not self.cache._fold():
                break
        return done + self.look()

    def put(self, most: int, *, is_timed: bool) -> int:
        """Take in so many, some of which are there."""
        cache, known, ttl = self.cache, self.known, TTL if is_timed else None
        for _ in range(min(most, LARGEST - len(known))):
            self.serial += 1
            number = self.chance.randrange(LARGEST)
            key: Any = number if number % 3 else f"key {number}"
            cache.set(key, self.serial, ttl=ttl, size=0)
            known[key] = self.serial
            if is_timed:
                self.timed.add(key)
            else:
                self.timed.discard(key)
        return most

    def take(self, share: float) -> int:
        """Take a share of them out, in any order."""
        keys = self.chance.sample(list(self.known), int(len(self.known) * share))
        for key in keys:
            assert self.cache.pop(key, MISSING) == self.known.pop(key), f"{key!r} was lost"
            self.timed.discard(key)
        return len(keys)

    def expire(self) -> int:
        """Let all that is timed expire, and sweep it."""
        self.clock.advance(TTL)
        self.cache.sweep(float("inf"))
        for key in self.timed:
            del self.known[key]
        done, self.timed = len(self.timed), set()
        return done

    def shrink(self, share: float) -> int:
        """Evict a share of the bytes such that memory goes back; what is left is as it was."""
        self.cache.shrink(int(self.cache.held_bytes() * share) + 1, give_back=True)
        left, before = dict(self.cache.items()), len(self.known)
        assert left.items() <= self.known.items(), "what is left is not what it was"
        self.known = left
        self.timed &= left.keys()
        return before - len(left)

    def look(self) -> int:
        """Look for some that are there and some that are not."""
        assert len(self.cache) == len(self.known), f"{len(self.cache)} of {len(self.known)}"
        for _ in range(1000):
            number = self.chance.randrange(LARGEST)
            key: Any = number if number % 3 else f"key {number}"
            assert self.cache.get(key, MISSING) == self.known.get(key, MISSING), f"{key!r} differs"
        return 1000

    def end(self) -> None:
        """Compare all, and take it apart."""
        assert dict(self.cache.items()) == self.known, (
            "the cache and the dict hold different things"
        )
        check_whole(self.cache)
        drain(self.cache)


def work(given: argparse.Namespace) -> Iterator[str]:
    """Grow and shrink in each order of eviction in turn."""
    chosen = policies_of(given)
    for policy in chosen:
        growth, span = Growth(policy, given.seed), Span(given, len(chosen))
        done = growth.put(LARGEST, is_timed=False) + growth.look()
        largest = len(growth.known)
        while span.goes_on(done):
            done = growth.act(growth.chance.choice([10, 1000, 30_000, LARGEST]))
            largest = max(largest, len(growth.known))
        growth.end()
        yield f"{policy} {span.done:,} operations on up to {largest:,} entries"


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(run("growth", "Tables that grow and shrink.", work, steps=600_000))
