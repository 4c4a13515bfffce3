"""The cache against a naive model: same answers, same order, and sums that stay within bounds.

The model knows no sweeping: what has expired is gone from it at once. That the cache answers the
same shows that expired entries, however long it holds them, cost no live entry its place.
"""

import os
import random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from cache_oracle import FOREVER, MODELS, check
from fakes import Asking, FakeClock
from membudget.cache.cache import Cache
from membudget.cache.table import IS_COMPILED, POLICIES
from membudget.registry import Registry
from membudget.sizing import size_of

EXAMPLES = int(os.environ.get("CACHE_EXAMPLES", "100"))
"""How many every day; by hand more, after a change of the order or of the times."""

KEYS = st.integers(0, 12)
BOUNDS = st.none() | st.integers(1_000, 8_000)
ENTRIES = st.none() | st.integers(1, 8)
TTLS = st.none() | st.integers(1, 20) | st.sampled_from([0.5, 64, 65, 4096, 300_000])
IDLES = st.none() | st.integers(1, 20) | st.sampled_from([1.5, 64, 5_000])
WAITS = st.integers(1, 15) | st.sampled_from([1 / 64, 0.5, 63.5, 64, 4095, 4096, 300_000])
SIZES = st.integers(1, 2_500)


class CacheMachine(RuleBasedStateMachine):
    """Anything a program may do to a cache, in any order."""

    @initialize(
        policy=st.sampled_from(POLICIES if IS_COMPILED else ["lru"]),
        bounds=st.tuples(BOUNDS, ENTRIES),
        times=st.tuples(TTLS, IDLES),
    )
    def make(
        self,
        policy: str,
        bounds: tuple[int | None, int | None],
        times: tuple[float | None, float | None],
    ) -> None:
        self.clock = FakeClock()
        self.registry = Registry()
        self.registry.meter = self.meter = Asking()
        self.told: list[tuple[int, int, str]] = []
        self.cache: Cache[int, int] = Cache(
            "checked",
            max_bytes=bounds[0],
            max_entries=bounds[1],
            ttl=times[0],
            idle=times[1],
            policy=policy,
            on_evict=lambda *what: self.told.append(what),
            registry=self.registry,
            clock=self.clock,
        )
        self.cache.claim_quantum = 1
        self.model: Any = MODELS[policy](bounds, times)
        self.is_lru = policy == "lru"
        self.serial = 0

    def _set(self, key: int, size: int, ttl: float | None) -> None:
        self.serial += 1
        if key not in self.model.rows:
            self.cache.sweep(FOREVER)  # Else what has expired under the key keeps its place.
        taken = self.cache.set(key, self.serial, ttl=ttl, size=size)
        assert taken == self.model.set(key, self.serial, size, ttl, self.clock.now())

    @rule(key=KEYS, size=SIZES, ttl=TTLS)
    def set(self, key: int, size: int, ttl: float | None) -> None:
        self._set(key, size, ttl)

    @rule(key=KEYS, size=SIZES, wanted=st.integers(1, 5_000))
    def set_under_pressure(self, key: int, size: int, wanted: int) -> None:
        self.cache.sweep(FOREVER)
        refused = self.model.refused
        self.meter.wanted = wanted
        self._set(key, size, None)
        self.meter.wanted = 0
        if self.model.refused == refused:
            self.model.relieve(wanted)

    @rule(key=KEYS)
    def get(self, key: int) -> None:
        assert self.cache.get(key) == self.model.get(key, self.clock.now())

    @rule(key=KEYS)
    def set_default(self, key: int) -> None:
        """Take one in where there is none; one that is there counts as used, and as no hit."""
        row = self.model.rows.get(key)
        if row is None:
            self.cache.sweep(FOREVER)
            self.serial += 1
            self.model.set(key, self.serial, size_of(self.serial), None, self.clock.now())
        else:
            row.used = self.clock.now()
            self.model.touch(key, row)
        held = self.serial if row is None else row.value
        assert self.cache._setdefault(key, self.serial) == held

    @precondition(lambda self: self.is_lru)
    @rule(key=KEYS, newest=st.booleans())
    def move_to_end(self, key: int, newest: bool) -> None:  # noqa: FBT001  # drawn
        self.cache.sweep(FOREVER)
        is_there = self.model.move_to_end(key, newest=newest)
        assert self.cache._move_to_end(key, newest) == is_there

    @precondition(lambda self: self.is_lru)
    @rule(newest=st.booleans())
    def popitem(self, newest: bool) -> None:  # noqa: FBT001  # drawn
        self.cache.sweep(FOREVER)
        rows = self.model.rows
        key = next(reversed(rows) if newest else iter(rows), None)
        row = None if key is None else self.model.drop(key)
        assert self.cache._popitem(newest) == (None if row is None else (key, row.value))

    @rule(key=KEYS)
    def look(self, key: int) -> None:
        row = self.model.rows.get(key)
        assert self.cache.peek(key, None) == (None if row is None else row.value)
        assert (key in self.cache) == (row is not None)

    @rule(key=KEYS)
    def pop(self, key: int) -> None:
        row = self.model.drop(key)
        assert self.cache.pop(key, None) == (None if row is None else row.value)

    @rule(key=KEYS)
    def delete(self, key: int) -> None:
        assert self.cache.delete(key) == (self.model.drop(key) is not None)

    @rule(seconds=WAITS)
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.model.expire(self.clock.now())

    @rule()
    def sweep(self) -> None:
        """Free what has expired: then nothing but the live is held."""
        freed = self.cache.held_bytes() - self.model.bytes
        assert self.cache.sweep(FOREVER) == freed
        assert self.cache.held_bytes() == self.model.bytes

    @rule(wanted=st.integers(1, 5_000))
    def reclaim(self, wanted: int) -> None:
        self.cache.sweep(FOREVER)
        assert self.cache.reclaim(wanted, FOREVER) == self.model.relieve(wanted)

    @precondition(lambda self: self.serial % 3 == 0)
    @rule(max_bytes=BOUNDS, max_entries=ENTRIES)
    def resize(self, max_bytes: int | None, max_entries: int | None) -> None:
        self.cache.resize(max_bytes=max_bytes, max_entries=max_entries)
        self.model.max_bytes, self.model.max_entries = max_bytes, max_entries
        self.model.keep_bounds()

    @precondition(lambda self: self.serial % 7 == 0)
    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.model.begin()

    @invariant()
    def it_answers_as_the_model_does(self) -> None:
        expected = [(key, row.value) for key, row in self.model.rows.items()]
        assert self.cache.items() == expected
        assert self.cache.keys() == list(self.cache) == [key for key, _ in expected]

    @invariant()
    def it_evicts_as_the_model_does(self) -> None:
        assert [what for what in self.told if what[2] != "expired"] == self.model.evicted

    @invariant()
    def its_sums_agree_and_keep_the_bounds(self) -> None:
        check(self.cache)
        held = self.cache.held_bytes()
        assert self.model.bytes <= held
        assert len(self.model.rows) <= len(self.cache)
        assert self.model.max_bytes is None or held <= self.model.max_bytes
        assert self.model.max_entries is None or len(self.cache) <= self.model.max_entries

    @invariant()
    def its_statistics_add_up(self) -> None:
        stats = self.cache.stats()
        model = self.model
        assert (stats.hits, stats.misses, stats.sets, stats.refused) == (
            model.hits,
            model.misses,
            model.sets,
            model.refused,
        )
        causes = [cause for _, _, cause in model.evicted]
        assert all(stats.evictions[cause] == causes.count(cause) for cause in stats.evictions)
        assert stats.ghost_hits == model.ghost_hits
        assert stats.expirations == len(self.told) - len(causes)
        assert stats == self.cache.stats()


TestCache: Any = CacheMachine.TestCase
TestCache.settings = settings(max_examples=EXAMPLES, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("policy", POLICIES if IS_COMPILED else ["lru"])
@pytest.mark.parametrize("seed", range(2))
def test_thousands_of_steps_by_chance_do_not_tell_them_apart(policy: str, seed: int) -> None:
    """More keys and entries than where each step is chosen, so that marks and memory grow old."""
    chance = random.Random(seed)  # noqa: S311  # no secret depends on it
    for bounds in [(None, 40), (25_000, None), (25_000, 40)]:
        machine = CacheMachine()
        machine.make(policy, bounds, chance.choice([(None, None), (50, None), (300, 30)]))
        for step in range(2_500):
            key = int(90 * chance.random() ** 2)
            what = chance.random()
            if what < 0.5:
                machine.set(key, chance.choice([1, 200, 900]), chance.choice([None, None, 4, 100]))
            elif what < 0.9:
                machine.get(key)
            elif what < 0.96:
                machine.wait(chance.choice([1 / 64, 1, 3]))
            elif what < 0.98:
                machine.delete(key)
            else:
                machine.reclaim(1_500)
            if step % 20 == 0:
                machine.it_answers_as_the_model_does()
                machine.it_evicts_as_the_model_does()
        machine.its_statistics_add_up()
        machine.its_sums_agree_and_keep_the_bounds()
