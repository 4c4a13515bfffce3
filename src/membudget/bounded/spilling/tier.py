"""How values leave a cache for the disk and come back; `spilled` has what a program calls."""

from __future__ import annotations

import pickle
import time
import weakref
from typing import TYPE_CHECKING, Any

from membudget.bounded.cache import Cache
from membudget.bounded.spilling.ledger import Ledger
from membudget.bounded.spilling.rows import Row, stamp_of
from membudget.bounded.spilling.spill import checked_spill
from membudget.bounded.spilling.writer import SpillWriter
from membudget.bounded.table import K, V, container_name
from membudget.core import Level
from membudget.errors import ConfigError
from membudget.units import as_seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from membudget.bounded.spilling.rows import Cell, Waiting
    from membudget.bounded.spilling.spill import Spill
    from membudget.bounded.table import Cause, Gone, Step
    from membudget.core import Clock
    from membudget.registry import Registry

MISSING: Any = object()
NEVER = float("inf")

CELL_BYTES = 150
"""Bytes of memory that the note of an entry costs besides, measured with tracemalloc."""

_LOOKS = 3
"""Looks at memory and disk in turn, where others bring the same value back at the same time."""


class Spilling(Cache[K, V]):
    """A cache with a disk: the steps that `SpilledCache` is made of. Arguments as there."""

    __slots__ = ("_cells", "_idles", "_ledger", "_lifetime", "_writer")

    def __init__(
        self,
        name: str,
        *,
        spill: Spill | str | PathLike[str],
        max_bytes: int | str | None = None,
        max_entries: int | None = None,
        ttl: float | str | None = None,
        idle: float | str | None = None,
        policy: str | None = None,
        size: Callable[[V], int] | None = None,
        on_evict: Callable[[K, V, Cause], object] | None = None,
        registry: Registry | None = None,
        clock: Clock | None = None,
    ) -> None:
        if hasattr(self, "_writer"):
            raise ConfigError("this cache was made already: make a new one")
        name, where = container_name(name), checked_spill(spill)
        self._lifetime = None if ttl is None else as_seconds(ttl, name="ttl")
        self._idles = None if idle is None else as_seconds(idle, name="idle")
        # Not in the ledger, which its thread keeps alive: a value may refer to the cache.
        self._cells: dict[Any, Cell] = {}
        self._ledger = Ledger(where.waiting)
        now = time.monotonic if clock is None else clock.now
        self._writer = SpillWriter(name, where, self._ledger, now)
        try:
            super().__init__(
                name,
                max_bytes=max_bytes,
                max_entries=max_entries,
                ttl=self._lifetime,
                idle=self._idles,
                policy=policy,
                size=size,
                on_evict=_nobody,  # So that the table tells; whom it concerns is told below.
                registry=registry,
                clock=clock,
            )
        except BaseException:
            self._writer.close()
            raise
        self._on_evict = on_evict
        weakref.finalize(self, self._writer.close)
        self._writer.noted = weakref.ref(self)
        self._register.add(self._writer)

    def noted_bytes(self) -> int:
        """Bytes of memory that the notes of what is in memory take. No lock."""
        return len(self._cells) * CELL_BYTES

    def _cell(self, value: V, stamp: int, lasts: float | None, size: int | str | None) -> Cell:
        now = self._time()
        ends = NEVER if lasts is None else now + lasts
        return value, ends, stamp, size, None if self._idles is None else [now]

    def _put(
        self, key: K, cell: Cell, before: Cell | None, lasts: float | None
    ) -> tuple[bool, bool, BaseException | None]:
        """Have memory hold a value for so many seconds.

        Returns:
            Whether it was taken, whether anything was changed, and what was raised.
        """
        value = cell[0]
        try:
            is_taken = super().set(key, value, ttl=lasts, size=cell[3])
        except BaseException as error:  # noqa: BLE001  # raised by the caller, all in order
            # What a listener raised came after the value was taken in, and maybe evicted again.
            is_held = super().peek(key, MISSING) is value
            is_changed = is_held or not self._undo_note(key, cell, before)
            return is_changed, is_changed, error
        if not is_taken:
            self._undo_note(key, cell, None)
        return is_taken, True, None

    def _note(self, key: K, cell: Cell) -> Cell | None:
        """Note what memory is about to hold; returns what was noted of the key before."""
        with self._ledger.lock:
            before = self._cells.get(key)
            self._cells[key] = cell
            return before

    def _undo_note(self, key: K, cell: Cell, before: Cell | None) -> bool:
        """Memory does not hold it after all; returns whether the note still stood."""
        with self._ledger.lock:
            if self._cells.get(key) is not cell:
                return False
            if before is None:
                del self._cells[key]
            else:
                self._cells[key] = before
            return True

    def _in_memory(self, key: K) -> Any:
        """The value that memory holds; it is looked at without a trace."""
        value: Any = super().peek(key, MISSING)
        return MISSING if value is not MISSING and self._is_stale(key, value) else value

    def _is_stale(self, key: K, value: Any) -> bool:
        """Whether a value came back just now that was replaced meanwhile."""
        coming = self._ledger.coming
        if not coming or key not in list(coming.values()):
            return False
        cell = self._cells.get(key)
        return cell is None or cell[0] is not value

    def _found(self, key: K) -> Waiting | Row | None:
        self._writer.prepare()
        ledger = self._ledger
        return None if ledger.is_empty() else ledger.find(key, self._time())

    def _brought_back(self, key: K) -> Any:
        """The value that stands on the disk or waits for it, set in memory again."""
        self._writer.prepare()
        ledger = self._ledger
        for look in range(_LOOKS):
            if look:  # The last one was gone when it was to be read: who took it brings it back.
                value = self._in_memory(key)
                if value is not MISSING:
                    return value
            if ledger.is_empty():
                break
            found, flight = ledger.lend(key, self._time())
            if found is None or not flight:
                break
            value = self._land(key, found, flight)
            if value is not MISSING:
                return value
        return MISSING

    def _land(self, key: K, found: Waiting | Row, flight: int) -> Any:
        """Set a value that was found in memory again, unless it is out of date by then."""
        ledger, stamp, is_done = self._ledger, stamp_of(found), False
        value, error = MISSING, None
        try:
            value = self._value_of(found)
            if value is not MISSING:
                ledger.count("hits")
                is_done, error = self._set_again(key, value, found, flight)
            elif ledger.rows.get(key) is found:  # Nobody took it: it cannot be had.
                ledger.count("failed")
                is_done = True
        finally:
            if ledger.is_stale(key, flight) and super().peek(key, None) is value:
                super().pop(key, None)
            if is_done:
                ledger.forget(key, stamp + 1)
            ledger.end(flight)
            self._wake()
        if error is not None:
            raise error
        return value

    def _set_again(
        self, key: K, value: V, found: Waiting | Row, flight: int
    ) -> tuple[bool, BaseException | None]:
        """Set in memory what came back; returns whether it is there now, and what was raised."""
        ledger = self._ledger
        ends, size = (found.ends, found.size) if isinstance(found, Row) else found.cell[1:4:2]
        lasts = None if ends == NEVER else ends - self._time()
        if lasts is not None and lasts <= 0:
            return True, None
        cell = self._cell(value, flight, lasts, size)
        with ledger.lock:
            if ledger.is_stale(key, flight):
                return False, None
            before = self._note(key, cell)
        is_taken, _, error = self._put(key, cell, before, lasts)
        return is_taken, error

    def _value_of(self, found: Waiting | Row) -> Any:
        if not isinstance(found, Row):
            return found.cell[0]
        pickled = self._writer.read(found.number)
        if pickled is None:
            return MISSING
        try:
            return pickle.loads(pickled)  # noqa: S301  # sealed by this cache
        except Exception:  # noqa: BLE001  # whatever the value's own class raises: a miss
            return MISSING

    def _taken(self, key: K) -> tuple[Any, Waiting | Row | None]:
        """What memory and disk hold under a key, out of both."""
        if self._flights:
            self._abandon(key)
        self._writer.prepare()
        ledger = self._ledger
        flight, floor = ledger.begin_change(key)
        try:
            held: Any = super().pop(key, MISSING)
            if held is not MISSING and self._is_stale(key, held):
                held = MISSING
            self._cells.pop(key, None)
            found = ledger.forget(key, flight)
            if found is not None and (found.dies <= self._time() or stamp_of(found) < floor):
                found = None
            return held, found
        finally:
            ledger.end(flight)

    def _wake(self) -> None:
        if self._ledger.doomed or self._ledger.waiting:
            self._writer.wake()

    def _press(self, target: int, until: float | None = None) -> int:
        """As in `Cache`; who inserts lets go of notes as well, by their part of what is held.

        The governor asks the writer by itself. Without this, notes of small values would stay and
        leave memory no room.
        """
        if until is not None:
            return super()._press(target, until)
        notes = self._writer.reclaimable()
        part = target * notes // max(1, notes + self.held_bytes())
        freed = self._writer.reclaim(part, NEVER) if part else 0
        return freed + (super()._press(target - freed) if freed < target else 0)

    def _repeat(
        self, step: Callable[[int], Step[K, V]], until: float | None = None, **how: Any
    ) -> int:
        flight = self._ledger.begin()
        try:
            return super()._repeat(step, until, **how)
        finally:
            self._ledger.end(flight)

    def _told(self, gone: list[Gone[K, V]]) -> None:
        """Note evicted values for the disk, then tell of all that were let go."""
        cells, is_on = self._cells, self._writer.is_on
        for key, value, weight, cause in gone:
            cell = cells.pop(key, None)
            # Another one is of another set, which is under way in another thread.
            if is_on and cell is not None and cell[0] is value and cause != "expired":
                self._spill(key, cell, weight, cause)
        if is_on:
            self._wake()
        super()._told(gone)

    def _spill(self, key: K, cell: Cell, weight: int, cause: Cause) -> None:
        """Have an evicted value wait for the disk, if it is to go there."""
        ledger, dies = self._ledger, cell[1]
        if self._idles is not None and cell[4] is not None:
            dies = min(dies, cell[4][0] + self._idles)
        if cause == "pressure" and self._is_emergency():
            ledger.count("dropped")
        elif not self._writer.pickling.takes(type(cell[0])):
            ledger.count("unpicklable")
        elif dies > self._time():
            ledger.offer(key, cell, weight, dies, is_alone=cause != "pressure")

    def _is_emergency(self) -> bool:
        pressure = getattr(self._register.governor, "pressure", None)
        return getattr(pressure, "level", None) is Level.EMERGENCY


def _nobody(_key: object, _value: object, _cause: object) -> None:
    """Stands where nobody listens."""
