"""A table under a budget: it lets go when asked, in slices, and tells whoever listens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.bounded.table import IS_COMPILED, K, V
from membudget.core import Rung

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from membudget._native._core import Table
    from membudget.bounded.table import Cause, Gone, Step
    from membudget.registry import Registry
elif IS_COMPILED:
    from membudget._native._core import Table
else:
    from membudget.bounded.fallback import Table

PIECE = 256
"""Values looked at in one go: some microseconds."""

_WEIGHED_AT_A_TIME = 16
"""Entries that one step of weighing again looks at."""


class Governed(Table[K, V]):
    """A table as a holder, a reclaimer and something to sweep.

    Any thread may call any method. A subclass sets the attributes.

    Attributes:
        name: What it is called in reports and events.
    """

    __slots__ = ("_on_evict", "_register", "_time", "name")

    rung = Rung.MODERATE

    name: str
    _on_evict: Callable[[K, V, Cause], object] | None
    _register: Registry
    _time: Callable[[], float]

    def reclaim(self, target: int, until: float) -> int:
        """Let go of at least `target` bytes, expired entries first, then in the cache's order.

        Args:
            target: Bytes.
            until: Monotonic time to stop at; overrun by less than 1 ms, or by one large value.

        Returns:
            Bytes let go.

        Raises:
            Exception: What `on_evict` raised first, after all of them were let go.
        """
        return self._press(target, until)

    def evict_together(self, most: int, until: float) -> int:
        """Let go of entries that were chosen as lying together; see `give_back`.

        Args:
            most: Bytes.
            until: Monotonic time to stop at; overrun by less than 1 ms, or by one large value.

        Returns:
            Bytes let go; 0 where none of those chosen is left.
        """
        return self._repeat(
            lambda freed: self._evict_arenas(most - freed) if freed < most else (0, None),
            until,
            folds=False,  # It would forget what was chosen.
        )

    def sweep(self, until: float) -> int:
        """Let go of entries that have expired, until there are none or time is up.

        Args:
            until: Monotonic time to stop at; overrun by less than 1 ms, or by one large value.

        Returns:
            Bytes let go.

        Raises:
            Exception: What `on_evict` raised first, after all of them were let go.
        """
        return self._repeat(lambda _: self._sweep(), until, is_sweep=True)

    def enforce(self, until: float) -> int:
        """Evict what is beyond the bounds and the share, until time is up; returns the bytes.

        Args:
            until: Monotonic time to stop at; overrun by less than 1 ms, or by one large value.

        Raises:
            Exception: What `on_evict` raised first, after all of them were let go.
        """
        return self._repeat(lambda _: self._enforce(), until)

    def reweigh(self, until: float) -> int:
        """Weigh entries again whose values may have changed, in turn, until time is up.

        What is beyond a bound then is evicted.

        Args:
            until: Monotonic time to stop at; overrun by the time that a few values take.

        Returns:
            Bytes by which entries were found lighter or heavier, added up.

        Raises:
            Exception: What `on_evict` raised first, after all of them were let go.
        """
        changed = grown = 0
        for _ in range(len(self) // _WEIGHED_AT_A_TIME + 1 if self.may_change() else 0):
            if self._time() >= until:
                break
            more = self._reweigh()
            changed, grown = changed + abs(more), grown + more
        if grown > 0:
            self.enforce(until)
        return changed

    def may_change(self) -> bool:
        """Whether it holds a value that may weigh something else by now. No lock."""
        return len(self) > 0 and self._loose > 0

    def has_expired(self, now: float) -> bool:
        """Whether an entry may wait to be swept. No lock."""
        soonest = self._soonest()
        return soonest is not None and soonest <= now

    def reclaimable(self) -> int:
        """The bytes it could let go: all it holds."""
        return self.held_bytes()

    def hits_per_byte(self) -> float:
        """Recent hits ÷ bytes: how much use a byte here is."""
        return (self.hits - self.forgotten_hits) / max(1, self.held_bytes())

    def _press(self, target: int, until: float | None = None) -> int:
        """Let go of at least so many bytes for the budget; returns how many."""
        return self._repeat(lambda freed: self._evict(target - freed, "pressure"), until)

    def _repeat(
        self,
        step: Callable[[int], Step[K, V]],
        until: float | None = None,
        *,
        is_sweep: bool = False,
        folds: bool = True,
    ) -> int:
        """Let go step by step, given the bytes let go so far; returns how many those are.

        Raises:
            Exception: What `on_evict` raised first, so that one failure does not hide the others.
        """
        freed, first, is_under_way = 0, None, True
        while is_under_way and (until is None or self._time() < until):
            got, gone = step(freed)
            freed += got
            try:
                if gone:
                    self._told(gone)
            except Exception as error:  # noqa: BLE001  # raised at the end
                first = error if first is None else first
            is_under_way = got > 0 or bool(gone) or (is_sweep and self._is_behind)
        while freed and folds and (until is None or self._time() < until):
            folds = self._fold()
        if first is not None:
            raise first
        return freed

    def _told(self, gone: list[Gone[K, V]]) -> None:
        """Tell of entries let go and drop them.

        Raises:
            Exception: The first error of `on_evict`, after all were told.
        """
        first = None
        if self._on_evict is not None:
            for key, value, _, cause in gone:
                try:
                    self._on_evict(key, value, cause)
                except Exception as error:  # noqa: BLE001  # raised at the end
                    first = error if first is None else first
        gone.clear()
        if first is not None:
            raise first

    def _claim(self, weight: int) -> None:
        """Count bytes taken in where a budget runs, and let go of what it asks for."""
        meter = self._register.meter
        wanted = meter.claim(weight) if meter is not None else 0
        if wanted > 0:
            self._press(wanted)


def pieces_of(table: Table[K, V]) -> Iterator[list[V]]:
    """Lists of values for a thread that only looks: no hit, no order, no lock.

    `values()` makes one moment's picture, a list of 8 MB for a million entries. Here each piece is
    of its own moment: what is set, let go or moved meanwhile may be seen or not. Those of expired
    entries are seen: they hold memory as well. The values of a piece live on until the next one is
    asked for. Cost: 20 ns an entry.
    """
    if not IS_COMPILED:
        entries = list(table._index.values())  # type: ignore[attr-defined]  # noqa: SLF001  # of the fallback
        for start in range(0, len(entries), PIECE):
            yield [one.value for one in entries[start : start + PIECE] if one.weight]
        return
    at: int | None = 0
    while at is not None:
        values, at = table._some_values(at, PIECE)  # noqa: SLF001  # of one room
        yield values
