"""When a process may be stopped for a collection, and collecting before accusing."""

from __future__ import annotations

from membudget.core import Level, Reclaimed, SystemClock
from membudget.core.native import Imports
from membudget.probes import allocator
from membudget.reclaimers import REFUSED_FOR, SHORT, is_on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.core import Clock, Event, Reclaimer
    from membudget.heap.census import Freed, Garbage
    from membudget.reclaimers import Collect, SharedPages

NAME = "leak check"


class MayStop:
    """Whether a process may be stopped for a full collection that no pressure asks for.

    From CRITICAL on what comes otherwise is worse. Below that only for a moment, or where the
    program asks for it, and never where it has turned its collector off or frozen its objects.
    """

    def __init__(self, collect: Collect, shared: SharedPages, level: Callable[[], Level]) -> None:
        self._collect = collect
        self._shared = shared
        self._level = level

    def __call__(self, *, is_asked: bool = False) -> bool:
        """Whether it may, now. Cost: that of `Collect.expected`."""
        if self._level() >= Level.CRITICAL:
            return True
        if not is_on() or not (is_asked or self._collect.expected() <= SHORT):
            return False
        return not self._shared.is_frozen_by_program()


class CollectAndTrim:
    """Shows how much of a growth is garbage, or memory that the allocator holds.

    It keeps to the cooldown and the share of the time of the collections that it shares with the
    ladder: while those rest, it waits; a trim that would give nothing is left out. Costs what a
    full collection and a trim cost, and half of the collection again for noting what types it
    frees.

    Args:
        collect: The full collection.
        trim: The trim.
        own: Reads the bytes of the process now.
        tell: Takes a `Reclaimed` event of the two.
        may_stop: Whether the process may be stopped for it now.
        learn: Told of each full collection, whoever asked for it: seconds and live blocks.
        imports: Marks what is imported late.

    Attributes:
        garbage: What the last collection freed, by type; None before the first.
    """

    def __init__(
        self,
        collect: Reclaimer,
        trim: Reclaimer,
        own: Callable[[], int],
        tell: Callable[[Event], None],
        clock: Clock | None = None,
        *,
        may_stop: Callable[[], bool] = lambda: True,
        learn: Callable[[float, int], object] | None = None,
        imports: Imports | None = None,
    ) -> None:
        self.may_stop = may_stop
        self.learn = learn
        self._imports = imports or Imports()
        self._not_before = float("-inf")
        self._collect = collect
        self._trim = trim
        self._own = own
        self._tell = tell
        self._clock = clock or SystemClock()
        self.garbage: Garbage | None = None

    def __call__(self, wanted: int) -> tuple[int, int] | None:
        """Do it, on the governor's thread, for a growth by so many bytes.

        Returns:
            Bytes of the heap that the collection freed, and by how many the process shrank; None
            while collections rest, and where the process may not be stopped.
        """
        if self._clock.now() < self._not_before or self._collect.reclaimable() == 0:
            return None
        if not self.may_stop():
            self._not_before = self._clock.now() + REFUSED_FOR
            return None
        watched = self._watched()
        began, before, heap = self._clock.now(), self._own(), allocator.in_use() or 0
        freed = self._collect.reclaim(max(1, wanted), began)
        freed += max(0, heap - (allocator.in_use() or 0))
        objects = getattr(self._collect, "objects", None)
        if watched is not None:
            self.garbage = watched.told(objects or 0, freed)
            del watched
        if self._trim.reclaimable() != 0:
            self._trim.reclaim(max(1, wanted), began)
        returned = before - self._own()
        now = self._clock.now()
        self._tell(
            Reclaimed(
                at=now,
                by=NAME,
                rung=None,
                asked=wanted,
                claimed=freed,
                measured=returned,
                took=now - began,
                objects=objects,
            )
        )
        return freed, max(0, returned)

    def _watched(self) -> Freed | None:
        """Notes of what is there; none in a child forked amid the import, which may never end."""
        if self._imports.is_closed:
            return None
        try:
            with self._imports:
                from membudget.heap.census import Freed  # only where a leak is suspected
            return Freed()
        except (ImportError, MemoryError):  # A list of all objects; the collection takes none.
            return None
