"""The fallback's entries, and which of them expire next: a heap of times to look at one.

What is used is not moved in the heap: its time is looked at when it comes up, and noted anew.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Any

NEVER = float("inf")

_MOVES = 1024  # Times looked at in one search: those of values used since are noted anew.
_SPARE = 64  # Marks that count no more, beside one for each entry, before they are taken out.


class Entry:
    """A key and its value; `weight` is 0 once it was taken out.

    `since` is when it was set, or last used where `idle` counts; `due` when its mark says to look
    at it, and other marks of it do not count.
    """

    __slots__ = ("due", "expires", "is_loose", "key", "since", "value", "weight")

    def __init__(self, key: Any, value: Any, weight: int, is_loose: bool) -> None:  # noqa: FBT001  # as it is weighed
        self.key, self.value, self.weight, self.is_loose = key, value, weight, is_loose
        self.since, self.expires, self.due = 0.0, NEVER, NEVER


class _Mark(float):
    """When to look at an entry: a float, so that the heap compares it without Python code."""

    __slots__ = ("entry",)

    entry: Entry


class Schedule:
    """Times to look at entries. Not for several threads at once.

    Args:
        idle: Seconds without use after which an entry expires, or None.

    Attributes:
        marks: The heap; the first is the soonest.
        is_behind: Whether the last search ended before its end, as many had been used since.
    """

    __slots__ = ("_idle", "is_behind", "marks")

    def __init__(self, idle: float | None) -> None:
        self.marks: list[_Mark] = []
        self.is_behind = False
        self._idle = idle

    def ends(self, entry: Entry) -> float:
        """When an entry expires if it is not used any more; infinite for never."""
        idle = self._idle
        return entry.expires if idle is None else min(entry.expires, entry.since + idle)

    def mark(self, entry: Entry, entries: int) -> None:
        """Note when an entry is due, in a table of so many entries."""
        self._note(entry)
        if (count := len(self.marks)) > 2 * entries + _SPARE:  # Most count no more.
            heapify(marks := [one for one in self.marks if one == one.entry.due])
            self.marks = marks if len(self.marks) == count else self.marks

    def next_expired(self, now: float) -> Entry | None:
        """An entry that has expired; None where none is known to have."""
        marks, self.is_behind = self.marks, False
        for _ in range(_MOVES):
            if not marks or not marks[0] <= now:
                return None
            mark = heappop(marks)
            entry: Entry = mark.entry
            if mark == entry.due:
                ends = self.ends(entry)
                if ends <= now:
                    return entry
                entry.due = ends  # It was used since.
                self._note(entry)
        self.is_behind = True
        return None

    def _note(self, entry: Entry) -> None:
        mark = _Mark(entry.due)
        mark.entry = entry
        heappush(self.marks, mark)
