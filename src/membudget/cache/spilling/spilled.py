"""The cache that puts what it evicts on a disk, and takes it back at the next lookup."""

from __future__ import annotations

import pickle
import time
import weakref
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from membudget.cache.cache import Cache
from membudget.cache.spilling.disk import SpillDisk
from membudget.cache.spilling.ledger import Copy, Ledger
from membudget.cache.spilling.spill import checked_spill
from membudget.cache.table import K, V, container_name
from membudget.core import Level
from membudget.errors import ConfigError
from membudget.units import as_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from os import PathLike

    from membudget.cache.spilling.spill import Spill, SpillStats
    from membudget.cache.stats import CacheStats
    from membudget.cache.table import Cause, Gone
    from membudget.core import Clock
    from membudget.registry import Registry

MISSING: Any = object()
NEVER = float("inf")

Note: TypeAlias = "tuple[Any, float, Any, list[float] | None]"
"""What is noted of an entry in memory: value, when it ends, size given, last use."""

NOTE_BYTES = 140
"""Bytes of memory that the note of an entry costs besides, measured with tracemalloc."""

_LOOKS = 3
"""Looks at the disk, where others bring the same value back at the same time."""


class SpilledCache(Cache[K, V]):
    """A cache whose evicted values go to disk, with what is left of their time, and come back.

    As `Cache`, and: `get`, `[]`, `get_many`, `pop`, `delete`, `in`, `peek` and `ttl_left` look at
    memory and at the disk. A hit on the disk brings the value back into memory; `peek` leaves it
    where it is, and `in` and `ttl_left` read nothing from the disk. `len`, the bytes, `keys`,
    `values`, `items` and iteration are those of memory. In `stats` a hit on the disk is a hit.

    A value that comes back is a copy: what is evicted is pickled, by a thread of its own, within
    which the value may still be changed by those who hold it. What a broken disk does is never
    raised: the cache goes on without it, says so in `spill_stats`, and in an event of a running
    budget. A lookup waits for the disk a second at most.

    Args:
        name: As in `Cache`, like all the others but:
        spill: The folder, or a `Spill` with its bounds. See there for who may write to it.
        max_bytes: As in `Cache`.
        max_entries: As in `Cache`.
        ttl: As in `Cache`.
        idle: As in `Cache`; time on the disk counts as time without a hit.
        policy: As in `Cache`.
        size: As in `Cache`.
        on_evict: As in `Cache`; called for values that go to disk too, once they are noted for it.
        registry: As in `Cache`.
        clock: As in `Cache`.

    Raises:
        ConfigError: An argument that cannot be used as given, or a folder that is not one's own.
        MissingExtraError: diskcache is not installed.
    """

    __slots__ = ("_disk", "_idles", "_ledger", "_notes")

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
        if hasattr(self, "_disk"):
            raise ConfigError("this cache was made already: make a new one")
        name, where = container_name(name), checked_spill(spill)
        self._idles = None if idle is None else as_seconds(idle, name="idle")
        # Not in the ledger, which the disk's thread keeps alive: a value may refer to the cache.
        self._notes: dict[Any, Note] = {}
        self._ledger = Ledger(where.waiting)
        now = time.monotonic if clock is None else clock.now
        self._disk = SpillDisk(name, where, self._ledger, now)
        try:
            super().__init__(
                name,
                max_bytes=max_bytes,
                max_entries=max_entries,
                ttl=ttl,
                idle=self._idles,
                policy=policy,
                size=size,
                on_evict=_ignored,  # So that the table tells; the program's listener is told below.
                registry=registry,
                clock=clock,
            )
        except BaseException:
            self._disk.close()
            raise
        self._on_evict = on_evict
        weakref.finalize(self, self._disk.close)
        self._disk.noted = weakref.WeakMethod(self.noted_bytes)
        self._register.add(self._disk)

    def get(self, key: K, default: Any = None) -> Any:
        """The value under a key, brought back from the disk if it is there; else the default.

        Raises:
            Exception: What `on_evict` raised, for what made room.
        """
        value: Any = super().get(key, MISSING)
        if value is MISSING or self._is_stale(key, value):
            value = self._brought_back(key)
        elif self._idles is not None:
            note = self._notes.get(key)
            if note is not None and note[3] is not None:
                note[3][0] = self._time()
        return default if value is MISSING else value

    def peek(self, key: K, default: Any = None) -> Any:
        """The value under a key, read from the disk if it is there; changes nothing."""
        value = self._in_memory(key)
        if value is MISSING:
            found = self._found(key)
            value = MISSING if found is None else self._value_of(found)
        return default if value is MISSING else value

    def set(
        self,
        key: K,
        value: V,
        *,
        ttl: float | str | None = None,
        size: int | str | None = None,
    ) -> bool:
        """As `Cache.set`; what the disk holds under the key is out of date from now on."""
        lasts = self.ttl if ttl is None else as_seconds(ttl, name="ttl")
        hash(key)
        self._disk.prepare()
        ledger, note, is_changed = self._ledger, self._note(value, lasts, size), True
        with ledger.lock:
            before, copies = self._notes.get(key), ledger.take(key)
            self._notes[key] = note
        try:
            is_taken, is_changed, error = self._put(key, note, before, lasts, copies)
        finally:
            if is_changed:
                ledger.doom(*copies)
            self._wake()
        if error is not None:
            raise error
        return is_taken

    def set_many(
        self, pairs: Mapping[K, V] | Iterable[tuple[K, V]], *, ttl: float | str | None = None
    ) -> int:
        """Keep many values, as one `set` after the other; returns how many were taken in."""
        given: Any = pairs
        found = given.items() if hasattr(given, "items") else given
        return sum([self.set(key, value, ttl=ttl) for key, value in found])

    def get_many(self, keys: Iterable[K]) -> dict[K, V]:
        """The values found under keys, in memory or on the disk; each counts as a lookup."""
        found = {}
        for key in keys:
            value = self.get(key, MISSING)
            if value is not MISSING:
                found[key] = value
        return found

    def pop(self, key: K, default: Any = MISSING) -> Any:
        """Take a value out, of memory or from the disk, and return it, else the default.

        Raises:
            KeyError: There is none, or it has expired, and no default is given.
        """
        value, copies = self._taken(key)
        now = self._time()
        if value is MISSING and copies and copies[0].dies > now:
            value = self._value_of(copies[0])
        self._ledger.doom(*copies)
        self._wake()
        if value is not MISSING:
            return value
        if default is MISSING:
            raise KeyError(key)
        return default

    def delete(self, key: K) -> bool:
        """Forget a key, in memory and on the disk; returns whether a value stood there."""
        held, copies = self._taken(key)
        now = self._time()
        self._ledger.doom(*copies)
        self._wake()
        return held is not MISSING or any(copy.dies > now for copy in copies)

    def ttl_left(self, key: K) -> float | None:
        """Seconds until a value expires if it is not used, None for never; changes nothing.

        Raises:
            KeyError: There is none, or it has expired.
        """
        try:
            return super().ttl_left(key)
        except KeyError:
            found = self._found(key)
            if found is None:
                raise
        return None if found.dies == NEVER else found.dies - self._time()

    def clear(self) -> None:
        """Forget all entries at once, in memory and on the disk. This is no eviction."""
        if self._flights:
            self._abandon()
        self._disk.prepare()
        with self._ledger.lock:
            gone, notes, self._notes = self._ledger.empty(), self._notes, {}
        super().clear()
        del gone, notes
        self._wake()

    def stats(self) -> CacheStats:
        """The figures; a hit on the disk is a hit, and to come back is not to be set."""
        stats, back = super().stats(), self._ledger.hits
        hits, misses = stats.hits + back, max(0, stats.misses - back)
        return stats.replace(
            hits=hits,
            misses=misses,
            hit_rate=hits / (hits + misses) if hits + misses else 0.0,
            sets=max(0, stats.sets - back),
        )

    def spill_stats(self) -> SpillStats:
        """The figures of the disk; reading them changes nothing."""
        return self._disk.stats()

    def flush_spill(self, timeout: float | str = 5.0) -> bool:
        """Wait until nothing waits for the disk; returns whether that came in time.

        Args:
            timeout: Seconds, or text such as "2s".

        Raises:
            ConfigError: A timeout that is none.
        """
        return self._disk.flush(as_seconds(timeout, name="timeout"))

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or self._found(cast("Any", key)) is not None

    def __getitem__(self, key: K) -> V:
        value: V = self.get(key, MISSING)
        if value is MISSING:
            raise KeyError(key)
        return value

    def __setitem__(self, key: K, value: V) -> None:
        self.set(key, value)

    def __delitem__(self, key: K) -> None:
        if not self.delete(key):
            raise KeyError(key)

    def noted_bytes(self) -> int:
        """Bytes of memory that the notes of what is in memory take. No lock."""
        return len(self._notes) * NOTE_BYTES

    def _note(self, value: V, lasts: float | None, size: int | str | None) -> Note:
        now = self._time()
        ends = NEVER if lasts is None else now + lasts
        return value, ends, size, None if self._idles is None else [now]

    def _put(
        self,
        key: K,
        note: Note,
        before: Note | None,
        lasts: float | None,
        copies: Sequence[Copy] = (),
    ) -> tuple[bool, bool, BaseException | None]:
        """Have memory hold a value, that was noted, for so many seconds.

        Where nothing comes of it, what was noted before and the copies taken out are put back.

        Returns:
            Whether it was taken, whether anything was changed, and what was raised.
        """
        value, error = note[0], None
        try:
            if super().set(key, value, ttl=lasts, size=note[2]):
                return True, True, None
        except BaseException as raised:  # noqa: BLE001  # raised by the caller, all in order
            error = raised
        # What a listener raised came after the value was taken in, and maybe evicted again.
        is_held = error is not None and super().peek(key, MISSING) is value
        with self._ledger.lock:
            if is_held or self._notes.get(key) is not note:
                return is_held, True, error
            del self._notes[key]
            if error is None:  # It is not taken, and what there was is gone.
                return False, True, None
            if before is not None:
                self._notes[key] = before
            self._ledger.put_back(key, copies)
            return False, False, error

    def _in_memory(self, key: K) -> Any:
        """The value that memory holds; it is looked at without a trace."""
        value: Any = super().peek(key, MISSING)
        return MISSING if value is not MISSING and self._is_stale(key, value) else value

    def _is_stale(self, key: K, value: Any) -> bool:
        """Whether a value came back just now that was replaced meanwhile."""
        return key in self._ledger.coming and not self._is_noted(key, value)

    def _is_noted(self, key: K, value: Any) -> bool:
        note = self._notes.get(key)
        return note is not None and note[0] is value

    def _found(self, key: K) -> Copy | None:
        self._disk.prepare()
        ledger = self._ledger
        return None if ledger.is_empty() else ledger.find(key, self._time())

    def _value_of(self, copy: Copy) -> Any:
        if copy.number is None:
            return copy.value
        pickled = self._disk.read(copy.number)
        if pickled is None:
            return MISSING
        try:
            return pickle.loads(pickled)  # noqa: S301  # sealed by this cache
        except Exception:  # noqa: BLE001  # whatever the value's own class raises: a miss
            return MISSING

    def _brought_back(self, key: K) -> Any:
        """The value that stands on the disk or waits for it, set in memory again."""
        self._disk.prepare()
        ledger = self._ledger
        if ledger.is_empty():
            return MISSING
        for _ in range(_LOOKS):
            copy, is_ours = ledger.lend(key, self._time())
            if copy is None:  # Or another thread has brought it back just now.
                return self._in_memory(key)
            value = self._value_of(copy)
            if is_ours:
                self._land(key, copy, value)
            if value is not MISSING:
                ledger.count("hits")
                return value
        return MISSING

    def _land(self, key: K, copy: Copy, value: Any) -> None:
        """Set in memory again what was lent, unless it is out of date by then.

        Raises:
            Exception: What `on_evict` raised, for what made room.
        """
        ledger, is_done, error = self._ledger, False, None
        try:
            if value is not MISSING:
                is_done, error = self._set_again(key, copy, value)
            elif ledger.rows.get(key) is copy:  # No other thread took it: it cannot be had.
                ledger.count("failed")
                is_done = True
        finally:
            if ledger.is_void(key, copy) and super().peek(key, None) is value:
                super().pop(key, None)
                with ledger.lock:  # Memory had a newer one, and has neither now.
                    self._notes.pop(key, None)
            ledger.land(key, copy, is_done=is_done)
            self._wake()
        if error is not None:
            raise error

    def _set_again(self, key: K, copy: Copy, value: V) -> tuple[bool, BaseException | None]:
        """Set a value in memory again; returns whether its copy may go, and what was raised."""
        ledger = self._ledger
        lasts = None if copy.ends == NEVER else copy.ends - self._time()
        if lasts is not None and lasts <= 0:
            return True, None
        note = self._note(value, lasts, copy.size)
        with ledger.lock:
            if ledger.is_void(key, copy):
                return False, None
            before, self._notes[key] = self._notes.get(key), note
        is_taken, _, error = self._put(key, note, before, lasts)
        return is_taken, error

    def _taken(self, key: K) -> tuple[Any, list[Copy]]:
        """What memory and disk hold under a key, out of both."""
        if self._flights:
            self._abandon(key)
        self._disk.prepare()
        ledger = self._ledger
        with ledger.lock:
            copies, note = ledger.take(key), self._notes.pop(key, None)
            is_coming = key in ledger.coming
        held: Any = super().pop(key, MISSING)
        if is_coming and (note is None or note[0] is not held):
            held = MISSING
        return held, copies

    def _wake(self) -> None:
        if self._ledger.doomed or self._ledger.waiting:
            self._disk.wake()

    def _press(self, target: int, until: float | None = None) -> int:
        """As in `Cache`; a thread that inserts lets go of notes as well, by their part of all.

        The governor asks the disk by itself. Without this, notes of small values would stay and
        leave memory no room.
        """
        if until is not None:
            return super()._press(target, until)
        notes = self._disk.reclaimable()
        part = target * notes // max(1, notes + self.held_bytes())
        freed = self._disk.reclaim(part, NEVER) if part else 0
        return freed + (super()._press(target - freed) if freed < target else 0)

    def _told(self, gone: list[Gone[K, V]]) -> None:
        """Note evicted values for the disk, then tell of all that were let go."""
        ledger, is_on = self._ledger, self._disk.is_on
        for key, value, weight, cause in gone:
            note = self._notes.get(key)
            # Another one is of another set, which is under way in another thread.
            is_newest = is_on and note is not None and note[0] is value
            copy = self._copy(note, weight, cause) if note and is_newest else None
            with ledger.lock:
                is_same = self._notes.pop(key, None) is note
                is_alone = cause != "pressure"
                waited = ledger.offer(key, copy, is_alone=is_alone) if copy and is_same else None
            del waited  # Finalizers run here, outside the lock.
        if is_on:
            self._wake()
        super()._told(gone)

    def _copy(self, note: Note, weight: int, cause: Cause) -> Copy | None:
        """An evicted value as it is to wait for the disk, if it is to go there."""
        value, ends, size, used = note
        dies = ends if used is None or self._idles is None else min(ends, used[0] + self._idles)
        if cause == "expired" or dies <= self._time():
            return None
        if cause == "pressure" and self._is_emergency():
            self._ledger.count("dropped")
            return None
        if not self._disk.takes(type(value)):
            self._ledger.count("unpicklable")
            return None
        return Copy(ends=ends, dies=dies, size=size, bytes=weight, value=value)

    def _is_emergency(self) -> bool:
        pressure = getattr(self._register.governor, "pressure", None)
        return getattr(pressure, "level", None) is Level.EMERGENCY


def _ignored(_key: object, _value: object, _cause: object) -> None:
    """Stands in the listener's place."""
