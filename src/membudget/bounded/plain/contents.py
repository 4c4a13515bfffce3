"""What a table holds: queues of entries, the index that finds them, the wheel and the ghost.

What runs foreign code, the dict with its keys' `__hash__` and `__eq__`, is asked once in an
operation and what it answers is looked at again; all else is straight code, as in the queues. An
entry that the index still leads to although it was taken out (its key's `__eq__` failed) is not
held and counts as absent.

Entries link to each other in circles, which only the garbage collector would find; so contents that
are let go of take themselves apart, piece by piece.
"""

from __future__ import annotations

from contextlib import suppress
from sys import getsizeof
from typing import TYPE_CHECKING, Any, TypeAlias

from membudget.bounded.plain.entry import Entry, K, V
from membudget.bounded.plain.ghost import Ghost
from membudget.bounded.plain.queues import MOST_HITS, Queues

if TYPE_CHECKING:
    from membudget.bounded.plain.entry import Ring
    from membudget.bounded.plain.wheel import Wheel

_LOOSE_TABLE, _LOOSE_SLOT = 1 << 16, 512
"""Bytes that an index may take, and for each entry: a full one takes 20 to 45."""

_NOTHING: Any = None

_LOOKS = 4

Taken: TypeAlias = tuple[K, V, int, float | None, int]
"""What was taken out: key, value, weight, when it expires and its last use. Only the caller holds
it still."""


class Contents(Queues[K, V]):
    """The entries of a table. Not for several threads at once.

    Args:
        wheel: Where their times stand; empty.
        is_lru: Whether the last used goes last, whatever the frequencies.

    Attributes:
        ghost_hits: Entries put in whose keys the ghost knew.
    """

    __slots__ = ("ghost", "ghost_hits", "index")

    def __init__(self, wheel: Wheel, *, is_lru: bool) -> None:
        super().__init__(wheel, is_lru=is_lru)
        self.index: dict[K, Entry[K, V]] = {}
        self.ghost = Ghost()
        self.ghost_hits = 0

    def __del__(self) -> None:
        self.take_apart()
        while self.index:
            self.index.popitem()

    def put(self, entry: Entry[K, V], now: float) -> V | None:
        """Take an entry in; returns the value it replaces, to be dropped outside."""
        held = self.index.setdefault(entry.key, entry)
        replaced: V | None = _NOTHING
        if held is not entry:
            replaced = self._renew(held, entry)
        else:
            is_known = self.ghost.added > 0 and self.ghost.take(entry.tag, self.count)
            self.ghost_hits += is_known
            self.link(entry, is_known=is_known)
        if held.expires is not None:
            self.wheel.add(held, now)
        return replaced

    def take(self, key: K) -> Taken[K, V] | None:
        """Take out what stands under a key, expired or not; None where nothing does."""
        entry = self.index.pop(key, None)
        if entry is None:
            return None
        expires, used = entry.expires, entry.used
        weight = self.unlink(entry)
        entry.weight = 0  # Where it was about to be linked, it is not any more.
        return (entry.key, entry.value, weight, expires, used) if weight else None

    def remove(self, entry: Entry[K, V]) -> Taken[K, V] | None:
        """Take out an entry; None where it went by itself meanwhile."""
        try:
            found = self.index.pop(entry.key, None)
        except Exception:  # noqa: BLE001  # its key's __eq__: the entry must go all the same
            found = None
        if found is not None and found is not entry:
            self.index.setdefault(found.key, found)
        expires, used = entry.expires, entry.used
        weight = self.unlink(entry)
        taken = (entry.key, entry.value, weight, expires, used) if weight else None
        if found is not entry:
            entry.value = _NOTHING  # The index may still lead to it, and must not keep the value.
        return taken

    def fold(self) -> None:
        """Give memory back where most of it is empty: a dict never shrinks by itself."""
        self.ghost.fold(self.count)
        if getsizeof(self.index) <= _LOOSE_TABLE + _LOOSE_SLOT * self.count:
            return
        newest, count = [ring.before for ring in self.rings()], self.count
        with suppress(Exception):  # A key's __eq__ that fails: the index stays as it is.
            index = dict(self.index)
            if [ring.before for ring in self.rings()] == newest and self.count == count:
                self.index = index

    def live(self, now: float) -> list[Entry[K, V]]:
        """The entries that have not expired, queue after queue, the oldest first in each."""
        for _ in range(_LOOKS):
            found = [one for ring in self.rings() for one in _linked(ring)]
            if len(found) == self.count:
                break  # Else a finalizer came in between and used the table: look again.
        else:  # Memory was short in the middle of a change: what is linked counts.
            self.recount(found)
        if not self.wheel.count:
            return found
        ended = self.wheel.has_ended
        return [one for one in found if not ended(one.expires, one.used, now)]

    def _renew(self, held: Entry[K, V], entry: Entry[K, V]) -> V:
        """Give an entry of the index what another one holds, as a hit would use it."""
        later, sooner = held.later, held.sooner
        if later is not None:
            sooner.later, later.sooner = later, sooner
            held.sooner = held.later = None
            self.wheel.count -= 1
        more = entry.weight - held.weight
        replaced = held.value
        # The value first: who reads it without the lock has read the time before.
        held.value, held.weight = entry.value, entry.weight
        held.born, held.used, held.expires = entry.born, entry.used, entry.expires
        if held.after is None:
            held.is_loose, held.freq = entry.is_loose, 0
            self.link(held, is_known=False)
            return replaced
        self.bytes += more
        if held.ring is self.small:
            self.small_bytes += more
        self.settle(held)
        self.loose += entry.is_loose - held.is_loose
        held.is_loose = entry.is_loose
        self.fresh = held
        if self.is_lru:
            self.touch(held)
        elif held.freq < MOST_HITS:
            held.freq += 1
        return replaced


def _linked(ring: Ring) -> list[Any]:
    found, entry = [], ring.after
    while entry is not ring and entry is not None:
        found.append(entry)
        entry = entry.after
    return found
