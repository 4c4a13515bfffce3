"""The Meter: how much is used right now, kept true between the loop's readings.

Plain Python allocates 0.6 to 3 GB/s, and no other thread runs while C code holds the GIL, so a
loop that samples never sees a burst in time. What survives is a check by the thread that inserts:
every insert adds its weight here, and after each quantum that thread itself reads the process's
own size (one pread of statm, 1.3 µs) and, above the mark, evicts from its own cache before it
goes on.

How much to evict: freed objects often do not lower RSS at once, so evicting the whole overshoot
on every check would empty a cache on one sticky figure. Instead each quantum inserted pays with
the same amount evicted at the mark, rising to `_STEEPEST + 1` times the amount at the ceiling: the
cache then settles where what it lets go makes room for what comes in. Beyond the ceiling the
overshoot itself is asked for as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

QUANTUM = 1 << 20
"""Bytes claimed between two readings by the inserting thread, where no limit makes it smaller."""

_SHARE_OF_LIMIT = 0.0025
_STEEPEST = 8.0


class Meter:
    """The running figure that the loop, admission and every cache share.

    The loop sets it right at each tick with `rebase`; in between, `estimate` adds what the process
    itself grew. Any thread may call any method. A lost count in a race (free-threaded builds only)
    delays one check by the weight of one insert.

    Args:
        own: Reads the bytes of this process alone, quickly (1 to 10 µs), or None where nothing
            can be read that fast: then claims are added to the last reading.
    """

    __slots__ = (
        "_base",
        "_own",
        "_since",
        "ceiling",
        "claimed",
        "limit",
        "mark",
        "quantum",
        "used",
    )

    def __init__(self, own: Callable[[], int] | None = None) -> None:
        self._own = own
        self._base = 0
        self._since = 0
        self.used = 0
        self.claimed = 0
        self.limit: int | None = None
        self.mark = self.ceiling = float("inf")
        self.quantum = QUANTUM

    def rebase(self, used: int, limit: int | None, mark: float, ceiling: float) -> None:
        """Set the meter right after a reading.

        Args:
            used: Bytes judged at this tick.
            limit: Bytes, or None.
            mark: Bytes above which an inserting thread evicts.
            ceiling: Bytes at which it evicts most steeply, above `mark`.
        """
        self._base = self._own() if self._own is not None else 0
        self.used, self.limit, self.mark, self.ceiling = used, limit, mark, ceiling
        self.claimed = 0
        if limit is not None:
            self.quantum = min(QUANTUM, max(1, int(limit * _SHARE_OF_LIMIT)))

    def claim(self, weight: int) -> int:
        """Count bytes just taken in; return how many the caller must evict from its own cache.

        Nearly always 0. Cost: about 0.1 µs, and 2 µs once a quantum.
        """
        since = self._since + weight
        if since < self.quantum:
            self._since = since
            return 0
        self._since = 0
        self.claimed += since
        over = self.estimate() - self.mark
        if over <= 0:
            return 0
        depth = min(1.0, over / max(1.0, self.ceiling - self.mark))
        beyond = max(0.0, over + self.mark - self.ceiling)
        return int(since * (1.0 + _STEEPEST * depth) + beyond)

    def estimate(self) -> int:
        """Bytes used now: the last reading plus what this process grew since."""
        if self._own is None:
            return self.used + self.claimed
        return self.used + self._own() - self._base
