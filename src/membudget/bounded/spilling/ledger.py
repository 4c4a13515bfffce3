"""What a spilling cache knows of its disk: what waits, what stands there, what is out of date.

Everything here is done at once under one lock, in which nothing foreign runs but the keys' own
`__hash__` and `__eq__`; the disk is never waited for in it.

How an old value is kept from coming back. A value may be on its way, out of memory or back, in one
thread while another replaces or deletes it. So each entry carries a *stamp* from one counter, and
each `set`, `pop` and `delete` of a key first notes a stamp of its own, the key's *floor*: what is
older than the floor is out of date, wherever it is met. A *flight* is any operation in which a
value may be on its way; floors are remembered until no flight is under way, for whatever a later
one finds was put there after them.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING

from membudget.bounded.spilling.rows import ROW_BYTES, Row, Waiting, stamp_of
from membudget.core.native import RLock

if TYPE_CHECKING:
    from collections.abc import Hashable

    from membudget.bounded.spilling.rows import Cell

MOST_FLOORS = 4096
"""Floors remembered at a time; beyond, nothing is spilled until no flight is under way."""

_LOOKED_AT = 256


class Ledger:
    """The waiting values, the rows, the floors and the flights of one cache.

    Any thread may call any method. What methods return is dropped by the caller, outside the lock.

    Args:
        waiting_bytes: Bytes that may wait.
    """

    def __init__(self, waiting_bytes: int) -> None:
        self.lock = RLock()
        self.most_waiting = waiting_bytes
        self.spilled = self.hits = self.dropped = self.unpicklable = self.failed = 0
        self._next = itertools.count(1).__next__
        self.reset()

    def reset(self) -> None:
        """Begin anew, with nothing on the disk and nothing under way."""
        self.waiting: dict[Hashable, Waiting] = {}
        self.rows: dict[Hashable, Row] = {}
        self.doomed: deque[int] = deque()
        self.waiting_bytes = 0
        self.coming: dict[int, Hashable] = {}
        self._floors: dict[Hashable, int] = {}
        self._floor = 0
        self._flights: set[int] = set()
        self._is_blind = False
        self._oldest: deque[Hashable] = deque()

    def renew(self) -> None:
        """Begin anew in a forked child, with a lock of its own."""
        self.lock = RLock()
        self.reset()

    def is_empty(self) -> bool:
        """Whether nothing waits and nothing stands on the disk. No lock."""
        return not self.rows and not self.waiting

    def begin(self) -> int:
        """Begin a flight; returns what `end` is to be given."""
        with self.lock:
            flight = self._next()
            self._flights.add(flight)
            return flight

    def begin_change(self, key: Hashable) -> tuple[int, int]:
        """Begin a flight that changes a key; its number is the key's new floor.

        Returns:
            The flight, and the floor there was.
        """
        with self.lock:
            before = self._floor_of(key)
            flight = self.begin()
            if len(self._floors) >= MOST_FLOORS:
                self._is_blind = True
                self._floors.clear()
            self._floors[key] = flight
            return flight, before

    def undo_change(self, flight: int, key: Hashable) -> None:
        """The key was not changed after all."""
        with self.lock:
            if self._floors.get(key) == flight:
                del self._floors[key]

    def end(self, flight: int) -> None:
        """End a flight. Nothing happens for one from before a fork."""
        with self.lock:
            self._flights.discard(flight)
            self.coming.pop(flight, None)
            if not self._flights:
                self._is_blind = False
                if self._floors:
                    self._floors = {}

    def is_stale(self, key: Hashable, stamp: int) -> bool:
        """Whether what bears this stamp is out of date, or may be."""
        with self.lock:
            return self._is_blind or stamp < self._floor_of(key)

    def offer(
        self, key: Hashable, cell: Cell, weight: int, dies: float, *, is_alone: bool
    ) -> object:
        """Have a value wait for the disk, or count it as dropped where too much waits.

        Args:
            key: Its key.
            cell: What was noted of it.
            weight: Bytes.
            dies: When it is gone at the latest.
            is_alone: Whether one larger than what may wait is taken while nothing else waits.

        Returns:
            What waited under the key; to be dropped.
        """
        with self.lock:
            if self.is_stale(key, cell[2]):
                self.dropped += self._is_blind
                return None
            if self.waiting_bytes + weight > self.most_waiting and (self.waiting or not is_alone):
                self.dropped += 1
                return None
            before = self._take_waiting(key)
            self.waiting[key] = Waiting(cell, weight, dies)
            self.waiting_bytes += weight
            return before

    def find(self, key: Hashable, now: float) -> Waiting | Row | None:
        """What waits or stands on the disk under a key, unless it is out of date."""
        with self.lock:
            found = self.waiting.get(key) or self.rows.get(key)
            if found is None or found.dies <= now or self.is_stale(key, stamp_of(found)):
                return None
            return found

    def lend(self, key: Hashable, now: float) -> tuple[Waiting | Row | None, int]:
        """What is under a key, to be brought back, and the flight that this begins.

        Where that is 0 there is nothing; what comes with it had expired, and is to be dropped.
        """
        with self.lock:
            found = self.find(key, now)
            if found is None:
                return self._forget_dead(key, now), 0
            flight = self.begin()
            self.coming[flight] = key
            return found, flight

    def forget(self, key: Hashable, below: int) -> Waiting | Row | None:
        """Take out what is under a key with a stamp below this one; returns the newest of it."""
        with self.lock:
            waiting, row = self.waiting.get(key), self.rows.get(key)
            if row is not None and row.stamp < below:
                del self.rows[key]
                self.doomed.append(row.number)
            else:
                row = None
            if waiting is not None and waiting.cell[2] < below:
                return self._take_waiting(key)
            return row

    def next_waiting(self) -> tuple[Hashable, Waiting] | None:
        """What has waited for longest; it stays until it is `written` or `unwritten`."""
        with self.lock:
            for key, waiting in self.waiting.items():
                return key, waiting
        return None

    def written(self, key: Hashable, waiting: Waiting, row: Row) -> None:
        """What waited stands on the disk now; unless it was forgotten meanwhile."""
        with self.lock:
            self.spilled += 1
            if self.waiting.get(key) is not waiting:
                self.doomed.append(row.number)
                return
            self._take_waiting(key)
            before = self.rows.pop(key, None)
            if before is not None:
                self.doomed.append(before.number)
            self.rows[key] = row

    def unwritten(self, key: Hashable, waiting: Waiting, why: str | None) -> None:
        """What waited goes nowhere, and counts as "dropped" or "unpicklable", or as nothing."""
        with self.lock:
            if why is not None:
                self.count(why)
            if self.waiting.get(key) is waiting:
                self._take_waiting(key)

    def take_oldest(self) -> Row | None:
        """Take out the row that was written first, for the caller to delete."""
        with self.lock:
            row = self.oldest()
            if row is not None:
                del self.rows[self._oldest.popleft()]
            return row

    def oldest(self) -> Row | None:
        """The row that was written first."""
        with self.lock:
            while self.rows:
                if not self._oldest:
                    # In lots: the front of a dict that loses its first is slow to find.
                    self._oldest.extend(itertools.islice(self.rows, _LOOKED_AT))
                row = self.rows.get(self._oldest[0])
                if row is not None:
                    return row
                self._oldest.popleft()
            return None

    def forget_oldest(self, dead_at: float | None = None) -> bool:
        """Forget the row that was written first, if it is dead by then; returns whether it was."""
        with self.lock:
            row = self.oldest()
            if row is None or (dead_at is not None and row.dies > dead_at):
                return False
            self.take_oldest()
            self.doomed.append(row.number)
            return True

    def empty(self) -> object:
        """Forget everything, and hold all that is older than this for out of date."""
        with self.lock:
            self._floor = self._next()
            gone = self.waiting, self.rows
            self.doomed.extend(row.number for row in self.rows.values())
            self.waiting, self.rows, self.waiting_bytes = {}, {}, 0
            self._oldest.clear()
            return gone

    def count(self, what: str) -> None:
        """Count a "dropped" value, an "unpicklable" one, a hit ("hits"), or a "failed" one."""
        with self.lock:
            setattr(self, what, getattr(self, what) + 1)

    def new_number(self) -> int:
        """A number, or a stamp, never given before."""
        return self._next()

    def take_over(self, rows: dict[Hashable, Row], highest: int) -> None:
        """Know rows that an earlier process left, and give no number again that it has given."""
        with self.lock:
            self._next = itertools.count(max(highest + 1, self._next())).__next__
            self.rows = rows

    def held_bytes(self) -> int:
        """Bytes of memory: what waits, and what is known of the rows. No lock."""
        return self.waiting_bytes + len(self.rows) * ROW_BYTES

    def _floor_of(self, key: Hashable) -> int:
        return max(self._floor, self._floors.get(key, 0)) if self._floors else self._floor

    def _forget_dead(self, key: Hashable, now: float) -> Waiting | Row | None:
        found = self.waiting.get(key) or self.rows.get(key)
        if found is None or found.dies > now:
            return None
        return self.forget(key, stamp_of(found) + 1)

    def _take_waiting(self, key: Hashable) -> Waiting | None:
        waiting = self.waiting.pop(key, None)
        if waiting is not None:
            self.waiting_bytes -= waiting.weight
        return waiting
