"""How a bounded container stands, for a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.bounded.containers.bounds import part_of
from membudget.bounded.lock import ForkLock

if TYPE_CHECKING:
    from membudget.core import PartSample


class Standing(ForkLock):
    """What holds items within bounds, and says how many."""

    __slots__ = ()

    name: str
    _max_items: int | None
    _max_bytes: int | None

    def held_bytes(self) -> int:
        """The bytes all items weigh."""
        raise NotImplementedError

    def _count(self) -> int:
        raise NotImplementedError

    def as_part(self) -> PartSample:
        """Items, bytes and bounds, for a sample. No lock; cost: 1 µs."""
        return part_of(self, self._count(), self._max_items, self._max_bytes)
