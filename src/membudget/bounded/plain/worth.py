"""The default order of eviction: value per byte, aged, without a heap.

An entry is worth (2 rank + 3)² / sqrt(weight): the rank is how often it proved used, the weight in
powers of two. A clock stands at the worth of the last victim; an entry is linked with the mark
clock + worth, and the lowest mark goes first, so what was worth much once grows old. Since the
clock only rises, the marks of one queue for each (class of weight, rank) are in order by
construction, and the lowest is the least of the queues' ends. A hit is only noted; an entry that
comes up with one noted loses it, rises one rank and is linked anew. A key that the ghost knows
comes in at rank 2. Where entries bind there is one class.

Sources: Cherkasova, Improving WWW Proxies Performance with Greedy-Dual-Size-Frequency Caching,
1998; the looks from CLOCK, the ghost from S3-FIFO. ADR 16 has the figures behind the constants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from membudget.bounded.plain.contents import Contents
from membudget.bounded.plain.entry import Entry, K, Ring, V

if TYPE_CHECKING:
    from membudget.bounded.plain.wheel import Wheel

_RANKS = 8
_KNOWN_RANK = 2
_CLASSES = 41
_FIRST = 2

_WORTHS = [
    (2 * rank + 3) ** 2 * ((741455 if one % 2 else 1 << 20) >> one // 2)
    for one in range(_CLASSES)
    for rank in range(_RANKS)
]
"""By queue: (2 rank + 3)² / sqrt(2^class), in 2^20ths."""


class Worth(Contents[K, V]):
    """Contents in the order of what entries are worth. Not for several threads at once.

    Args:
        wheel: Where their times stand; empty.
    """

    __slots__ = ("_clock", "_ranked")

    def __init__(self, wheel: Wheel) -> None:
        self._clock = 0
        self._ranked: dict[int, Ring] = {}
        super().__init__(wheel, is_lru=False)

    def rings(self) -> list[Ring]:
        """All queues, in their order: by class of weight, then by rank."""
        return [self.small, *[self._ranked[number] for number in sorted(self._ranked)]]

    def is_remembered(self, entry: Entry[K, V]) -> bool:
        """Whether the ghost is to know an entry that is evicted from here: always."""
        del entry
        return True

    def ring_for(self, entry: Entry[K, V], *, is_known: bool) -> Ring:
        """Where a new entry comes in; `is_known` is whether the ghost knew it. Links nothing."""
        number = self._class_of(entry.weight) * _RANKS + (_KNOWN_RANK if is_known else 0)
        return self._marked(entry, number)

    def settle(self, entry: Entry[K, V]) -> None:
        """Put an entry whose weight has changed where it belongs."""
        number = entry.ring.number - _FIRST
        of_weight = self._class_of(entry.weight)
        if of_weight != number // _RANKS:
            self._move(entry, of_weight * _RANKS + number % _RANKS)

    def victim(self) -> Entry[K, V] | None:
        """The entry to evict next, still in its place; None where there is none."""
        while True:
            one = self._lowest()
            if one is None:
                fresh = self.fresh
                if fresh is None or fresh.after is None:
                    return None
                self._move(fresh, fresh.ring.number - _FIRST)
                continue
            self._clock = max(self._clock, one.mark)
            if not one.freq:
                return one
            one.freq = 0
            number = one.ring.number - _FIRST
            self._move(one, number + (number % _RANKS < _RANKS - 1))

    def _lowest(self) -> Entry[K, V] | None:
        """Of the queues' ends the lowest, the entry last put in aside where there are others."""
        hidden = self.fresh if self.count > 1 else None
        found: Any = None
        best: tuple[int, int, int] | None = None
        for number, ring in list(self._ranked.items()):
            one = ring.after
            if isinstance(one, Entry) and one is not hidden:
                # Of equal ones the heavier class, then the lower rank.
                order = (one.mark, -(number // _RANKS), number % _RANKS)
                if best is None or order < best:
                    best, found = order, one
        return found  # type: ignore[no-any-return]  # an entry of ours

    def _class_of(self, weight: int) -> int:
        return 0 if self.by_count else min(_CLASSES - 1, weight.bit_length() - 1)

    def _marked(self, entry: Entry[K, V], number: int) -> Ring:
        """The queue of this number; the entry gets the mark it has when linked there now."""
        ring = self._ranked.get(number)
        if ring is None:
            ring = self._ranked.setdefault(number, Ring(_FIRST + number))
        entry.mark = self._clock + _WORTHS[number]
        return ring

    def _move(self, entry: Entry[K, V], number: int) -> None:
        """Make an entry the newest of another queue, or of its own."""
        ring = self._marked(entry, number)
        before, after = entry.before, entry.after
        if after is None:
            return
        if self.hand is entry:
            self.hand = before
        before.after, after.before = after, before
        newest = ring.before
        newest.after = ring.before = entry
        entry.before, entry.after = newest, ring
        entry.ring = ring
