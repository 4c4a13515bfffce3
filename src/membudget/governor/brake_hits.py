"""What the brake met: when memory was refused, and the reserve that is let go then."""

from __future__ import annotations

from membudget.core import Record
from membudget.units import MIB

NEAR = 2 * MIB
"""From this far below the limit on, mapping anything is about to fail, or just did."""

TOLD_EVERY = 1.0
"""Seconds between two events of hits."""


class BrakeState(Record):
    """The brake's figures (bytes and monotonic seconds).

    Attributes:
        is_armed: Whether a limit is kept.
        limit: The soft limit that stands, or None.
        room: What may still be mapped, as of the last tick.
        never_touched: Mapped and left out of the slack, without thread stacks.
        hits: How often memory was refused, as far as that is seen.
        last_hit: When, or None.
        is_reserve_released: Whether the reserve has been let go.
    """

    is_armed: bool
    limit: int | None
    room: int
    never_touched: int
    hits: int
    last_hit: float | None
    is_reserve_released: bool


class Hits:
    """Counts refusals as far as they are seen, and knows whether the reserve has been let go.

    A refusal that the program handles by itself is seen only where it came near the limit.

    Attributes:
        count: How many so far.
        last: When the last one was, or None.
        is_reserve_released: Whether nothing is held back now.
        reserve: Bytes held back otherwise.
    """

    def __init__(self) -> None:
        self.count = 0
        self.last: float | None = None
        self._told = float("-inf")
        self.forget()

    def forget(self) -> None:
        """Begin anew with another limit; the count goes on."""
        self.is_reserve_released = self._is_near = False
        self._untold = 0
        self.begin(0, 0)

    def begin(self, mapped: int, reserve: int) -> None:
        """Take note of what is mapped at first, and what is to be held back."""
        self._mapped, self.reserve = mapped, reserve

    def note(self, now: float) -> int:
        """Count one and let the reserve go; returns the bytes that this frees."""
        self.count += 1
        self._untold += 1
        self.last = now
        freed = 0 if self.is_reserve_released else self.reserve
        self.is_reserve_released = True
        return freed

    def look(self, mapped: int, stands: int | None, allowed: int, reserve: int, now: float) -> int:
        """Count one where growth just came near the limit; returns what is to be held back.

        A limit that came near by itself, as where a group shrinks, has refused nothing yet: that
        lets the reserve go and is no hit. The reserve comes back once there is room for it twice:
        else it would be a hit at once.

        Args:
            mapped: VmData, bytes.
            stands: The limit it is held against.
            allowed: Bytes that may still be mapped, the reserve included.
            reserve: Bytes to be held back at this limit.
            now: Monotonic seconds.
        """
        self.reserve = reserve
        # Once near, it has to go further away to come near again.
        distance = 2 * NEAR if self._is_near else NEAR
        is_near = stands is not None and mapped >= stands - distance
        has_grown, self._mapped = mapped > self._mapped, mapped
        was_near, self._is_near = self._is_near, is_near and (self._is_near or has_grown)
        if self._is_near and not was_near:
            self.note(now)
        elif allowed >= 2 * reserve:
            self.is_reserve_released = False
        elif is_near:
            self.is_reserve_released = True
        return 0 if self.is_reserve_released else reserve

    def are_due(self, now: float) -> bool:
        """Whether there is something to tell, once a second; then it counts as told."""
        if not self._untold or now - self._told < TOLD_EVERY:
            return False
        self._untold, self._told = 0, now
        return True
