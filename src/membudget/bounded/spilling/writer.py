"""What a spilling cache's disk is to the rest: memory that is held, swept and let go of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.bounded.spilling.disk import SpillDisk
from membudget.bounded.spilling.rows import ROW_BYTES
from membudget.core import Rung

if TYPE_CHECKING:
    import weakref
    from collections.abc import Callable
    from typing import Protocol

    from membudget.bounded.spilling.ledger import Ledger
    from membudget.bounded.spilling.spill import Spill

    class Noting(Protocol):
        """What notes something of each of its entries."""

        def noted_bytes(self) -> int:
            """Bytes of memory that this takes."""


_AT_ONCE = 64


class SpillWriter(SpillDisk):
    """The disk of one cache in one process: also what tells that it is broken.

    Registered as a holder (what waits is memory), as a reclaimer (so is what is noted of each value
    on the disk, which small values hardly exceed), for the sweeper, as a chore (a running governor
    tells what it raises as `Failed`), and for forks.

    Args:
        name: The cache's.
        spill: Where and how much.
        ledger: What is known of the disk.
        now: Monotonic seconds.

    Raises:
        ConfigError: The directory cannot be used.
    """

    rung = Rung.MODERATE

    def __init__(self, name: str, spill: Spill, ledger: Ledger, now: Callable[[], float]) -> None:
        self.name = f"spill of {name}"
        self._hits_before = 0
        self.noted: weakref.ref[Noting] | None = None
        super().__init__(name, spill, ledger, now)

    def held_bytes(self) -> int:
        """Bytes of memory: what waits, and what is known of memory and disk. No lock."""
        cache = None if self.noted is None else self.noted()
        return self._ledger.held_bytes() + (0 if cache is None else cache.noted_bytes())

    def reclaimable(self) -> int:
        """Bytes of memory that the notes of what stands on the disk take. No lock."""
        return len(self._ledger.rows) * ROW_BYTES

    def hits_per_byte(self) -> float:
        """Hits on the disk since notes were last let go, ÷ their bytes: as caches count theirs."""
        return (self._ledger.hits - self._hits_before) / max(1, self.reclaimable())

    def reclaim(self, target: int, until: float) -> int:
        """Forget, and delete, what was put on the disk first, for the memory of its notes.

        Args:
            target: Bytes.
            until: Monotonic time to stop at; overrun by less than 1 ms.

        Returns:
            Bytes let go.
        """
        self._hits_before = self._ledger.hits
        return self._forget(until, target)

    def has_expired(self, now: float) -> bool:
        """Whether what was put on the disk first is dead."""
        row = self._ledger.oldest()
        return row is not None and row.dies <= now

    def sweep(self, until: float) -> int:
        """Forget, and delete, what is dead of what was put on the disk first; as `reclaim`.

        What has less time than what was put there before it waits for that to go.
        """
        return self._forget(until, dead_at=self._now())

    def _forget(
        self, until: float, target: float = float("inf"), dead_at: float | None = None
    ) -> int:
        ledger, freed, is_more = self._ledger, 0, True
        while is_more and freed < target and self._now() < until:
            for _ in range(_AT_ONCE):
                is_more = ledger.forget_oldest(dead_at)
                freed += ROW_BYTES if is_more else 0
        if freed:
            self.wake()
        return freed

    def due(self, _now: float) -> bool:
        """Whether the disk failed and nobody was told yet."""
        return self._failure is not None

    def run(self, _until: float) -> int:
        """Raise what the disk failed with, for the governor to tell; no bytes are let go."""
        failure, self._failure = self._failure, None
        if failure is None:
            return 0
        raise failure
