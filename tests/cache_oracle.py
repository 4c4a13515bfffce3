"""A cache's naive model; and a look inside a cache: what it holds, counts and finds agree."""

from typing import Any

from membudget.cache.cache import Cache
from membudget.cache.table import IS_COMPILED

FOREVER = float("inf")
MAIN, RANKS, KNOWN_RANK = 1, 8, 2


def check(cache: Cache[Any, Any]) -> None:
    """Fail where what a cache holds, what it counts and what it finds are not the same."""
    counts = cache._counts()
    assert counts["entries"] == len(cache)
    assert counts["bytes"] == cache.held_bytes()
    keys = cache.keys()
    assert len(keys) <= len(cache)
    assert 0 <= cache.held_bytes() < 1 << 62, "counted below nothing"
    assert bool(cache.held_bytes()) == bool(len(cache))
    if not IS_COMPILED:
        table: Any = cache
        assert sum(one.weight for one in table._order) == table.held_bytes()
        assert sum(one.is_loose for one in table._order) == table._loose
        found = [one for one in table._index.values() if one in table._order]
        assert len(found) == len(cache), "what is found and what is held are different entries"
        timed = {one for one in table._order if one.due != float("inf")}
        assert timed <= {one.entry for one in table._marks if one == one.entry.due}


class Row:
    def __init__(self, value: int, weight: int, ends: float, now: float) -> None:
        self.value, self.weight, self.ends, self.used = value, weight, ends, now
        self.hits = self.mark = 0


class Model:
    """What a cache should be: queues of rows by number, and a short memory. In S3-FIFO order."""

    def __init__(
        self, bounds: tuple[int | None, int | None], times: tuple[float | None, float | None]
    ) -> None:
        self.max_bytes, self.max_entries = bounds
        self.ttl, self.idle = times  # Seconds that a row lasts, and that it lasts without a hit.
        self.begin()
        self.ghost_hits = 0
        self.evicted: list[tuple[int, int, str]] = []
        self.hits = self.misses = self.sets = self.refused = 0

    def begin(self) -> None:
        self.queues: dict[int, dict[int, Row]] = {}
        self.fresh: int | None = None
        self.ghost: dict[int, tuple[int, int]] = {}
        self.ghosts = 0

    @property
    def rows(self) -> dict[int, Row]:
        return {key: row for _, queue in sorted(self.queues.items()) for key, row in queue.items()}

    @property
    def bytes(self) -> int:
        return sum(row.weight for row in self.rows.values())

    @property
    def by_count(self) -> bool:
        return self.max_bytes is None and self.max_entries is not None

    def number_of(self, key: int) -> int:
        return next(number for number, queue in self.queues.items() if key in queue)

    def move(self, key: int, number: int) -> None:
        row = self.queues[self.number_of(key)].pop(key)
        self.queues.setdefault(number, {})[key] = row

    def expire(self, now: float) -> None:
        for key, row in self.rows.items():
            if row.ends <= now or (self.idle is not None and row.used + self.idle <= now):
                self.drop(key)

    def drop(self, key: int) -> Row | None:
        if self.fresh == key:
            self.fresh = None
        return self.queues[self.number_of(key)].pop(key) if key in self.rows else None

    def set(self, key: int, value: int, size: int, ttl: float | None, now: float) -> bool:
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
        row = self.rows.get(key)
        if row is None:
            self.misses += 1
            return None
        self.hits += 1
        row.used = now
        self.touch(key, row)
        return row.value

    def keep_bounds(self) -> None:
        while self.max_bytes is not None and self.bytes > self.max_bytes:
            self.evict("bytes")
        while self.max_entries is not None and len(self.rows) > self.max_entries:
            self.evict("entries")

    def relieve(self, target: int) -> int:
        before = self.bytes
        while self.rows and before - self.bytes < target:
            self.evict("pressure")
        return before - self.bytes

    def evict(self, cause: str) -> None:
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
        del row
        return MAIN if is_known else 0

    def settle(self, key: int, row: Row) -> None:
        """A row weighs something else."""

    def touch(self, key: int, row: Row) -> None:
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
        del row, is_known
        return MAIN

    def touch(self, key: int, row: Row) -> None:
        del row
        self.move(key, MAIN)

    def is_remembered(self, key: int) -> bool:
        del key
        return True

    def victim(self) -> int:
        """The longest unused, also where it was set last."""
        return next(iter(self.rows))

    def move_to_end(self, key: int, *, newest: bool) -> bool:
        """Move a row to an end; whether it is there."""
        queue = self.queues.get(MAIN, {})
        if key not in queue:
            return False
        row = queue.pop(key)
        self.queues[MAIN] = {**queue, key: row} if newest else {key: row, **queue}
        return True


class WorthModel(Model):
    """What is worth least for its bytes goes first: a queue for each class of weight and rank."""

    def begin(self) -> None:
        super().begin()
        self.clock = 0

    def class_of(self, row: Row) -> int:
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
