"""The samples that a governor tells of: one every snapshot interval."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from membudget.core import Sampled
from membudget.governor.telling import FOREIGN

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.core import Pressure, Reading, Sample
    from membudget.governor.telling import Teller
    from membudget.registry import Registry

INTERVAL = 300.0


class Snapshots:
    """Tells a `Sampled` event every so many seconds, on the governor's thread.

    Args:
        tell: Takes the events.
        registry: Whose holders are counted.
        interval: Seconds between two.

    Attributes:
        take: Takes the sample that the event carries, set by who takes samples; None has events
            without. The first is taken by the first step after the start, which should not wait.
    """

    def __init__(
        self,
        tell: Teller,
        registry: Registry,
        interval: float = INTERVAL,
    ) -> None:
        self._tell = tell
        self._registry = registry
        self._interval = interval
        self.take: Callable[[Reading], Sample | None] | None = None
        self.begin()

    def begin(self, rest: float = 0.0) -> None:
        """Know of none yet: at first, and in a forked child, with seconds to wait for the first."""
        self._at, self._rest = float("-inf"), min(rest, self._interval)

    def follow(self, reading: Reading, pressure: Pressure, *, is_starting: bool = False) -> None:
        """Tell one where it is time; a start does not wait for a sample: the next step takes it."""
        if self._rest:
            self._at, self._rest = reading.at + self._rest - self._interval, 0.0
        is_early = is_starting and self.take is not None
        if is_early or reading.at - self._at < self._interval:
            return
        self._at = reading.at
        self._tell(
            Sampled(
                at=reading.at,
                reading=reading,
                pressure=pressure,
                governed=self._registry.held_bytes(),
                blocks=sys.getallocatedblocks(),
                sample=self._taken(reading),
            )
        )

    def _taken(self, reading: Reading) -> Sample | None:
        try:
            return self.take(reading) if self.take is not None else None
        except FOREIGN as error:  # a governor without samples is still one
            self._tell.failed("sample", error)
            return None
