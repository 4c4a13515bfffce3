"""What a spilling cache knows of its disk: what waits, what stands there, what is on its way back.

Everything here is done at once under one lock, in which nothing foreign runs but the keys' own
`__hash__` and `__eq__`; the disk is never waited for in it.

How an old value is kept from coming back. Of a key there is at most one copy that waits and one on
the disk. A thread that sets, pops or deletes a key first takes both out, and makes void what
another thread is bringing back just then (`coming`); only then memory is changed. A copy that was
taken out is never put in again: whatever is done with it looks first whether it still stands.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

from membudget.core import Record
from membudget.core.native import RLock

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

ROW_BYTES = 265
"""Bytes of memory that an entry on the disk costs besides its key, measured with tracemalloc."""


class Copy(Record):
    """An evicted value: one that waits for the disk, or stands there.

    Attributes:
        ends: When it expires (monotonic seconds).
        dies: The same, `idle` considered.
        size: The size that the program gave with it, or None.
        bytes: What it weighs, or takes up on the disk, about.
        value: The value while it waits.
        number: What the disk knows it by, a generation of its own; None while it waits.
    """

    ends: float
    dies: float
    size: Any
    bytes: int
    value: Any = None
    number: int | None = None


class Ledger:
    """The waiting values and the rows of one cache.

    Any thread may call any method. What methods return is dropped by the caller, outside the lock.

    Args:
        waiting_bytes: Bytes that may wait.
    """

    def __init__(self, waiting_bytes: int) -> None:
        self.most_waiting = waiting_bytes
        self.spilled = self.hits = self.dropped = self.unpicklable = self.failed = 0
        self._next = itertools.count(1).__next__
        self.renew()

    def renew(self) -> None:
        """Begin anew, also in a forked child, with nothing on the disk and nothing under way."""
        self.lock = RLock()
        self.waiting: dict[Hashable, Copy] = {}
        self.rows: OrderedDict[Hashable, Copy] = OrderedDict()
        self.coming: dict[Hashable, Copy | None] = {}
        self.doomed: deque[int] = deque()
        self.waiting_bytes = 0

    def is_empty(self) -> bool:
        """Whether nothing waits and nothing stands on the disk. No lock."""
        return not self.rows and not self.waiting

    def offer(self, key: Hashable, copy: Copy, *, is_alone: bool) -> object:
        """Have a value wait for the disk, or count it as dropped where too much waits.

        Args:
            key: Its key.
            copy: The value.
            is_alone: Whether one larger than what may wait is taken while nothing else waits.

        Returns:
            What waited under the key.
        """
        with self.lock:
            is_much = self.waiting_bytes + copy.bytes > self.most_waiting
            if is_much and (self.waiting or not is_alone):
                self.dropped += 1
                return None
            before = self._take_waiting(key)
            self.waiting[key] = copy
            self.waiting_bytes += copy.bytes
            return before

    def find(self, key: Hashable, now: float) -> Copy | None:
        """What waits or stands on the disk under a key, unless it has expired."""
        with self.lock:
            found = self.waiting.get(key) or self.rows.get(key)
            return None if found is None or found.dies <= now else found

    def lend(self, key: Hashable, now: float) -> tuple[Copy | None, bool]:
        """The same, and whether the caller is to bring it back into memory, then to `land` it.

        Only one at a time is: others read it and leave it.
        """
        with self.lock:
            found = self.find(key, now)
            if found is None or key in self.coming:
                return found, False
            self.coming[key] = found
            return found, True

    def is_void(self, key: Hashable, copy: Copy) -> bool:
        """Whether the key was changed since this was lent."""
        return self.coming.get(key) is not copy

    def land(self, key: Hashable, copy: Copy, *, is_done: bool) -> None:
        """End the way of what was lent; where that is done, it is no more what stands there."""
        with self.lock:
            if is_done and not self.is_void(key, copy):
                if self.waiting.get(key) is copy:
                    self._take_waiting(key)
                if self.rows.get(key) is copy:
                    self.doom(self.rows.pop(key))
            self.coming.pop(key, None)

    def take(self, key: Hashable) -> list[Copy]:
        """Take out what is under a key, the newest first, for the caller to `doom` or put back."""
        with self.lock:
            if key in self.coming:
                self.coming[key] = None
            found = self._take_waiting(key), self.rows.pop(key, None)
            return [one for one in found if one is not None]

    def put_back(self, key: Hashable, copies: Sequence[Copy]) -> None:
        """The key was not changed after all, as the caller knows within the lock."""
        with self.lock:
            for copy in copies:
                if copy.number is None:
                    self.offer(key, copy, is_alone=True)
                else:
                    self.rows[key] = copy

    def doom(self, *copies: Copy) -> None:
        """Have what was taken out deleted from the disk, if it stands there."""
        self.doomed.extend(copy.number for copy in copies if copy.number is not None)

    def next_waiting(self) -> tuple[Hashable, Copy] | None:
        """What has waited for longest; it stays until it is `written` or `unwritten`."""
        with self.lock:
            for key, waiting in self.waiting.items():
                return key, waiting
        return None

    def written(self, key: Hashable, waiting: Copy, number: int, stored: int) -> None:
        """What waited stands on the disk now; unless it was taken out meanwhile."""
        row = waiting.replace(value=None, number=number, bytes=stored)
        with self.lock:
            self.spilled += 1
            if self.waiting.get(key) is not waiting:
                self.doom(row)
                return
            self.doom(*self.take(key))
            self.rows[key] = row

    def unwritten(self, key: Hashable, waiting: Copy, why: str | None) -> None:
        """What waited goes nowhere, and counts as "dropped" or "unpicklable", or as nothing."""
        with self.lock:
            if why is not None:
                self.count(why)
            if self.waiting.get(key) is waiting:
                self._take_waiting(key)

    def oldest(self) -> Copy | None:
        """The row that was written first."""
        with self.lock:
            return next(iter(self.rows.values()), None)

    def take_oldest(self, dead_at: float | None = None) -> Copy | None:
        """Take out the row that was written first, if it is dead by then."""
        with self.lock:
            row = self.oldest()
            if row is None or (dead_at is not None and row.dies > dead_at):
                return None
            return self.rows.popitem(last=False)[1]

    def empty(self) -> object:
        """Forget everything, also what is on its way back."""
        with self.lock:
            self.doom(*self.rows.values())
            gone = self.waiting, self.rows
            self.waiting, self.rows, self.waiting_bytes = {}, OrderedDict(), 0
            self.coming = dict.fromkeys(self.coming)
            return gone

    def count(self, what: str) -> None:
        """Count a "dropped" value, an "unpicklable" one, a hit ("hits"), or a "failed" one."""
        with self.lock:
            setattr(self, what, getattr(self, what) + 1)

    def new_number(self) -> int:
        """A number never given before."""
        return self._next()

    def take_over(self, rows: OrderedDict[Hashable, Copy], highest: int) -> None:
        """Know rows that an earlier process left, and give no number again that it has given."""
        with self.lock:
            self._next = itertools.count(max(highest + 1, self._next())).__next__
            self.rows = rows

    def held_bytes(self) -> int:
        """Bytes of memory: what waits, and what is known of the rows. No lock."""
        return self.waiting_bytes + len(self.rows) * ROW_BYTES

    def _take_waiting(self, key: Hashable) -> Copy | None:
        waiting = self.waiting.pop(key, None)
        if waiting is not None:
            self.waiting_bytes -= waiting.bytes
        return waiting
