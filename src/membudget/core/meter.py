"""The Meter: how much is used right now, kept true between the loop's readings.

Plain Python allocates 0.6 to 3 GB/s, and no other thread runs while C code holds the GIL, so a
loop that samples never sees a burst in time. What survives is a check by the thread that inserts:
every insert adds its weight here, and after each quantum that thread itself reads the process's
own size (one pread of statm, 1.3 µs) and, above the mark, evicts from its own cache before it
goes on.

How much to evict: freed objects often do not lower RSS at once. A cache that evicts because the
figure stands high would empty itself while new entries fill the very holes it made; one that evicts
only as the figure rises would refill the holes and rise again, a little higher each time. So the
meter keeps an *allowance*, the bytes that all holders together may hold while the figure stands
above the mark, in the manner of congestion control:

- below the mark there is none: hold what you like;
- each byte that the figure rises lowers it by one byte at the mark, by `_AT_BRIM` at the brim and
  by `_AT_CEILING` at the ceiling, from what is held at that moment;
- where the figure rests between mark and brim it recovers slowly, since there may be holes left to
  fill; above the brim it is drained as slowly;
- beyond the ceiling the overshoot and the weight inserted are due in any case.

Source: additive increase and multiplicative decrease (Chiu and Jain 1989), with RSS growth in the
place of a lost packet. ADR 4 tells what was tried before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

QUANTUM = 1 << 20
"""Bytes claimed between two readings by the inserting thread, where no limit makes it smaller."""

RISE = 4 << 20
"""Bytes of growth after which it is looked whether the limit is still the same."""

_SHARE_OF_LIMIT = 0.0025
_AT_BRIM = 9.0
_AT_CEILING = 25.0
_RECOVERY = 1 / 32
"""Share of the bytes inserted by which the allowance recovers, or is drained, at rest."""

_INFINITE = float("inf")


class Meter:
    """The running figure that the loop, admission and every cache share.

    The loop sets it right at each tick with `rebase`; in between, `estimate` adds what the process
    itself grew. Any thread may call any method. A lost count in a race (free-threaded builds only)
    delays one check by the weight of one insert.

    Args:
        own: Reads the bytes of this process alone, quickly (1 to 10 µs), or None where nothing
            can be read that fast: then claims are added to the last reading.
        held: Counts the bytes of all holders (about 1 µs), or None where there are none.

    Attributes:
        allowance: Bytes that all holders together may hold now; infinite below the mark.
        used: Bytes judged at the last tick.
        claimed: Bytes that holders took in since then.
        taken_in: Bytes that holders took in since the start.
        limit: Bytes, or None.
        peak: The highest use that a holder saw between two ticks.
    """

    __slots__ = (
        "_base",
        "_held",
        "_last",
        "_own",
        "_since",
        "allowance",
        "brim",
        "ceiling",
        "claimed",
        "limit",
        "mark",
        "peak",
        "quantum",
        "taken_in",
        "used",
    )

    def __init__(
        self, own: Callable[[], int] | None = None, held: Callable[[], int] | None = None
    ) -> None:
        self._own = own
        self._held = held
        self._base = 0
        self._since = 0
        self._last = 0
        self.used = self.peak = 0
        self.claimed = 0
        self.taken_in = 0
        self.limit: int | None = None
        self.mark = self.brim = self.ceiling = self.allowance = _INFINITE
        self.quantum = QUANTUM

    def rebase(
        self,
        used: int,
        limit: int | None,
        *,
        mark: float,
        brim: float,
        ceiling: float,
        own: int | None = None,
    ) -> None:
        """Set the meter right after a reading.

        Args:
            used: Bytes judged at this tick.
            limit: Bytes, or None.
            mark: Bytes above which an inserting thread pays for growth.
            brim: Bytes from which it pays steeply.
            ceiling: Bytes above which it pays for standing so high as well.
            own: Bytes of this process alone at the same moment; None reads them.
        """
        if own is None:
            own = self._own() if self._own is not None else 0
        self._base = own
        self.used, self.limit = used, limit
        self.mark, self.brim, self.ceiling = mark, brim, ceiling
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
        self.taken_in += since
        now, before = self.estimate(), self._last
        self._last = now
        self.peak = max(self.peak, now)
        if now <= self.mark:
            self.allowance = _INFINITE
            return 0
        return self._due(now, before, since)

    def over_brim(self) -> int:
        """Bytes that the last reading lay above the brim."""
        return int(max(0.0, self.used - self.brim))

    def owed(self) -> int:
        """Bytes that all holders together hold beyond the allowance."""
        if self.allowance == _INFINITE or self._held is None:
            return 0
        return max(0, self._held() - int(self.allowance))

    def _due(self, now: int, before: int, since: int) -> int:
        """Bytes to pay at `now`, `since` bytes and a reading of `before` after the last check."""
        price = max(0.0, now - max(before, self.mark)) * self._steepness(now)
        held = self._held() if self._held is not None else 0
        if price:
            self.allowance = max(0.0, min(self.allowance, held) - price)
        elif self.allowance != _INFINITE:
            at_rest = since * _RECOVERY
            self.allowance += at_rest if now < self.brim else -at_rest
        # The rest of a debt is shared: by the next inserts, and by the loop, least worthy first.
        due = min(max(0.0, held - self.allowance), price + 2 * since)
        beyond = now - self.ceiling
        return int(due if beyond <= 0 else max(due, since) + beyond)

    def _steepness(self, now: int) -> float:
        if now <= self.brim:
            part = (now - self.mark) / max(1.0, self.brim - self.mark)
            return 1.0 + (_AT_BRIM - 1.0) * part
        part = min(1.0, (now - self.brim) / max(1.0, self.ceiling - self.brim))
        return _AT_BRIM + (_AT_CEILING - _AT_BRIM) * part

    def estimate(self) -> int:
        """Bytes used now: the last reading plus what this process grew since."""
        if self._own is not None:
            try:
                return self.used + self._own() - self._base
            except (OSError, ValueError):  # Whoever inserts must not pay for a lost file.
                pass
        return self.used + self.claimed
