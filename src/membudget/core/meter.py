"""The Meter: how much is used right now, kept true between the loop's readings (ADR 4).

After each quantum the thread that inserts reads the process's own size and, above the mark, evicts
from its own cache. How much follows from an *allowance*, the bytes that all holders together may
hold meanwhile: each byte that the figure rises lowers it by one at the mark, by `_AT_BRIM` at the
brim and by `_AT_CEILING` at the ceiling; at rest between mark and brim it recovers slowly, since
there may be holes left to fill, and above it is drained.

What admission has granted counts as used from the grant on, and raises the lines by as much, to
the door at most: so a load that was granted empties no cache, and no cache fills its room. What is
*kept* for loads that come unasked acts the same: growth that is not the holders' raises the lines.

Source: additive increase and multiplicative decrease (Chiu and Jain 1989), with RSS growth in the
place of a lost packet.
"""

from __future__ import annotations

from membudget.core.wire import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

QUANTUM = 1 << 20  # Bytes claimed between two readings at most, where a thread inserts.
RISE = 4 << 20  # Bytes of growth after which it is looked whether the limit is still the same.
_SHARE_OF_LIMIT = 0.0025
_AT_BRIM = 9.0
_AT_CEILING = 25.0
_RECOVERY = 1 / 32  # Share of what is inserted by which the allowance moves at rest.
_INFINITE = float("inf")


class Peers(Record):
    """What the meter knows of the other processes under the same limit; nothing where it is alone.

    In bytes, as last told: what their holders hold and took in so far; what was granted there and
    has not come in; what is there that comes and goes, and what has to be kept for that; and what
    holders here are to let go of at most when use is too high (None: all that is too much).
    """

    held: int = 0
    taken_in: int = 0
    reserved: int = 0
    passing: int = 0
    kept: int = 0
    excess: int | None = None


class Meter:
    """The running figure that the loop, admission and every cache share.

    The loop sets it right at each tick with `rebase`; in between, `estimate` adds what the process
    itself grew. Any thread may call any method. A lost count in a race (free-threaded builds only)
    delays one check by the weight of one insert. `own` reads the bytes of this process alone in 1
    to 10 µs, `held` counts those of all holders in about 1 µs.

    Attributes:
        allowance: Bytes that all holders together may hold now; infinite below the mark.
        share: Bytes that they may hold as their part of a limit that others are under; or None.
        used: Bytes judged at the last tick; `base` are those of this process alone.
        claimed: Bytes that holders took in since then; `taken_in` since the start; `at_once` those
            since then of large values alone, which may have been there before.
        peak: The highest use that a holder saw between two ticks.
        reserved: Bytes granted and not yet given back, come in or not; granted up to the `door`.
    """

    __slots__ = (
        "_apart_then", "_arrived", "_held", "_held_then", "_last", "_own", "_since", "allowance",
        "at_once", "base", "brim", "ceiling", "claimed", "door", "kept", "limit", "mark", "peak",
        "peers", "quantum", "reserved", "resting", "share", "taken_in", "used",
    )  # fmt: skip

    def __init__(
        self, own: Callable[[], int] | None = None, held: Callable[[], int] | None = None
    ) -> None:
        self._own, self._held = own, held
        self.base: int = 0
        self.used: int = 0
        self.peak: int = 0
        self.claimed: int = 0
        self.taken_in: int = 0
        self.at_once: int = 0
        self.limit: int | None = None
        self.share: int | None = None
        self.peers: Peers = Peers()
        self.mark: float = _INFINITE
        self.brim: float = _INFINITE
        self.ceiling: float = _INFINITE
        self.door: float = _INFINITE
        self.allowance: float = _INFINITE
        self.quantum: int = QUANTUM
        self._since = self._last = 0
        self.kept: int = 0
        self.resting: int = 0
        self.reserved: int = 0
        self._apart_then = self._arrived = self._held_then = 0

    def rebase(
        self,
        used: int,
        limit: int | None,
        *,
        mark: float,
        brim: float,
        ceiling: float,
        door: float = _INFINITE,
        own: int | None = None,
        held: int = 0,
        kept: int = 0,
        resting: int = 0,
    ) -> None:
        """Set the meter right after a reading, of which `own` (read if None) and `held` are part.

        In bytes: above the mark an inserting thread pays for growth, from the brim on steeply,
        above the ceiling for standing so high as well; up to the door admission grants. `kept` is
        for what comes unasked, and while nothing has, use beside the holders stands at `resting`.
        """
        if own is None:
            own = self._own() if self._own is not None else 0
        if self.share is not None:  # What others grew is theirs to pay, as this one's is its own.
            self._last += used - own - (self.used - self.base)
        self.base, self._held_then = own, held
        self.used, self.limit = used, limit
        self.mark, self.brim, self.ceiling, self.door = mark, brim, ceiling, door
        self.kept, self.resting = kept, resting
        self.claimed = self.at_once = 0
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
        if weight >= RISE:
            self.at_once += weight
        now = self.estimate()
        self.peak = max(self.peak, now)
        now, before = now + self.outstanding(now), self._last
        self._last = now
        raised = self._raised(now)
        if now <= self.mark + raised:
            self.allowance, due = _INFINITE, 0
        else:
            due = self._due(now, before, since, raised)
        if self.share is None:
            return due
        return max(due, min(self._counted() - self.share, 2 * since))

    def fits(self, weight: int, held: int) -> bool:
        """Whether a value that is there may be held, were all let go that its holder holds."""
        used = self.estimate()
        used += self.outstanding(used) - held
        is_within = used <= self.mark + self._raised(used + held - weight)
        return is_within and (
            self.share is None or weight + self._counted(weight) - held <= self.share
        )

    def over_brim(self) -> int:
        """Bytes that the last reading lay above the brim."""
        beyond = self.used - self.brim
        if beyond > 0 and (self.reserved or self.kept):
            used = self.used + self.outstanding(self.used)
            beyond = used - self.brim - self._raised(used)
        return int(beyond) if beyond > 0 else 0

    def room(self) -> float:
        """Bytes that holders may take in before they pay; below 0 above the mark, or the share."""
        used = self.estimate()
        used += self.outstanding(used)
        room = self.mark + self._raised(used) - used
        return room if self.share is None else min(room, self.share - self._counted())

    def reserve(self, size: int, used: int) -> None:
        """Count bytes as granted while so many are used; the caller has looked for the room.

        Growth from here on that is not the holders' is set against all that is reserved now. One
        thread at a time, as for `release`.
        """
        held = self._counted(size)
        self._apart_then = used - held - self._come_in(used, held)
        self.reserved += size
        self._last += size

    def release(self, size: int, used: int) -> None:
        """End a reservation, and with it as much of the growth counted as come in."""
        part = min(size, self._come_in(used, self._counted(size)))
        self._apart_then += part
        self._arrived += part
        self.reserved = max(0, self.reserved - size)

    def forget_reserved(self) -> None:
        """Begin anew, as in a forked child: the parent's reservations are not the child's."""
        self.reserved = self._apart_then = self._arrived = self._held_then = 0

    def outstanding(self, used: int) -> int:
        """Bytes granted that have not come in while so many are used."""
        return self.reserved - self._come_in(used, self._counted()) if self.reserved else 0

    def expected(self, used: int) -> int:
        """Bytes that holders took in, and granted ones that came in; more is runaway growth."""
        come_in = self._come_in(used, self._held_then) if self.reserved else 0
        return self.taken_in + self._arrived + come_in

    def _come_in(self, used: int, held: int) -> int:
        return min(self.reserved, max(0, used - held - self._apart_then))

    def _counted(self, size: int = QUANTUM) -> int:
        """Bytes that holders count; for less than a quantum, the last reading's will do."""
        if size < QUANTUM or self._held is None:
            return self._held_then
        return self._held()

    def _raised(self, now: int) -> float:
        """Bytes by which what is granted raises the lines, or has come unasked: up to the door."""
        raised = min(self.reserved, max(0.0, self.door - self.mark)) if self.reserved else 0
        if self.kept and now > self.mark:
            # What holders let go of since the last reading has left holes: it is nobody's load.
            held = max(self._counted(), self._held_then)
            raised = max(raised, min(self.kept, now - held - self.resting))
        return raised

    def owed(self) -> int:
        """Bytes that all holders together hold beyond the allowance."""
        beyond = 0 if self.allowance == _INFINITE else self._counted() - int(self.allowance)
        return max(0, beyond)

    def _due(self, now: int, before: int, since: int, raised: float) -> int:
        """Bytes to pay at `now`, `since` bytes and a reading of `before` after the last check."""
        # One large value is paid for once, as if it were the first to come: it is no steady growth.
        at = max(self.mark, now - raised - max(0, since - self.quantum))
        price = max(0.0, now - max(before, self.mark + raised)) * self._steepness(at)
        held = self._counted()
        if price:
            self.allowance = max(0.0, min(self.allowance, held) - price)
        elif self.allowance != _INFINITE:
            at_rest = since * _RECOVERY
            self.allowance += at_rest if now - raised < self.brim else -at_rest
        # The rest of a debt is shared: by the next inserts, and by the loop, least worthy first.
        due = min(max(0.0, held - self.allowance), price + 2 * since)
        beyond = now - self.ceiling
        return int(due if beyond <= 0 else max(due, since) + beyond)

    def _steepness(self, now: float) -> float:
        if now <= self.brim:
            part = (now - self.mark) / max(1.0, self.brim - self.mark)
            return 1.0 + (_AT_BRIM - 1.0) * part
        part = min(1.0, (now - self.brim) / max(1.0, self.ceiling - self.brim))
        return _AT_BRIM + (_AT_CEILING - _AT_BRIM) * part

    def estimate(self) -> int:
        """Bytes used now: the last reading plus what this process grew since."""
        if self._own is not None:
            try:
                return self.used + self._own() - self.base
            except (OSError, ValueError):  # Whoever inserts must not pay for a lost file.
                pass
        return self.used + self.claimed
