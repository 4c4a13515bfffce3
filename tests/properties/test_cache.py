"""The cache against a naive model: same answers, same order, and sums that stay within bounds.

The model knows no sweeping: what has expired is gone from it at once. That the cache answers the
same shows that expired entries, however long it holds them, cost no live entry its place.
"""

from __future__ import annotations

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

from cache_oracle import check
from fakes import FakeClock
from membudget.bounded.cache import Cache
from membudget.bounded.table import IS_COMPILED, POLICIES
from membudget.core import Meter
from membudget.registry import Registry

EXAMPLES = int(os.environ.get("CACHE_EXAMPLES", "100"))
"""How many every day; by hand more, after a change of the order or of the times."""

FOREVER = float("inf")
KEYS = st.integers(0, 12)
BOUNDS = st.none() | st.integers(1_000, 8_000)
ENTRIES = st.none() | st.integers(1, 8)
TTLS = st.none() | st.integers(1, 20) | st.sampled_from([0.5, 64, 65, 4096, 300_000])
IDLES = st.none() | st.integers(1, 20) | st.sampled_from([1.5, 64, 5_000])
WAITS = st.integers(1, 15) | st.sampled_from([1 / 64, 0.5, 63.5, 64, 4095, 4096, 300_000])
SIZES = st.integers(1, 2_500)

MAIN, RANKS, KNOWN_RANK = 1, 8, 2


class Asking(Meter):
    """A meter that asks for what it is told to."""

    wanted = 0

    def claim(self, weight: int) -> int:
        """Ask once."""
        wanted, self.wanted = self.wanted, 0
        return wanted


class Row:
    """One entry of the model."""

    def __init__(self, value: int, weight: int, ends: float, now: float) -> None:
        self.value, self.weight, self.ends, self.used = value, weight, ends, now
        self.hits = self.mark = 0


class Model:
    """What a cache should be: queues of rows by number, and a short memory. In S3-FIFO order.

    Args:
        bounds: In bytes and in entries.
        times: Seconds that a row lasts, and that it lasts without a hit.
    """

    def __init__(
        self, bounds: tuple[int | None, int | None], times: tuple[float | None, float | None]
    ) -> None:
        self.max_bytes, self.max_entries = bounds
        self.ttl, self.idle = times
        self.begin()
        self.ghost_hits = 0
        self.evicted: list[tuple[int, int, str]] = []
        self.hits = self.misses = self.sets = self.refused = 0

    def begin(self) -> None:
        """Have nothing, and remember nothing."""
        self.queues: dict[int, dict[int, Row]] = {}
        self.fresh: int | None = None
        self.ghost: dict[int, tuple[int, int]] = {}
        self.ghosts = 0

    @property
    def rows(self) -> dict[int, Row]:
        """All rows in order."""
        return {key: row for _, queue in sorted(self.queues.items()) for key, row in queue.items()}

    @property
    def bytes(self) -> int:
        """What all rows weigh."""
        return sum(row.weight for row in self.rows.values())

    @property
    def by_count(self) -> bool:
        """Whether entries bind."""
        return self.max_bytes is None and self.max_entries is not None

    def number_of(self, key: int) -> int:
        """The queue in which a key stands."""
        return next(number for number, queue in self.queues.items() if key in queue)

    def move(self, key: int, number: int) -> None:
        """Make a row the newest of a queue."""
        row = self.queues[self.number_of(key)].pop(key)
        self.queues.setdefault(number, {})[key] = row

    def expire(self, now: float) -> None:
        """Drop what has expired."""
        for key, row in self.rows.items():
            if row.ends <= now or (self.idle is not None and row.used + self.idle <= now):
                self.drop(key)

    def drop(self, key: int) -> Row | None:
        """Take a row out."""
        if self.fresh == key:
            self.fresh = None
        return self.queues[self.number_of(key)].pop(key) if key in self.rows else None

    def set(self, key: int, value: int, size: int, ttl: float | None, now: float) -> bool:
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
            row.value, row.weight, row.ends, row.used = value, weight, ends, now
            self.settle(key, row)
            self.touch(key, row)
        else:
            is_known = self.is_known(key)
            self.ghost_hits += is_known
            row = Row(value, weight, ends, now)
            number = self.comes_in_at(row, is_known=is_known)
            self.queues.setdefault(number, {})[key] = row
        self.fresh = key
        self.keep_bounds()
        return True

    def get(self, key: int, now: float) -> int | None:
        """Find and touch."""
        row = self.rows.get(key)
        if row is None:
            self.misses += 1
            return None
        self.hits += 1
        row.used = now
        self.touch(key, row)
        return row.value

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
        if self.is_remembered(key):
            self.ghosts += 1
            self.ghost[slot_of(key)] = key, self.ghosts
        row = self.drop(key)
        assert row is not None
        self.evicted.append((key, row.value, cause))

    def is_known(self, key: int) -> bool:
        """Whether it was one of the last evicted, unless another took its slot."""
        known, serial = self.ghost.get(slot_of(key), (None, 0))
        if known != key or self.ghosts - serial >= max(16, len(self.rows)):
            return False
        del self.ghost[slot_of(key)]
        return True

    def comes_in_at(self, row: Row, *, is_known: bool) -> int:
        """The queue that a new row comes into."""
        del row
        return MAIN if is_known else 0

    def settle(self, key: int, row: Row) -> None:
        """A row weighs something else."""

    def touch(self, key: int, row: Row) -> None:
        """Note a use."""
        del key
        row.hits = min(3, row.hits + 1)

    def is_remembered(self, key: int) -> bool:
        """Whether the ghost is to know a row that is evicted."""
        return key in self.queues.get(0, {})

    def victim(self) -> int:
        """What goes first: the one last set only where it is alone."""
        while True:
            number = 0 if self.is_small_next() else MAIN
            key, row = next(iter(self.queues[number].items()))
            if len(self.rows) == 1:
                return key
            if key == self.fresh:
                self.move(key, number)
            elif row.hits <= (number == 0):
                return key
            else:
                row.hits = 0 if number == 0 else row.hits - 1
                self.move(key, MAIN)

    def is_small_next(self) -> bool:
        """Whether the small queue is looked at."""
        small, main = self.queues.get(0, {}), self.queues.get(MAIN, {})
        if not small or not main:
            return bool(small)
        if list(small) == [self.fresh]:
            return False
        if list(main) == [self.fresh]:
            return True
        if self.by_count:
            return len(small) * 10 >= len(self.rows)
        return sum(row.weight for row in small.values()) * 10 >= self.bytes


class LruModel(Model):
    """The last used goes last."""

    def comes_in_at(self, row: Row, *, is_known: bool) -> int:
        """At the end of the one queue."""
        del row, is_known
        return MAIN

    def touch(self, key: int, row: Row) -> None:
        """The last used now."""
        del row
        self.move(key, MAIN)

    def is_remembered(self, key: int) -> bool:
        """All are."""
        del key
        return True

    def victim(self) -> int:
        """The longest unused."""
        if next(iter(self.rows)) == self.fresh:
            self.move(self.fresh, MAIN)
        return next(iter(self.rows))


class WorthModel(Model):
    """What is worth least for its bytes goes first: a queue for each class of weight and rank."""

    def begin(self) -> None:
        """As the others; and the clock stands at nothing."""
        super().begin()
        self.clock = 0

    def class_of(self, row: Row) -> int:
        """The power of two that it weighs."""
        return 0 if self.by_count else row.weight.bit_length() - 1

    def marked(self, row: Row, number: int) -> int:
        """The same number; the row gets the mark that it has when it is linked there now."""
        one, rank = divmod(number, RANKS)
        row.mark = self.clock + (2 * rank + 3) ** 2 * ((741455 if one % 2 else 1 << 20) >> one // 2)
        return number

    def comes_in_at(self, row: Row, *, is_known: bool) -> int:
        """By its weight, and by whether it was evicted lately."""
        return self.marked(row, self.class_of(row) * RANKS + (KNOWN_RANK if is_known else 0))

    def settle(self, key: int, row: Row) -> None:
        """Another class of weight is another queue; the rank stays."""
        one, rank = divmod(self.number_of(key), RANKS)
        if one != self.class_of(row):
            self.move(key, self.marked(row, self.class_of(row) * RANKS + rank))

    def is_remembered(self, key: int) -> bool:
        """All are."""
        del key
        return True

    def victim(self) -> int:
        """The lowest mark of the queues' ends; of equal ones the heavier, then the lower rank."""
        while True:
            ends = [
                (row.mark, -(number // RANKS), number % RANKS, key)
                for number, queue in self.queues.items()
                for key, row in list(queue.items())[:1]
                if key != self.fresh or len(self.rows) == 1
            ]
            key = min(ends)[3] if ends else self.fresh
            assert key is not None
            row, number = self.rows[key], self.number_of(key)
            if ends:
                self.clock = max(self.clock, row.mark)
                if not row.hits:
                    return key
                row.hits = 0
                number += number % RANKS < RANKS - 1
            self.move(key, self.marked(row, number))


MODELS = {"gdsf": WorthModel, "s3fifo": Model, "lru": LruModel}


def slot_of(key: int) -> int:
    """The slot of the ghost that knows a key. Source: Knuth, The Art of Computer Programming 3."""
    if not IS_COMPILED:
        return key % 64
    return (key * 0x9E3779B97F4A7C15 >> 32 & 0xFFFFFFFF or 1) % 64


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
        """Begin with an empty cache under a budget."""
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
        self.model = MODELS[policy](bounds, times)
        self.serial = 0

    def _set(self, key: int, size: int, ttl: float | None) -> None:
        self.serial += 1
        if key not in self.model.rows:
            self.cache.sweep(FOREVER)  # Else what has expired under the key keeps its place.
        taken = self.cache.set(key, self.serial, ttl=ttl, size=size)
        assert taken == self.model.set(key, self.serial, size, ttl, self.clock.now())

    @rule(key=KEYS, size=SIZES, ttl=TTLS)
    def set(self, key: int, size: int, ttl: float | None) -> None:
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
        assert self.cache.get(key) == self.model.get(key, self.clock.now())

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

    @rule(seconds=WAITS)
    def wait(self, seconds: float) -> None:
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
        self.model.begin()

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
