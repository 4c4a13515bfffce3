"""What a spilling cache knows of its disk: what waits for it, and what stands there.

Each key of the cache has one note: with its value in memory, waiting, or as a row of the disk. It
is moved under one lock, in which nothing foreign runs but the keys' own `__hash__` and `__eq__`,
and the disk is not waited for; what methods return is dropped by the caller, outside it. Whoever
sets or forgets a key first takes the old note out. Whoever reads, writes or brings back a value
looks afterwards, under the lock, whether its note still stands: so no old value comes back.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

from membudget.core.native import RLock

if TYPE_CHECKING:
    from collections.abc import Hashable

ROW_BYTES = 265
"""Bytes of memory that a value on the disk costs besides its key, measured with tracemalloc."""


class Note:
    """What is known of a value, in memory, waiting for the disk, or standing there.

    Attributes:
        value: The value, unless it stands on the disk.
        ends: When it expires (monotonic seconds).
        dies: The same, `idle` considered.
        size: The size that the program gave with it, or None.
        bytes: What it weighs while it waits, then what it takes up on the disk, about.
        number: What the disk knows it by, a generation of its own; None while it is not there.
    """

    __slots__ = ("bytes", "dies", "ends", "number", "size", "value")

    def __init__(
        self,
        value: Any,
        ends: float,
        dies: float,
        size: Any,
        *,
        weight: int = 0,
        number: int | None = None,
    ) -> None:
        self.value, self.ends, self.dies, self.size = value, ends, dies, size
        self.bytes, self.number = weight, number


class Ledger:
    """The waiting values and the rows of one cache. Any thread may call any method.

    Args:
        most_waiting: Bytes that may wait.

    Attributes:
        lock: Held while any of this, or a note of what is in memory, changes.
        waiting: What waits for the disk, by key.
        rows: What stands there, what was written first before all.
        doomed: Numbers to be deleted from the disk.
        counts: What happened so far, by its name in `SpillStats`.
    """

    def __init__(self, most_waiting: int) -> None:
        self._most_waiting = most_waiting
        self.counts = dict.fromkeys(("spilled", "hits", "dropped", "unpicklable", "failed"), 0)
        self.numbers = itertools.count(1)
        self.renew()

    def renew(self) -> None:
        """Begin anew, also in a forked child, with nothing on the disk and nothing under way."""
        self.lock = RLock()
        self.waiting: dict[Hashable, Note] = {}
        self.rows: OrderedDict[Hashable, Note] = OrderedDict()
        self.doomed: deque[int] = deque()
        self.waiting_bytes = 0

    def count(self, what: str) -> None:
        """Count something more."""
        with self.lock:
            self.counts[what] += 1

    def offer(self, key: Hashable, note: Note, *, is_alone: bool) -> object:
        """Have a value wait for the disk, or count it as dropped where too much waits.

        One larger than what may wait is taken alone, where that is allowed. Returns what was there.
        """
        with self.lock:
            before = self.take(key)
            is_much = self.waiting_bytes + note.bytes > self._most_waiting
            if is_much and (self.waiting or not is_alone):
                self.count("dropped")
            else:
                self.waiting[key] = note
                self.waiting_bytes += note.bytes
            return before

    def find(self, key: Hashable) -> Note | None:
        """What waits or stands on the disk under a key."""
        if not self.rows and not self.waiting:
            return None
        with self.lock:
            return self.waiting.get(key) or self.rows.get(key)

    def take(self, key: Hashable) -> Note | None:
        """Take out what waits or stands on the disk under a key; there, it is deleted."""
        with self.lock:
            note = self.waiting.pop(key, None)
            if note is not None:
                self.waiting_bytes -= note.bytes
                return note
            note = self.rows.pop(key, None)
            if note is not None:
                self.doom(note)
            return note

    def doom(self, row: Note) -> None:
        """Have a row deleted from the disk."""
        self.doomed.append(row.number or 0)

    def next_waiting(self) -> tuple[Hashable, Note] | None:
        """What has waited for longest; it stays until it is `written` or `unwritten`."""
        with self.lock:
            return next(iter(self.waiting.items()), None)

    def written(self, key: Hashable, waiting: Note, number: int, stored: int) -> None:
        """What waited stands on the disk now; unless it was taken out meanwhile."""
        row = Note(None, waiting.ends, waiting.dies, waiting.size, weight=stored, number=number)
        with self.lock:
            self.count("spilled")
            if self.waiting.get(key) is waiting:
                self.take(key)
                self.rows[key] = row
            else:
                self.doom(row)

    def unwritten(self, key: Hashable, waiting: Note, why: str | None) -> None:
        """What waited goes nowhere, and is counted, if it is to be."""
        with self.lock:
            if why is not None:
                self.count(why)
            if self.waiting.get(key) is waiting:
                self.take(key)

    def oldest(self) -> Note | None:
        """What was written first."""
        with self.lock:
            return next(iter(self.rows.values()), None)

    def take_oldest(self, dead_at: float = float("inf")) -> Note | None:
        """Take out what was written first, if it is dead by then."""
        with self.lock:
            row = self.oldest()
            if row is None or row.dies > dead_at:
                return None
            return self.rows.popitem(last=False)[1]

    def empty(self) -> object:
        """Forget everything; returns what is to be dropped."""
        with self.lock:
            self.doomed.extend(row.number or 0 for row in self.rows.values())
            gone = self.waiting, self.rows
            self.waiting, self.rows, self.waiting_bytes = {}, OrderedDict(), 0
            return gone

    def take_over(self, rows: OrderedDict[Hashable, Note], highest: int) -> None:
        """Know rows that an earlier process left, and give no number again that it has given."""
        self.numbers = itertools.count(max(highest + 1, next(self.numbers)))
        self.rows = rows
