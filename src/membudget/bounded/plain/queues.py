"""The order of eviction: queues of entries, and what goes first.

By worth, which is the default: `worth`. The others are here. S3-FIFO: a new entry comes into a
small queue of a tenth of the whole, where most are never asked for again and leave early; one hit
twice there goes on to the main queue, which passes over those hit since they were last looked at. A
key that comes back soon after it left the small queue goes to the main one at once. Source: Yang et
al., FIFO queues are all you need for cache eviction, SOSP 2023. With "lru" there is the main queue
alone, the last used at its end.

Every change of the links and the sums is straight code without a call, so nothing can come between:
no signal handler, no finalizer, no other thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

from membudget.bounded.plain.entry import GONE, Entry, K, Ring, V

if TYPE_CHECKING:
    from membudget.bounded.plain.wheel import Wheel

MOST_HITS = 3
"""Hits that are counted: two bits. Source: as the order."""

_PROMOTED_AT = 2
"""Hits with which an entry of the small queue goes on to the main one."""

_SMALL_PART = 10

SMALL, MAIN = 0, 1
"""The numbers of their queues."""


class Queues(Generic[K, V]):
    """Entries in the order of their eviction, and their sums. Not for several threads at once.

    Args:
        wheel: Where their times stand; empty.
        is_lru: Whether the last used goes last, whatever the frequencies.

    Attributes:
        by_count: Whether a bound in entries is the one that binds, not one in bytes.
        loose: How many may weigh something else by now.
        fresh: The entry last put in, which is evicted last of all.
        hand: The last entry weighed again, or the end of its queue.
    """

    __slots__ = (
        "by_count",
        "bytes",
        "count",
        "fresh",
        "hand",
        "is_lru",
        "loose",
        "main",
        "small",
        "small_bytes",
        "small_count",
        "wheel",
    )

    def __init__(self, wheel: Wheel, *, is_lru: bool) -> None:
        self.wheel = wheel
        self.is_lru = is_lru
        self.by_count = False
        self.small, self.main = Ring(SMALL), Ring(MAIN)
        self.bytes = self.count = self.small_bytes = self.small_count = self.loose = 0
        self.fresh: Entry[K, V] | None = None
        self.hand: Any = self.small

    def take_apart(self) -> None:
        """Undo all circles; what is left is empty and in order: a finalizer may still use it."""
        self.bytes = self.count = self.small_bytes = self.small_count = self.loose = 0
        self.fresh, self.hand = None, self.small
        for ring in self.rings():
            ring.take_apart()
        self.wheel.take_apart()

    def settle(self, entry: Entry[K, V]) -> None:
        """Put an entry whose weight has changed where it belongs."""

    def touch(self, entry: Entry[K, V]) -> None:
        """Note a hit: in "lru" it is the last used now; nothing happens to one that is not held."""
        if not self.is_lru:
            if entry.freq < MOST_HITS:
                entry.freq += 1
        elif entry.after is not None:
            self._to_main(entry)

    def to_oldest(self, entry: Entry[K, V]) -> None:
        """Make an entry the oldest of its queue, though it was put in last."""
        before, after, ring = entry.before, entry.after, entry.ring
        if after is None or before is ring:
            return
        if self.hand is entry:
            self.hand = before
        before.after, after.before = after, before
        oldest = ring.after
        oldest.before = ring.after = entry
        entry.before, entry.after = ring, oldest

    def victim(self) -> Entry[K, V] | None:
        """The entry to evict next, still in its place; None where there is none."""
        while True:
            ring = self._ring_to_look_at()
            if ring.after is ring:
                return None
            one: Entry[K, V] = ring.after
            if self.is_lru:
                return one  # Where the one last put in is the oldest, others were used since.
            if one is self.fresh:
                if self.count == 1:
                    return one
                self._to_newest(one)
            elif not one.freq or (ring is self.small and one.freq < _PROMOTED_AT):
                return one
            else:
                one.freq = 0 if ring is self.small else one.freq - 1
                self._to_main(one)

    def _ring_to_look_at(self) -> Ring:
        """The small queue where it is larger than its part, but none that has nothing to give."""
        small, main = self.small, self.main
        if not self.small_count:
            ring = main
        elif self.small_count == self.count:
            ring = small
        elif self.by_count:
            ring = small if self.small_count * _SMALL_PART >= self.count else main
        else:
            ring = small if self.small_bytes * _SMALL_PART >= self.bytes else main
        if ring.after is self.fresh and ring.before is self.fresh and self.count > 1:
            ring = main if ring is small else small  # Nothing there but the entry last put in.
        return ring

    def oldest(self) -> float | None:
        """When the eldest entry at an end was set, or used where `idle` counts; to the tick."""
        wheel = self.wheel
        has_idle = wheel.idle_ticks is not None
        oldest = [ring.after for ring in self.rings()]
        ends = [one for one in oldest if isinstance(one, Entry)]
        ticks = [one.used if has_idle else wheel.tick_of(one.born) for one in ends]
        return wheel.time_of(min(ticks)) if ticks else None

    def following(self, most: int) -> list[Entry[K, V]]:
        """The next entries from where the hand stands, going around: each comes up in a round."""
        found: list[Entry[K, V]] = []
        most = min(most, self.count)  # Of a few, none twice.
        rings = self.rings()
        for _ in range(most + len(rings)):
            one = self.hand.after
            if isinstance(one, Entry):
                self.hand = one
                found.append(one)
                if len(found) == most:
                    break
            else:
                at = rings.index(one) + 1 if one in rings else 0
                self.hand = rings[at % len(rings)]
        return found

    def reweighed(self, entry: Entry[K, V], value: V, weight: int) -> int:
        """Give an entry its new weight if it still holds that value; returns by how many bytes."""
        if entry.after is None or entry.value is not value:
            return 0
        change = weight - entry.weight
        entry.weight = weight
        self.bytes += change
        if entry.ring is self.small:
            self.small_bytes += change
        self.settle(entry)
        return change

    def recount(self, linked: list[Entry[K, V]]) -> None:
        """Make the sums those of the entries that are linked."""
        small = [one for one in linked if one.ring is self.small]
        self.count, self.bytes = len(linked), sum([one.weight for one in linked])
        self.small_count, self.small_bytes = len(small), sum([one.weight for one in small])
        self.loose = sum([one.is_loose for one in linked])

    def rings(self) -> list[Ring]:
        """All queues, in their order."""
        return [self.small, self.main]

    def is_remembered(self, entry: Entry[K, V]) -> bool:
        """Whether the ghost is to know an entry that is evicted from here."""
        return self.is_lru or entry.ring is self.small

    def ring_for(self, entry: Entry[K, V], *, is_known: bool) -> Ring:
        """Where a new entry comes in; `is_known` is whether the ghost knew it. Links nothing."""
        del entry
        return self.main if is_known or self.is_lru else self.small

    def link(self, entry: Entry[K, V], *, is_known: bool) -> None:
        """Take an entry in as the newest; nothing happens to one that is held, or gone again."""
        ring = self.ring_for(entry, is_known=is_known)
        if entry.after is not None or not entry.weight:
            return
        newest = ring.before
        newest.after = ring.before = entry
        entry.before, entry.after = newest, ring
        entry.ring = ring
        if ring is self.small:
            self.small_bytes += entry.weight
            self.small_count += 1
        self.bytes += entry.weight
        self.count += 1
        self.loose += entry.is_loose
        self.fresh = entry

    def _to_newest(self, entry: Entry[K, V]) -> None:
        """Make an entry the newest of its queue."""
        before, after = entry.before, entry.after
        if after is None:
            return
        if self.hand is entry:
            self.hand = before
        before.after, after.before = after, before
        ring = entry.ring
        newest = ring.before
        newest.after = ring.before = entry
        entry.before, entry.after = newest, ring

    def _to_main(self, entry: Entry[K, V]) -> None:
        """Make an entry the newest of the main queue."""
        before, after = entry.before, entry.after
        if after is None:
            return
        if self.hand is entry:
            self.hand = before
        before.after, after.before = after, before
        ring = self.main
        newest = ring.before
        newest.after = ring.before = entry
        entry.before, entry.after = newest, ring
        if entry.ring is self.small:
            self.small_bytes -= entry.weight
            self.small_count -= 1
        entry.ring = ring

    def unlink(self, entry: Entry[K, V]) -> int:
        """Take an entry out of all circles and sums; returns its weight, 0 where it is in none."""
        before, after = entry.before, entry.after
        if after is None:
            return 0
        if self.hand is entry:
            self.hand = before
        if self.fresh is entry:
            self.fresh = None
        before.after, after.before = after, before
        entry.before = entry.after = None
        later, sooner = entry.later, entry.sooner
        if later is not None:
            sooner.later, later.sooner = later, sooner
            entry.sooner = entry.later = None
            self.wheel.count -= 1
        weight = entry.weight
        entry.weight = 0
        entry.expires = GONE
        if entry.ring is self.small:
            self.small_bytes -= weight
            self.small_count -= 1
        self.bytes -= weight
        self.count -= 1
        self.loose -= entry.is_loose
        return weight
