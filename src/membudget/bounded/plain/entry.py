"""One entry of a table, and the rings that entries are linked in."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

GONE = float("-inf")
"""When an entry expired that was taken out: whoever still holds it must look again."""


class Ring:
    """A queue: nothing before the oldest, nothing after the newest.

    Args:
        number: Its place among the queues of a table.
    """

    __slots__ = ("after", "before", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.before: Any = self
        self.after: Any = self

    def take_apart(self) -> None:
        """Undo the circle, entry by entry, for the collector need not find it then."""
        one = self.after
        self.before = self.after = self
        while one is not self and one is not None:
            following = one.after
            one.before = one.after = None
            one = following


class Slot:
    """An end of a circle of entries that expire at about the same time, in order of arrival."""

    __slots__ = ("later", "sooner")

    def __init__(self) -> None:
        self.sooner: Any = self
        self.later: Any = self

    def take_apart(self) -> None:
        """Undo the circle, entry by entry."""
        one = self.later
        self.sooner = self.later = self
        while one is not self and one is not None:
            following = one.later
            one.sooner = one.later = None
            one = following


class Entry(Generic[K, V]):
    """A key, its value, its place in the order of eviction, and its place among the times.

    Attributes:
        weight: Bytes; 0 once it was taken out.
        born: Monotonic seconds when it was set.
        expires: Monotonic seconds; None where a read need not look at the time, nor take the lock.
        used: The tick of the last use, where that counts.
        freq: Hits since it came into its queue, at most 3.
        ring: The queue that it stands in, or stood in last.
        mark: What it was worth when it was linked, on the clock of the order by worth.
        tag: What the ghost knows it by.
        is_loose: Whether it may weigh something else by now.
        before, after: Its neighbours in the queue; None where it is in none.
        sooner, later: Its neighbours in the wheel; None where it is not there.
    """

    __slots__ = (
        "after",
        "before",
        "born",
        "expires",
        "freq",
        "is_loose",
        "key",
        "later",
        "mark",
        "ring",
        "sooner",
        "tag",
        "used",
        "value",
        "weight",
    )

    def __init__(  # noqa: PLR0917  # by place, as above
        self,
        key: K,
        value: V,
        weight: int,
        tag: int,
        born: float,
        expires: float | None,
        is_loose: bool = False,  # noqa: FBT001, FBT002  # by place is faster, and each set makes one
    ) -> None:
        self.key = key
        self.value = value
        self.weight = weight
        self.tag = tag
        self.born = born
        self.expires = expires
        self.is_loose = is_loose
        self.ring: Any = None
        self.freq = self.used = self.mark = 0
        self.before: Any = None
        self.after: Any = None
        self.sooner: Any = None
        self.later: Any = None
