"""The ghost: which keys were evicted lately, without keeping them.

One eight-byte slot for each: a 32-bit tag of the key's hash beside the number of the eviction, so
that one of long ago, or of another key in the same slot, is told from one that counts. A wrong
match (one in four billion) costs a place in the main queue.
"""

from __future__ import annotations

from array import array

_HALF = (1 << 32) - 1
_GOLDEN = 0x9E3779B97F4A7C15
"""2^64 divided by the golden ratio. Source: Knuth, The Art of Computer Programming 3, 6.4."""

_FEWEST_SLOTS = 64
_FEWEST_KNOWN = 16
_LOOSE = 4
_LARGE = 1 << 18
"""Slots beyond which what is known is mostly of long ago, and looking through it takes long."""


def tag_of(hashed: int) -> int:
    """The tag of a key with this hash: 32 bits, never 0."""
    return hashed * _GOLDEN >> 32 & _HALF or 1


class Ghost:
    """Tags of the last keys evicted, as many as there are entries. Not for several threads.

    Attributes:
        added: Keys put in since it was made.
    """

    __slots__ = ("_slots", "added")

    def __init__(self) -> None:
        self._slots = array("Q")
        self.added = 0

    def add(self, tag: int, entries: int) -> None:
        """Remember a key just evicted, where so many entries are left."""
        self.added += 1
        size = len(self._slots)
        if size < entries or not size:
            size = max(size, _FEWEST_SLOTS)
            while size < entries:
                size *= 2
            self._slots = self._moved(size)
        self._slots[tag & (size - 1)] = tag << 32 | self.added & _HALF

    def take(self, tag: int, entries: int) -> bool:
        """Whether a key was evicted lately, for a table of so many entries; it forgets it then."""
        slots = self._slots
        if not slots:
            return False
        at = tag & (len(slots) - 1)
        slot = slots[at]
        if slot >> 32 != tag or (self.added - slot) & _HALF >= max(_FEWEST_KNOWN, entries):
            return False
        slots[at] = 0
        return True

    def known(self, entries: int) -> int:
        """At most how many keys it remembers."""
        return min(max(_FEWEST_KNOWN, entries), self.added)

    def fold(self, entries: int) -> None:
        """Give memory back where four times as much is held as so many entries need."""
        fit = _FEWEST_SLOTS
        while fit < entries:
            fit *= 2
        if len(self._slots) > _LOOSE * fit:
            if len(self._slots) > _LARGE:
                self._slots = array("Q")
            self._slots = self._moved(fit)

    def _moved(self, size: int) -> array[int]:
        moved = array("Q", bytes(8 * size))
        for slot in self._slots:
            if slot:
                moved[slot >> 32 & (size - 1)] = slot
        return moved
