"""A ring of the latest events."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from membudget.core import Event

SIZE = 288
"""A day of samples at five minutes."""


class Ring:
    """A sink that keeps the newest events and forgets the oldest.

    Args:
        size: How many are kept.
    """

    def __init__(self, size: int = SIZE) -> None:
        self.name = "ring"
        self._events: deque[Event] = deque(maxlen=size)

    def __call__(self, event: Event) -> None:
        """Keep an event."""
        self._events.append(event)

    def __len__(self) -> int:
        return len(self._events)

    def latest(self) -> list[Event]:
        """What is kept, oldest first. Any thread may ask."""
        return list(self._events)
