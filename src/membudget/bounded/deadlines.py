"""When entries expire, in order: a heap with records that may have gone stale.

Taking a record out of the middle of a heap is slow, so a record stays when its entry is replaced or
removed, and is passed over when it comes up. To keep such records from piling up (each holds 240
bytes that nobody counts), a heap grown to a quarter more than the entries is moved, a few records
at each addition, into a new one without the stale ones.
Its last record can always go first: a heap without its last item is still a heap.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from membudget.bounded.entry import Entry

_Record: TypeAlias = "tuple[float, int, Entry[Any, Any]]"

_MOVED_AT_A_TIME = 8
_SPARE = 64


class Deadlines:
    """The entries that expire, soonest first. Not for several threads at once."""

    __slots__ = ("_heap", "_leaving", "_serials")

    def __init__(self) -> None:
        self._heap: list[_Record] = []
        self._leaving: list[_Record] = []
        self._serials = count()

    def __len__(self) -> int:
        return len(self._heap) + len(self._leaving)

    def add(self, entry: Entry[Any, Any], entries: int) -> None:
        """Note when an entry expires; `entries` is how many there are, for the tidying."""
        if entry.expires is None:
            return
        # The serial settles ties, so that entries are never compared.
        heappush(self._heap, (entry.expires, next(self._serials), entry))
        if self._leaving:
            self._move_some()
        elif len(self._heap) > entries + entries // 4 + _SPARE:
            self._heap, self._leaving = self._leaving, self._heap

    def soonest(self) -> float | None:
        """When the next entry expires, or earlier where a record is stale; None for never.

        Any thread may ask.
        """
        heads = [record[0] for heap in (self._heap, self._leaving) for record in heap[:1]]
        return min(heads) if heads else None

    def pop_due(self, now: float) -> Entry[Any, Any] | None:
        """An entry that has expired by `now`, its record removed; None where there is none."""
        for heap in (self._heap, self._leaving):
            while heap and heap[0][0] <= now:
                record = heappop(heap)
                if _is_true(record):
                    return record[2]
        return None

    def drain(self) -> None:
        """Forget all, some at a time, so that no other thread waits long."""
        for heap in (self._heap, self._leaving):
            while heap:
                del heap[-1024:]

    def _move_some(self) -> None:
        for _ in range(_MOVED_AT_A_TIME):
            if not self._leaving:
                return
            record = self._leaving.pop()
            if _is_true(record):
                heappush(self._heap, record)


def _is_true(record: _Record) -> bool:
    expires, _, entry = record
    return entry.expires is expires and entry.is_held()
