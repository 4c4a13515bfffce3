"""When a limit that was crossed is told: once a crossing, and not again and again."""

from __future__ import annotations

BELOW = 0.9
"""Share of the limit below which a crossing is over."""

APART = 300.0
"""Seconds between two tellings at least."""


class Alarm:
    """One limit of one container."""

    def __init__(self) -> None:
        self._is_armed = True
        self._told_at = float("-inf")

    def is_due(self, now: float, used: int, limit: int) -> bool:
        """Whether to tell now that `used` is over the limit; then the next crossing is waited for.

        A crossing within five minutes of the last one told waits until these have passed.
        """
        if used < BELOW * limit:
            self._is_armed = True
        if used <= limit or not self._is_armed or now - self._told_at < APART:
            return False
        self._is_armed, self._told_at = False, now
        return True
