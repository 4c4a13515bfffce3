"""The cache against a naive model: same answers, same order, and sums that stay within bounds.

The model knows no sweeping: what has expired is gone from it at once. That the cache answers the
same shows that expired entries, however long it holds them, cost no live entry its place.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from cache_oracle import check
from fakes import FakeClock
from membudget.bounded.cache import Cache
from membudget.bounded.plain.ghost import tag_of
from membudget.core import Meter
from membudget.registry import Registry

FOREVER = float("inf")
KEYS = st.integers(0, 12)
BOUNDS = st.none() | st.integers(1_000, 8_000)
ENTRIES = st.none() | st.integers(1, 8)
TTLS = st.none() | st.integers(1, 20)
SIZES = st.integers(1, 2_500)
_MISSING = object()


class Asking(Meter):
    """A meter that asks for what it is told to."""

    wanted = 0

    def claim(self, weight: int) -> int:
        """Ask once."""
        wanted, self.wanted = self.wanted, 0
        return wanted


class Row:
    """One entry of the model."""

    def __init__(self, value: int, weight: int, ends: float) -> None:
        self.value, self.weight, self.ends = value, weight, ends
        self.hits = 0


class Model:
    """What a cache should be: dicts in order, with weights, times and a short memory."""

    def __init__(
        self, policy: str, max_bytes: int | None, max_entries: int | None, ttl: int | None
    ) -> None:
        self.is_lru = policy == "lru"
        self.max_bytes, self.max_entries, self.ttl = max_bytes, max_entries, ttl
        self.small: dict[int, Row] = {}
        self.main: dict[int, Row] = {}
        self.fresh: int | None = None
        self.ghost: dict[int, tuple[int, int]] = {}
        self.ghosts = self.ghost_hits = 0
        self.evicted: list[tuple[int, int, str]] = []
        self.hits = self.misses = self.sets = self.refused = 0

    @property
    def rows(self) -> dict[int, Row]:
        """All rows in order."""
        return {**self.small, **self.main}

    @property
    def bytes(self) -> int:
        """What all rows weigh."""
        return sum(row.weight for row in self.rows.values())

    def expire(self, now: float) -> None:
        """Drop what has expired."""
        for key, row in self.rows.items():
            if row.ends <= now:
                self.drop(key)

    def drop(self, key: int) -> Row | None:
        """Take a row out."""
        if self.fresh == key:
            self.fresh = None
        return self.small.pop(key, None) or self.main.pop(key, None)

    def set(self, key: int, value: int, size: int, ttl: int | None, now: float) -> bool:
        """Take in or refuse."""
        lasts = self.ttl if ttl is None else ttl
        weight = size + Cache.ENTRY_BYTES
        if self.max_bytes is not None and weight > self.max_bytes:
            self.refused += 1
            self.drop(key)
            return False
        self.sets += 1
        ends = FOREVER if lasts is None else now + lasts
        row = self.rows.get(key)
        if row is not None:
            row.value, row.weight, row.ends = value, weight, ends
            self.touch(key)
        else:
            is_known = self.is_known(key)
            self.ghost_hits += is_known
            queue = self.main if is_known or self.is_lru else self.small
            queue[key] = Row(value, weight, ends)
        self.fresh = key
        self.keep_bounds()
        return True

    def get(self, key: int) -> int | None:
        """Find and touch."""
        if key not in self.rows:
            self.misses += 1
            return None
        self.hits += 1
        self.touch(key)
        return self.rows[key].value

    def touch(self, key: int) -> None:
        """Note a use."""
        if self.is_lru:
            self.main[key] = self.main.pop(key)
        row = self.rows[key]
        row.hits = min(3, row.hits + 1)

    def keep_bounds(self) -> None:
        """Evict what is beyond them."""
        while self.max_bytes is not None and self.bytes > self.max_bytes:
            self.evict("bytes")
        while self.max_entries is not None and len(self.rows) > self.max_entries:
            self.evict("entries")

    def relieve(self, target: int) -> int:
        """Evict at least so many bytes."""
        before = self.bytes
        while self.rows and before - self.bytes < target:
            self.evict("pressure")
        return before - self.bytes

    def evict(self, cause: str) -> None:
        """Evict what goes first."""
        key = self.victim()
        if self.is_lru or key in self.small:
            self.ghosts += 1
            self.ghost[tag_of(hash(key)) % 64] = key, self.ghosts
        row = self.drop(key)
        assert row is not None
        self.evicted.append((key, row.value, cause))

    def victim(self) -> int:
        """What goes first: the one last set only where it is alone."""
        while True:
            queue = self.small if self.is_small_next() else self.main
            key = next(iter(queue))
            row = queue[key]
            if len(self.rows) == 1:
                return key
            if key == self.fresh:
                queue[key] = queue.pop(key)
            elif self.is_lru or row.hits == 0 or (queue is self.small and row.hits == 1):
                return key
            else:
                row.hits = 0 if queue is self.small else row.hits - 1
                self.main[key] = queue.pop(key)

    def is_small_next(self) -> bool:
        """Whether the small queue is looked at."""
        if not self.small or not self.main:
            return bool(self.small)
        if list(self.small) == [self.fresh]:
            return False
        if list(self.main) == [self.fresh]:
            return True
        if self.max_bytes is None and self.max_entries is not None:
            return len(self.small) * 10 >= len(self.rows)
        return sum(row.weight for row in self.small.values()) * 10 >= self.bytes

    def is_known(self, key: int) -> bool:
        """Whether it was among the last sixteen evicted, unless another took its slot."""
        slot = tag_of(hash(key)) % 64
        known, serial = self.ghost.get(slot, (None, 0))
        if known != key or self.ghosts - serial >= 16:
            return False
        del self.ghost[slot]
        return True


class CacheMachine(RuleBasedStateMachine):
    """Anything a program may do to a cache, in any order."""

    @initialize(
        policy=st.sampled_from(["s3fifo", "lru"]), max_bytes=BOUNDS, max_entries=ENTRIES, ttl=TTLS
    )
    def make(
        self, policy: str, max_bytes: int | None, max_entries: int | None, ttl: int | None
    ) -> None:
        """Begin with an empty cache under a budget."""
        self.clock = FakeClock()
        self.registry = Registry()
        self.registry.meter = self.meter = Asking()
        self.told: list[tuple[int, int, str]] = []
        self.cache: Cache[int, int] = Cache(
            "checked",
            max_bytes=max_bytes,
            max_entries=max_entries,
            ttl=ttl,
            policy=policy,
            on_evict=lambda *what: self.told.append(what),
            registry=self.registry,
            clock=self.clock,
        )
        self.cache.claim_quantum = 1
        self.model = Model(policy, max_bytes, max_entries, ttl)
        self.serial = 0

    def _set(self, key: int, size: int, ttl: int | None) -> None:
        self.serial += 1
        if key not in self.model.rows and not self.model.is_lru:
            self.cache.sweep(FOREVER)  # Else what has expired under the key keeps its place.
        taken = self.cache.set(key, self.serial, ttl=ttl, size=size)
        assert taken == self.model.set(key, self.serial, size, ttl, self.clock.now())

    @rule(key=KEYS, size=SIZES, ttl=TTLS)
    def set(self, key: int, size: int, ttl: int | None) -> None:
        """Take in a value."""
        self._set(key, size, ttl)

    @rule(key=KEYS, size=SIZES, wanted=st.integers(1, 5_000))
    def set_under_pressure(self, key: int, size: int, wanted: int) -> None:
        """Take in a value while the budget is short."""
        self.cache.sweep(FOREVER)
        refused = self.model.refused
        self.meter.wanted = wanted
        self._set(key, size, None)
        self.meter.wanted = 0
        if self.model.refused == refused:
            self.model.relieve(wanted)

    @rule(key=KEYS)
    def get(self, key: int) -> None:
        """Look one up."""
        assert self.cache.get(key) == self.model.get(key)

    @rule(key=KEYS)
    def look(self, key: int) -> None:
        """Look without touching."""
        row = self.model.rows.get(key)
        assert self.cache.peek(key, None) == (None if row is None else row.value)
        assert (key in self.cache) == (row is not None)

    @rule(key=KEYS)
    def pop(self, key: int) -> None:
        """Take one out."""
        row = self.model.drop(key)
        assert self.cache.pop(key, None) == (None if row is None else row.value)

    @rule(key=KEYS)
    def delete(self, key: int) -> None:
        """Forget one."""
        assert self.cache.delete(key) == (self.model.drop(key) is not None)

    @rule(seconds=st.integers(1, 15))
    def wait(self, seconds: int) -> None:
        """Let time pass."""
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
        """Be asked to shrink."""
        self.cache.sweep(FOREVER)
        assert self.cache.reclaim(wanted, FOREVER) == self.model.relieve(wanted)

    @precondition(lambda self: self.serial % 3 == 0)
    @rule(max_bytes=BOUNDS, max_entries=ENTRIES)
    def resize(self, max_bytes: int | None, max_entries: int | None) -> None:
        """Change the bounds."""
        self.cache.resize(max_bytes=max_bytes, max_entries=max_entries)
        self.model.max_bytes, self.model.max_entries = max_bytes, max_entries
        self.model.keep_bounds()

    @precondition(lambda self: self.serial % 7 == 0)
    @rule()
    def clear(self) -> None:
        """Forget everything."""
        self.cache.clear()
        self.model.small.clear()
        self.model.main.clear()
        self.model.ghost.clear()
        self.model.ghosts, self.model.fresh = 0, None

    @invariant()
    def it_answers_as_the_model_does(self) -> None:
        """Same entries, in the same order."""
        expected = [(key, row.value) for key, row in self.model.rows.items()]
        assert self.cache.items() == expected
        assert self.cache.keys() == list(self.cache) == [key for key, _ in expected]

    @invariant()
    def it_evicts_as_the_model_does(self) -> None:
        """The same entries for the same causes, and what had expired is told as such."""
        assert [what for what in self.told if what[2] != "expired"] == self.model.evicted

    @invariant()
    def its_sums_agree_and_keep_the_bounds(self) -> None:
        """What is held is counted, and never more than the bounds allow."""
        check(self.cache)
        held = self.cache.held_bytes()
        assert self.model.bytes <= held
        assert len(self.model.rows) <= len(self.cache)
        assert self.model.max_bytes is None or held <= self.model.max_bytes
        assert self.model.max_entries is None or len(self.cache) <= self.model.max_entries

    @invariant()
    def its_statistics_add_up(self) -> None:
        """They are the model's, and reading them changes nothing."""
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
TestCache.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
