"""Circles through caches: whatever leads back to a cache, the collector finds and frees.

    PYTHONPATH=src python tests/soak/cycles.py --steps 10000

Each circle is made, let go of and collected; nothing of it may live on, and no block may stay
behind. Finalizers within it use the cache, and some bring everything back once.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import random
import sys
import weakref
from typing import TYPE_CHECKING, Any

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from membudget import Cache
from membudget.registry import Registry
from soak.rig import Span, policies_of, run

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

BLOCKS = 50
"""Blocks by which the process may have grown in the end."""

DEEP = 20_000
"""Caches within caches: more than a stack of C calls could hold."""


class Thing:
    """Anything that refers to anything."""

    def __init__(self, *refers_to: Any) -> None:
        self.refers_to = refers_to

    def listen(self, *_: object) -> None:
        """Be told, and do nothing."""


class Waking(Thing):
    """A thing that uses what it refers to when it is freed, and comes back once."""

    graveyard: list[Any]

    def __del__(self) -> None:
        cache = self.refers_to[0]
        cache.set("last", self)
        cache.get("last")
        cache.clear()
        cache.set("last", self)
        self.graveyard.append(self)


class Owned(Cache[Any, Any]):
    """A cache with attributes of its own."""


class Circles:
    """Makes circles of all shapes.

    Args:
        policy: The order of eviction.
    """

    def __init__(self, policy: str) -> None:
        self.policy = policy
        self.graveyard: list[Any] = []
        self.shapes: list[Callable[[], Any]] = [
            self.through_value,
            self.through_key,
            self.through_listener,
            self.through_size,
            self.through_clock,
            self.through_attribute,
            self.through_registry,
            self.through_generator,
            self.through_replaced_value,
            self.through_moved_entries,
            self.of_two,
            self.of_itself,
            self.of_one_that_wakes,
        ]

    def cache(self, **more: Any) -> Any:
        """A small cache."""
        options = {"max_entries": 100, "policy": self.policy, "registry": Registry(), **more}
        return Owned("circle", **options)

    def through_value(self) -> Any:
        """A value refers to the cache, among values the collector need not see."""
        cache = self.cache()
        cache.set_many((number, number) for number in range(20))
        cache.set("back", [Thing(cache)])
        return cache

    def through_key(self) -> Any:
        """A key refers to it."""
        cache = self.cache(ttl=60)
        cache.set(Thing(cache), 1)
        return cache

    def through_listener(self) -> Any:
        """A listener is a method of what owns the cache."""
        owner = Thing()
        cache = self.cache(on_evict=owner.listen)
        owner.refers_to = (cache,)
        return cache

    def through_size(self) -> Any:
        """A size function closes over it."""
        held: list[Any] = []
        cache = self.cache(size=lambda _: len(held))
        held.append(cache)
        cache.set(1, 1)
        return cache

    def through_clock(self) -> Any:
        """A clock refers to it."""
        clock = TurnedClock()
        cache = self.cache(clock=clock, idle=5)
        clock.refers_to = (cache,)
        cache.set(1, 1)
        return cache

    def through_attribute(self) -> Any:
        """A subclass has an attribute."""
        cache = self.cache()
        cache.me = cache
        return cache

    def through_registry(self) -> Any:
        """What registers it refers to it."""
        registry: Any = Registry()
        cache = self.cache(registry=registry)
        registry.back = cache
        return cache

    def through_generator(self) -> Any:
        """A generator stands half way with it."""
        cache = self.cache()

        def stand(held: Any) -> Iterator[Any]:
            yield held
            yield held

        half_way = stand(cache)
        next(half_way)
        cache.set("g", half_way)
        return cache

    def through_replaced_value(self) -> Any:
        """The value in the circle came in the place of one the collector need not see."""
        cache = self.cache()
        cache.set(1, "nothing")
        cache.set(1, Thing(cache))
        cache.set(Thing(cache), [])
        cache.set(next(key for key in cache if key != 1), "nothing")
        return cache

    def through_moved_entries(self) -> Any:
        """The entries were moved when the table shrank."""
        cache = self.cache(max_entries=5000)
        cache.set_many((number, number) for number in range(3000))
        cache.set("back", Thing(cache))
        for number in range(3000):
            del cache[number]
        while cache._fold():
            pass
        return cache

    def of_two(self) -> Any:
        """Two hold each other."""
        one, other = self.cache(), self.cache()
        one.set("other", other)
        other.set("one", one)
        return one

    def of_itself(self) -> Any:
        """It holds itself."""
        cache = self.cache()
        cache.set("me", cache)
        return cache

    def of_one_that_wakes(self) -> Any:
        """A finalizer within the circle uses the cache, and brings all back once."""
        cache = self.cache()
        waking = Waking(cache)
        waking.graveyard = self.graveyard
        cache.set("waking", waking)
        return cache


class TurnedClock(Thing):
    """A clock that stands still."""

    def now(self) -> float:
        """The same time always."""
        return 5.0


def collect_one(circles: Circles, shape: Callable[[], Any]) -> None:
    """Make one, let go of it, and see it go."""
    made = shape()
    assert gc.is_tracked(made)
    watched = weakref.ref(made)
    del made
    gc.collect()
    circles.graveyard.clear()
    gc.collect()  # What woke up goes now.
    assert watched() is None, f"a circle {shape.__doc__} lives on"


def go_deep(policy: str) -> None:
    """Free caches that lie within each other, by reference counts and by the collector."""
    for is_circle in (False, True):
        outermost: Any = None
        first = None
        for _ in range(DEEP):
            cache: Cache[Any, Any] = Cache(
                "deep", max_entries=2, policy=policy, size=lambda _: 1, registry=Registry()
            )
            cache.set(1, outermost)
            outermost = cache
            first = cache if first is None else first
        if is_circle and first is not None:
            first.set(2, outermost)
        watched = weakref.ref(outermost)
        del cache, outermost, first
        gc.collect()
        assert watched() is None, "caches within caches live on"


def go_on(policy: str, seed: int, span: Span) -> int:
    """Circle after circle, some while the collector runs all the time; returns the blocks more."""
    chance = random.Random(seed)  # noqa: S311  # no secret depends on it
    circles, thresholds = Circles(policy), gc.get_threshold()
    for shape in circles.shapes * 3:
        collect_one(circles, shape)
    blocks = sys.getallocatedblocks()
    while span.goes_on():
        gc.set_threshold(chance.choice([1, 10, 700]))
        collect_one(circles, chance.choice(circles.shapes))
    gc.set_threshold(*thresholds)
    gc.collect()
    return sys.getallocatedblocks() - blocks


def work(given: argparse.Namespace) -> Iterator[str]:
    """Circles in each order of eviction in turn."""
    chosen = policies_of(given)
    unexpected: list[BaseException] = []

    def unraisable(what: Any) -> None:
        unexpected.append(what.exc_value)

    sys.unraisablehook = unraisable
    for policy in chosen:
        go_deep(policy)
        span = Span(given, len(chosen))
        more = go_on(policy, given.seed, span)
        for error in unexpected:
            raise error
        assert more <= BLOCKS, (
            f"{policy}: {more:,} blocks stayed behind after {span.done:,} circles"
        )
        yield f"{policy} {span.done:,} circles, {more:+,} blocks"


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(run("cycles", "Circles through caches are collected.", work, steps=3000))
