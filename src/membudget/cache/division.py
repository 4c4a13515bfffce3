"""One budget for all caches: the chore that divides it, and carries that out.

What a cache loses it lets go of first, in pieces, and only what is free then is given to others. So
the caches never hold more than the whole together, and no thread that inserts pays for a decision.

A key set again that is found in the table's ghost would have been a hit, had the cache been about
twice as large: ghost hits ÷ bytes tells what more bytes would earn. How that moves the shares is in
`core/shares.py`.
"""

from __future__ import annotations

import time
from weakref import WeakKeyDictionary, ref

from membudget.core.shares import FLOOR, fit, move, worth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from membudget.cache.cache import Cache
    from membudget.core import Clock
    from membudget.registry import Registry

INTERVAL = 1.0  # Seconds between two decisions.
SCARCE, PLENTY = 0.9, 0.8  # Of the room: caches are divided from here on, and until there.
_NEWCOMERS, _RESERVE = 16, 1024  # Caches between two decisions; part of the whole for each.

_PIECE, _PIECES = 64 << 10, 1024
"""Bytes, or else part of a cache, let go at a time: who inserts meanwhile evicts no more."""

MEMORY = 0.9  # Weight that a decision before the last has in one: about ten count.


class Division:
    """The chore that divides one budget among the caches of a register.

    A cache never holds more than its share, nor than its own `max_bytes`; what it cannot use others
    get. `limit`, asked each time, gives the bytes for all together, or None: then they are divided
    only where room is scarce, among two or more. Runs on the governor's thread, except `welcome`.
    """

    name = "division"

    def __init__(
        self,
        registry: Registry,
        limit: Callable[[], int | None] = lambda: None,
        clock: Clock | None = None,
    ) -> None:
        self._registry, self._limit = registry, limit
        self._now = time.monotonic if clock is None else clock.now
        self._parts: WeakKeyDictionary[Cache[Any, Any], _Part] = WeakKeyDictionary()
        self._first: list[int] = []
        self._donor: Callable[[], Any] = lambda: None  # Who had most to spare, if it lives.
        self._is_dividing = self._is_under_way = False
        self._divided_at = float("-inf")

    def due(self, now: float) -> bool:
        """Whether it is time for a decision, or the last one is still to be carried out."""
        return self._is_under_way or now - self._divided_at >= INTERVAL

    def welcome(self, cache: Any) -> None:
        """Give a new cache something to start on, so that the sum keeps. Any thread; no lock.

        Half of what another one does not use, where that is more than a little. A decision is due.
        """
        was_dividing = self._is_dividing
        if was_dividing and hasattr(cache, "evict_together"):
            try:
                given = self._first.pop()
            except IndexError:  # Many at once: the rest wait for the decision.
                given = 0
            donor = self._donor()
            share = None if donor is None else donor.share
            if share is not None and (half := (share - donor.held_bytes()) // 2) > given:
                donor.share, given = share - half, half
            cache.share, self._is_under_way = given, True
            if not self._is_dividing:  # Shares were taken from all meanwhile.
                cache.share = None
                if donor is not None:
                    donor.share = None

    def run(self, until: float) -> int:
        """Decide, where it is time, and carry out what can be until then; returns bytes let go."""
        # In this order: a newcomer that got of the old pieces is among the holders.
        self._first, was_dividing = [], self._is_dividing
        self._donor = lambda: None
        caches = self._caches()
        whole = self._whole(caches)
        self._is_dividing = whole is not None
        # What newcomers start on until the next decision: no more than it gives them at least.
        given = whole or 0
        piece = min(given / _RESERVE, given * FLOOR / (max(1, len(caches)) + _NEWCOMERS))
        first = [int(piece)] * _NEWCOMERS
        if whole is None or not caches:
            # Nobody has any: half of it for the first, and so on.
            self._first = [given >> at for at in range(_NEWCOMERS, 0, -1)]
            if whole is None:  # Else it would be asked again at each tick.
                self._divided_at = self._now()
            if was_dividing:
                self._lift(caches)
            return 0
        whole -= sum(first)
        parts, freed, error = self._decide(caches, whole), 0, None
        for part in parts:
            try:
                freed += self._lower(part.cache, part.share, until)
            except Exception as raised:  # noqa: BLE001  # raised at the end
                error = raised if error is None else error
        self._raise(parts, whole)
        self._first = first
        self._donor = ref(max(caches, key=lambda one: (one.share or 0) - one.held_bytes()))
        if error is not None:
            raise error
        return freed

    def lift(self) -> None:
        """Divide no longer: take the share from each cache, as when the budget stops."""
        self._is_dividing = False
        self._lift(self._caches())

    def _caches(self) -> list[Any]:
        """What holds values that are worth something by their hits, and no other container."""
        return [one for one in self._registry.holders() if hasattr(one, "evict_together")]

    def _lift(self, caches: list[Any]) -> None:
        self._parts.clear()
        self._is_under_way = False
        for one in caches:
            one.share = None

    def _whole(self, caches: list[Any]) -> int | None:
        """Bytes for all caches together; None where there is room enough not to divide."""
        given, meter = self._limit(), self._registry.meter
        if given is not None:
            return given
        if len(caches) < 2 or meter is None or meter.limit is None:  # noqa: PLR2004  # one is none
            return None
        held = sum(one.held_bytes() for one in caches)
        room = int(min(held + max(0.0, meter.room()), meter.allowance))
        return room if held > room * (PLENTY if self._is_dividing else SCARCE) else None

    def _decide(self, caches: list[Any], whole: int) -> list[_Part]:
        known, now = self._parts, self._now()
        for one in caches:
            if one not in known:
                # What the others do not use of that; the floor, where they use all.
                known[one] = _Part(one, max(one.held_bytes(), whole // len(caches)))
        parts = [known[one] for one in caches]
        floors = [int(whole * FLOOR / len(parts))] * len(parts)
        fit(parts, whole, floors)
        if now - self._divided_at >= INTERVAL:
            self._divided_at = now
            for part in parts:
                part.learn()
            earned = sum(part.hits for part in parts) / max(1.0, sum(part.space for part in parts))
            worths = [worth(part, part.hits, part.space * earned) for part in parts]
            move(parts, whole, worths)
            fit(parts, whole, floors)
        return parts

    def _lower(self, one: Any, share: int, until: float) -> int:
        """Bring a cache down to its share, piece by piece; returns the bytes let go."""
        freed, held = 0, one.held_bytes()
        if one.share is None or one.share > held:
            one.share = held if one.share is None else max(held, min(one.share, share))
        while one.share > share and self._now() < until:
            one.share = max(share, one.share - max(_PIECE, one.share // _PIECES))
            freed += one.enforce(until)
        if one.held_bytes() > one.share:  # It grew in place, or while the share was set.
            freed += one.enforce(until)
        return freed

    def _raise(self, parts: list[_Part], whole: int) -> None:
        """Give what is free to those that are to have more."""
        free = whole - sum(max(part.cache.share, part.cache.held_bytes()) for part in parts)
        is_under_way = False
        for part in parts:
            one = part.cache
            more = min(part.share - one.share, free)
            if more > 0:
                one.share += more
                free -= more
            is_under_way |= one.share != part.share or one.held_bytes() > one.share
        self._is_under_way = is_under_way


class _Part:
    """One cache, which is not kept alive, and what it is to have: whoever uses it must hold it."""

    def __init__(self, cache: Any, share: int) -> None:
        self._cache = ref(cache)
        self.share = share  # Bytes that it is to have.
        self.hits = self.space = 0.0  # Of late: its ghost hits, and its share, counted alike.
        self._seen = cache.ghost_hits

    @property
    def cache(self) -> Any:
        """The cache."""
        return self._cache()

    @property
    def held(self) -> int:
        """Bytes that the cache holds."""
        held: int = self.cache.held_bytes()
        return held

    @property
    def most(self) -> float:
        """Bytes that the cache may hold by its own bound."""
        own: int | None = self.cache.max_bytes
        return float("inf") if own is None else own

    def learn(self) -> None:
        """Take in the ghost hits since the last decision."""
        hits = self.cache.ghost_hits
        self.hits = MEMORY * self.hits + max(0, hits - self._seen)
        self.space = MEMORY * self.space + self.share
        self._seen = hits
