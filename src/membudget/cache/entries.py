"""What the plain table keeps of a key: its entry, when it is due, that it was evicted."""

from __future__ import annotations

from array import array
from typing import Any

NEVER = float("inf")
FEWEST_KNOWN = 16  # Evicted keys that a ghost knows, however few entries there are.
_FEWEST_SLOTS, _LOW = 64, (1 << 32) - 1


class Entry:
    """A key and its value; `weight` is 0 once it was taken out."""

    __slots__ = ("due", "expires", "is_loose", "key", "since", "value", "weight")

    key: Any
    value: Any
    weight: int
    is_loose: bool

    def __init__(self, key: Any, value: Any, weighed: tuple[int, bool]) -> None:
        self.key, self.value, (self.weight, self.is_loose) = key, value, weighed
        # When it was set, or last used where `idle` counts; at `due` its mark says to look at it.
        self.since: float = 0.0
        self.expires: float = NEVER
        self.due: float = NEVER


class Mark(float):
    """When to look at an entry: a float, so that the heap compares it without Python code."""

    __slots__ = ("entry",)

    entry: Entry


class Ghost:
    """Which keys were evicted last, as many as there are entries, without keeping them.

    A slot of eight bytes has half a key's hash beside the number of its eviction: one of long ago,
    or of another key, is told.
    """

    def __init__(self) -> None:
        self.added: int = 0
        self.ages: int = 0
        self._slots = array("Q")

    def add(self, hashed: int, entries: int) -> None:
        """Remember a key just evicted, where so many entries are left."""
        if len(self._slots) < max(_FEWEST_SLOTS, entries):  # What was known is lost, seldom.
            self._slots = array("Q", bytes(8 * _FEWEST_SLOTS << (entries // 64).bit_length()))
        self.added += 1
        slot = (hashed & _LOW or 1) << 32 | self.added & _LOW
        self._slots[hashed & len(self._slots) - 1] = slot

    def take(self, hashed: int, entries: int) -> bool:
        """Whether a key was evicted lately, for a table of so many entries; it forgets it then."""
        at = hashed & len(self._slots) - 1
        slot = self._slots[at] if self._slots else 0
        age = self.added - slot & _LOW
        if age >= max(FEWEST_KNOWN, entries) or slot >> 32 != (hashed & _LOW or 1):
            return False
        self._slots[at] = 0
        self.ages += age
        return True
