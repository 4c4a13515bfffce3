"""The fallback's memory of which keys were evicted lately, without keeping them.

One slot of eight bytes for each entry: half the key's hash beside the number of the eviction, so
that one of long ago, or of another key in the same slot, is told from one that counts. By what it
remembers the budget sees which cache would earn more with more room.
"""

from __future__ import annotations

from array import array

_LOW = (1 << 32) - 1
_FEWEST_SLOTS, _FEWEST_KNOWN = 64, 16


class Ghost:
    """The last keys evicted, as many as there are entries. Not for several threads at once."""

    __slots__ = ("_added", "_slots")

    def __init__(self) -> None:
        self._slots = array("Q")
        self._added = 0

    def add(self, hashed: int, entries: int) -> None:
        """Remember a key just evicted, where so many entries are left."""
        if len(self._slots) < max(_FEWEST_SLOTS, entries):  # What was known is lost, seldom.
            self._slots = array("Q", bytes(8 * _FEWEST_SLOTS << (entries // 64).bit_length()))
        self._added += 1
        slot = (hashed & _LOW or 1) << 32 | self._added & _LOW
        self._slots[hashed & len(self._slots) - 1] = slot

    def take(self, hashed: int, entries: int) -> bool:
        """Whether a key was evicted lately, for a table of so many entries; it forgets it then."""
        if not self._slots:
            return False
        at = hashed & len(self._slots) - 1
        slot = self._slots[at]
        is_late = self._added - slot & _LOW >= max(_FEWEST_KNOWN, entries)
        if is_late or slot >> 32 != (hashed & _LOW or 1):
            return False
        self._slots[at] = 0
        return True

    def known(self, entries: int) -> int:
        """At most how many keys it remembers."""
        return min(max(_FEWEST_KNOWN, entries), self._added)
