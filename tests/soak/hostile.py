"""Keys, values, clocks, listeners and sizes that do their worst, on three caches at once.

    PYTHONPATH=src python tests/soak/hostile.py --steps 1000000

Whatever a cache calls may raise, or use the same and other caches in the middle of the call. In
every other round it only raises: then a call that failed must have changed nothing. After each
round all becomes calm, and each cache must give back all that it counted.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import random
import sys
from typing import TYPE_CHECKING, Any

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakes import FakeClock
from membudget import Cache
from membudget.errors import ConfigError
from membudget.registry import Registry
from soak.mischief import Mischief, MischiefError, make_key, make_value
from soak.rig import Span, check_sums, drain, policies_of, run

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

ROUND = 200
"""Steps between two times of calm."""

ALLOWED = (MischiefError, KeyError, TypeError, ConfigError, RecursionError)
"""What a call may raise, given such arguments."""

SIZES = (None, None, 0, 10, 700, "1KiB", -1, 1.5, 1 << 70, True)
TTLS = (None, None, 0.01, 3, "1m", 0, -1, "x", 1e300)


class Clock(FakeClock):
    """A clock that strikes, and sometimes goes back or far ahead.

    Args:
        mischief: What strikes.
    """

    def __init__(self, mischief: Mischief) -> None:
        super().__init__()
        self.mischief = mischief

    def now(self) -> float:
        """The time, a little later each time."""
        self.mischief.strike("clock")
        chance = self.mischief.chance
        if not self.mischief.is_calm:
            self.time += chance.choice([0.0, 0.001, 0.1])
            if chance.random() < 0.001:
                self.time += chance.choice([-500.0, 1e4, 1e9])
        return self.time


def caches_of(mischief: Mischief, policy: str) -> list[Cache[Any, Any]]:
    """Three that differ in what they are bound by and in what they call."""

    def size(value: Any) -> Any:
        mischief.strike("size")
        odd = not mischief.is_calm and mischief.chance.random() < 0.05
        return mischief.chance.choice([-1, 2.5, "x", 1 << 70]) if odd else 50

    def hear(key: Any, value: Any, cause: str) -> None:
        if not mischief.only_raises:
            mischief.strike("listener")

    registry, clock = Registry(), Clock(mischief)
    listener = None if mischief.only_raises else hear
    common: dict[str, Any] = {"policy": policy, "registry": registry}
    if mischief.only_raises:
        common["size"] = size  # Nothing is weighed again, which would be a change.
    return [
        Cache("entries", max_entries=12, **common),
        Cache("bytes", max_bytes=8000, clock=clock, ttl=5, on_evict=listener, **common),
        Cache("idle", max_entries=40, idle=2, clock=clock, **{**common, "size": size}),
    ]


def one_call(mischief: Mischief) -> Callable[[Any], object]:
    """A call with its arguments, such that a failure of it must change nothing."""
    chance = mischief.chance
    key, value = make_key(mischief), make_value(mischief)
    ttl, size = chance.choice(TTLS), chance.choice(SIZES)
    calls: list[Callable[[Any], object]] = [
        lambda one: one.get(key),
        lambda one: one.get(key, value),
        lambda one: one.set(key, value),
        lambda one: one.set(key, value),
        lambda one: one.set(key, value, ttl=ttl, size=size),
        lambda one: one.set(key, value, ttl=ttl, size=size),
        lambda one: one.__setitem__(key, value),
        lambda one: one[key],
        lambda one: key in one,
        lambda one: one.peek(key),
        lambda one: one.pop(key),
        lambda one: one.pop(key, None),
        lambda one: one.delete(key),
        lambda one: one.ttl_left(key),
    ]
    return chance.choice(calls)


def any_call(mischief: Mischief) -> Callable[[Any], object]:
    """Any call at all with its arguments."""
    chance = mischief.chance
    if chance.random() < 0.7:
        return one_call(mischief)

    def pairs() -> Iterator[Any]:
        for _ in range(5):
            mischief.strike("iterator")
            yield make_key(mischief), make_value(mischief)

    forever = float("inf")
    calls: list[Callable[[Any], object]] = [
        lambda one: one.get_many([make_key(mischief) for _ in range(5)]),
        lambda one: one.get_many(key for key, _ in pairs()),
        lambda one: one.set_many(pairs(), ttl=chance.choice(TTLS)),
        lambda one: one.get_or_load(make_key(mischief), lambda _: mischief.loaded()),
        lambda one: (one.keys(), one.values(), one.items(), list(one)),
        lambda one: one.clear(),
        lambda one: one.resize(max_entries=chance.choice([1, 5, 30, None])),
        lambda one: one.resize(max_bytes=chance.choice([500, 4000, None])),
        lambda one: one.reclaim(chance.choice([1, 1000, 1 << 40]), forever),
        lambda one: one.sweep(forever),
        lambda one: one.reweigh(forever),
        lambda one: one._fold(),
        lambda one: one.shrink(chance.choice([100, 5000]), give_back=True),
        mischief.arenas,
        lambda one: one.stats(),
        lambda one: setattr(one, "share", chance.choice([None, 300, 5000])),
        lambda one: setattr(one, "claim_quantum", chance.choice([1, 100, 1 << 14])),
        lambda one: mischief.free(),
        lambda one: gc.collect(0),
    ]
    return chance.choice(calls)


def state_of(mischief: Mischief, cache: Any) -> dict[str, Any]:
    """All figures, while nothing strikes."""
    mischief.is_calm = True
    figures: dict[str, Any] = cache._counts()
    del figures["oldest_born"]  # The clock goes further than an entry's time of birth is kept.
    mischief.is_calm = False
    return figures


def step(mischief: Mischief, cache: Any, tally: dict[str, int]) -> None:
    """One call on a cache; where nothing but raising is allowed, a failure changes nothing."""
    if not mischief.only_raises:
        try:
            any_call(mischief)(cache)
        except ALLOWED as error:
            tally[type(error).__name__] = tally.get(type(error).__name__, 0) + 1
        return
    call = one_call(mischief)
    before = state_of(mischief, cache)
    where = ""
    try:
        call(cache)
    except MischiefError as error:
        where = str(error)
        tally["harmless"] = tally.get("harmless", 0) + 1
    except ALLOWED:
        tally["others"] = tally.get("others", 0) + 1
    after = state_of(mischief, cache)
    assert not where or before == after, f"{where} left a change: {before} and {after}"


def one_round(mischief: Mischief, policy: str, steps: int, tally: dict[str, int]) -> None:
    """Make caches, do so many things to them, and see that all is in order then."""
    mischief.only_raises = not mischief.only_raises
    mischief.caches = caches = caches_of(mischief, policy)
    mischief.any_call = lambda: any_call(mischief)
    mischief.is_calm = False
    for _ in range(steps):
        step(mischief, mischief.chance.choice(caches), tally)
    mischief.is_calm = True
    for cache in caches:
        check_sums(cache)
        drain(cache)
        cache.share = None
        cache.resize(max_bytes=None, max_entries=1)
        assert cache.set("calm", 1)
        assert cache.get("calm") == 1, "a cache that went through this holds nothing"
        drain(cache)
    mischief.forget()


def warm_up() -> None:
    """Have all imported that a cache imports at first use: a finalizer could run within that."""
    cache: Cache[Any, Any] = Cache("first", max_entries=1, registry=Registry())
    cache.get_or_load(object(), lambda _: [object()])
    cache.stats()


def work(given: argparse.Namespace) -> Iterator[str]:
    """Round after round, in each order of eviction."""
    chosen, tally = policies_of(given), dict[str, int]()
    unexpected: list[BaseException] = []

    def unraisable(what: Any) -> None:
        if not isinstance(what.exc_value, ALLOWED):
            unexpected.append(what.exc_value)

    warm_up()
    before, sys.unraisablehook = sys.unraisablehook, unraisable
    mischief = Mischief(random.Random(given.seed))  # noqa: S311  # no secret depends on it
    try:
        for policy in chosen:
            span = Span(given, len(chosen))
            while span.goes_on(ROUND):
                one_round(mischief, policy, ROUND, tally)
                for error in unexpected:
                    raise error
    finally:
        mischief.is_calm = True
        sys.unraisablehook = before
    yield f"{mischief.strikes:,} strikes"
    yield ", ".join(f"{count:,} {what}" for what, count in sorted(tally.items()))


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(run("hostile", "Keys and values that do their worst.", work, steps=60_000))
