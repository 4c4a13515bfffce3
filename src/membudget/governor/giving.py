"""What holders give back to the kernel, in slices, since others need it."""

from __future__ import annotations

from membudget.cache.upkeep import GiveBack
from membudget.core import Reclaimed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from membudget.core import Reclaimer
    from membudget.governor import Governor


class Giving:
    """Has holders let go while it `is_under_way`; then malloc is trimmed, and it is told who asked.

    Less than `told` bytes are no event.
    """

    def __init__(self, governor: Governor, malloc: Reclaimer, by: str, told: int = 0) -> None:
        self._governor, self._malloc, self._by, self._told = governor, malloc, by, told
        self._giver = GiveBack(governor.registry, governor.clock)
        self.is_under_way: bool = False
        self._freed, self._before, self._began = 0, 0, 0.0

    def run(self, over: int, until: float) -> int:
        """Let go of what is still over, for a slice; the bytes let go."""
        governor, now = self._governor, self._governor.clock.now
        if not self.is_under_way:
            self._freed, self._began, self._before = 0, now(), governor.meter.estimate()
        freed = self._giver.reclaim(over, until) if over > 0 else 0
        for one in governor.registry.holders():
            shrink = None if hasattr(one, "evict_together") else getattr(one, "reclaim", None)
            if shrink is not None and freed < over and now() < until:
                freed += shrink(over - freed, until)
        self._freed += freed
        self.is_under_way = freed < over and (freed > 0 or self._giver.is_under_way)
        if self.is_under_way:
            governor.watch.nudge()
            return freed
        if self._freed:
            self._malloc.reclaim(self._freed, 0.0)
        if self._freed >= self._told:
            governor.tell(
                Reclaimed(
                    at=now(),
                    by=self._by,
                    rung=None,
                    asked=self._freed + max(0, over - freed),
                    claimed=self._freed,
                    measured=self._before - governor.meter.estimate(),
                    took=now() - self._began,
                )
            )
        return freed
