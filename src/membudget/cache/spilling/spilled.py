"""The cache that puts what it evicts on a disk, and takes it back at the next lookup.

Each key has one note (see `spill`), and that is what counts: a value in memory, or on its way
there, is the one that its note holds. Who changes memory notes that first, and looks afterwards
whether memory is as the newest note says: of several at once, the last to look sets it right.
"""

from __future__ import annotations

import pickle
import time
import weakref
from typing import TYPE_CHECKING, Any, cast

from membudget.cache.cache import Cache
from membudget.cache.fallback import Table
from membudget.cache.spilling.disk import SpillDisk
from membudget.cache.spilling.spill import Ledger, Note, checked_spill
from membudget.cache.table import K, V, check_functions, container_name
from membudget.core import Level
from membudget.errors import ConfigError, hinted
from membudget.registry import REGISTRY
from membudget.sizing import checked
from membudget.units import as_bytes, as_seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from membudget.cache.spilling.spill import Spill, SpillStats
    from membudget.cache.table import CacheStats, Cause, Gone
    from membudget.core import Clock
    from membudget.registry import Registry
    from membudget.units import Duration

MISSING: Any = object()
NOTE_BYTES = 140  # Memory that the note of an entry costs besides, by tracemalloc.
_LOOKS = 3  # Looks at the disk, where others bring the same value back at the same time.
_NEVER, _SOON = float("inf"), 1e-9
_TOO_LARGE = 1 << 62


class SpilledCache(Cache[K, V]):
    """A cache whose evicted values go to disk, with what is left of their time, and come back.

    As `Cache`, and: `get`, `[]`, `get_many`, `pop`, `delete`, `in`, `peek` and `ttl_left` look at
    memory and at the disk. A hit on the disk brings the value back into memory; `peek` leaves it
    where it is, and `in` and `ttl_left` read nothing from the disk. `len`, the bytes, `keys`,
    `values`, `items` and iteration are those of memory. In `stats` a hit on the disk is a hit; for
    `idle`, time there is time without one. `on_evict` is called for what goes to disk as well.

    A value that comes back is a copy: what is evicted is pickled, by a thread of its own, within
    which the value may still be changed by those who hold it. What a broken disk does is never
    raised: the cache goes on without it, says so in `spill_stats`, and in an event of a running
    budget. A lookup waits for the disk a second at most.

    Raises:
        ConfigError: An argument that cannot be used as given, or a folder that is not one's own.
        MissingExtraError: diskcache is not installed.
    """

    __slots__ = ("_disk", "_idles", "_ledger", "_notes", "_weigh")

    @hinted
    def __init__(
        self,
        name: str,
        *,
        spill: Spill | str | PathLike[str],
        max_bytes: int | str | None = None,
        max_entries: int | None = None,
        ttl: Duration | None = None,
        idle: Duration | None = None,
        policy: str | None = None,
        size: Callable[[V], int] | None = None,
        on_evict: Callable[[K, V, Cause], object] | None = None,
        registry: Registry | None = None,
        clock: Clock | None = None,
        replace: bool = False,
    ) -> None:
        if hasattr(self, "_disk"):
            raise ConfigError("this cache was made already: make a new one")
        name, where = container_name(name), checked_spill(spill)
        check_functions(size, on_evict)
        self._weigh = size
        self._idles = None if idle is None else as_seconds(idle, name="idle")
        # Of what is in memory. The disk's thread keeps the ledger alive: a value may refer to us.
        self._notes: dict[Any, Note] = {}
        self._ledger = Ledger(where.waiting)
        now = time.monotonic if clock is None else clock.now
        noted = weakref.WeakMethod(self.noted_bytes)
        tell_once = (REGISTRY if registry is None else registry).note
        self._disk = SpillDisk(name, where, self._ledger, now, noted, tell_once=tell_once)
        try:
            super().__init__(
                name,
                max_bytes=max_bytes,
                max_entries=max_entries,
                ttl=ttl,
                idle=self._idles,
                policy=policy,
                size=None,
                on_evict=lambda *_: None,  # So that the table tells; the listener is told below.
                registry=registry,
                clock=clock,
                replace=replace,
            )
        except BaseException:
            self._disk.close()
            raise
        self._on_evict = on_evict
        weakref.finalize(self, self._disk.close)
        self._register.add(self._disk)

    def get(self, key: K, default: Any = None) -> Any:
        """The value under a key, brought back from the disk if it is there; else the default."""
        value: Any = super().get(key, MISSING)
        note = self._notes.get(key)
        if note is None or note.value is not value:
            value = self._brought_back(key)
        elif self._idles is not None:
            note.dies = min(note.ends, self._time() + self._idles)
        return default if value is MISSING else value

    def peek(self, key: K, default: Any = None) -> Any:
        """The value under a key, read from the disk if it is there; changes nothing."""
        note = self._found(key)
        value = MISSING if note is None else self._value_of(note)
        return default if value is MISSING else value

    def set(
        self,
        key: K,
        value: V,
        *,
        ttl: Duration | None = None,
        size: int | str | None = None,
    ) -> bool:
        """As `Cache.set`; what the disk holds under the key is out of date from now on."""
        lasts = self.ttl if ttl is None else as_seconds(ttl, name="ttl")
        ends = _NEVER if lasts is None else self._time() + lasts
        if size is not None:  # First, as that may fail.
            size = 0 if type(size) is int and not size else as_bytes(size)
        elif self._weigh is not None:
            size = checked(self._weigh(value), f"the size of a value in cache {self.name!r}")
            size = min(size, _TOO_LARGE)  # Which the table refuses, where it has a bound.
        note = self._note(value, ends, size)
        hash(key)
        self._disk.prepare()
        with self._ledger.lock:
            gone = self._take(key)
            self._notes[key] = note
        del gone  # Finalizers run here, outside the lock.
        return self._is_put(key, note)

    if not TYPE_CHECKING:  # As plain Python has them: one by one, by `get` and `set` of here.
        get_many, set_many = Table.get_many, Table.set_many
        __getitem__, __setitem__ = Table.__getitem__, Table.__setitem__

    def pop(self, key: K, default: Any = MISSING) -> Any:
        """As `Cache.pop`, of memory or from the disk."""
        is_newest, value = False, MISSING
        while not is_newest and (note := self._found(key)) is not None:
            value = self._value_of(note)
            with self._ledger.lock:
                is_newest = (self._notes.get(key) or self._ledger.find(key)) is note
                if is_newest:  # Else another thread was faster, maybe one that brings it back.
                    self._take(key)
        value = value if is_newest else MISSING
        super().pop(key, None)
        self._set_right(key)
        self._disk.wake()
        if value is not MISSING:
            return value
        if default is MISSING:
            raise KeyError(key)
        return default

    def delete(self, key: K) -> bool:
        """Forget a key, in memory and on the disk; returns whether a value stood there."""
        note = self._found(key)
        with self._ledger.lock:
            gone = self._take(key)
        super().delete(key)
        self._set_right(key)
        self._disk.wake()
        del gone
        return note is not None

    def ttl_left(self, key: K) -> float | None:
        """As in `Cache`, also for what stands on the disk, where time goes on."""
        note = self._found(key)
        if note is None:
            raise KeyError(key)
        return None if note.dies == _NEVER else note.dies - self._time()

    def clear(self) -> None:
        """Forget all entries at once, in memory and on the disk. This is no eviction."""
        self._disk.prepare()
        with self._ledger.lock:
            gone, notes, self._notes = self._ledger.empty(), self._notes, {}
        super().clear()
        del gone, notes  # Finalizers run here, outside the lock.
        self._disk.wake()

    def stats(self) -> CacheStats:
        """The figures; a hit on the disk is a hit, and to come back is not to be set."""
        stats, back = super().stats(), self._ledger.counts["hits"]
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

    def flush_spill(self, timeout: Duration = 5.0) -> bool:
        """Wait until nothing waits for the disk; returns whether that came in time.

        The timeout is in seconds, or text such as "2s"; else a ConfigError.
        """
        return self._disk.flush(as_seconds(timeout, name="timeout"))

    def __contains__(self, key: object) -> bool:
        return self._found(cast("Any", key)) is not None

    def noted_bytes(self) -> int:
        """Bytes of memory that the notes of what is in memory take. No lock."""
        return len(self._notes) * NOTE_BYTES

    def _note(self, value: V, ends: float, size: int | None) -> Note:
        idles = self._idles
        return Note(value, ends, ends if idles is None else min(ends, self._time() + idles), size)

    def _is_put(self, key: K, note: Note) -> bool:
        """Have memory hold a value that was noted; returns whether it was taken in."""
        is_taken = None
        try:
            is_taken = self._is_set(key, note)
            return is_taken
        finally:
            if is_taken is None and super().peek(key, MISSING) is not note.value:
                self._drop(key, note)  # Unless it was evicted again already.
            self._set_right(key)
            self._disk.wake()

    def _is_set(self, key: K, note: Note) -> bool:
        lasts = None if note.ends == _NEVER else max(_SOON, note.ends - self._time())
        is_taken = super().set(key, note.value, ttl=lasts, size=note.size)
        if not is_taken:
            self._drop(key, note)
        return is_taken

    def _drop(self, key: K, note: Note) -> None:
        with self._ledger.lock:
            if self._notes.get(key) is note:
                del self._notes[key]

    def _set_right(self, key: K) -> None:
        """Of several who changed memory at once, what was noted last counts."""
        while True:
            held, note = super().peek(key, MISSING), self._notes.get(key)
            if note is None:
                if held is MISSING:
                    return
                super().pop(key, None)
            elif held is note.value or note.dies <= self._time() or not self._is_set(key, note):
                return

    def _found(self, key: K) -> Note | None:
        """What is known of a value, wherever it is, unless it has expired."""
        self._disk.prepare()
        with self._ledger.lock:
            note = self._notes.get(key) or self._ledger.find(key)
        return None if note is None or note.dies <= self._time() else note

    def _value_of(self, note: Note) -> Any:
        if not note.number:
            return note.value
        pickled = self._disk.read(note.number)
        if pickled is None:
            return MISSING
        try:
            return pickle.loads(pickled)  # noqa: S301  # sealed by this cache
        except Exception:  # noqa: BLE001  # whatever the value's own class raises: a miss
            return MISSING

    def _take(self, key: K) -> Note | None:
        return self._notes.pop(key, None) or self._ledger.take(key)

    def _brought_back(self, key: K) -> Any:
        """The value that stands on the disk or waits for it, set in memory again."""
        ledger = self._ledger
        for _ in range(_LOOKS):
            copy = self._found(key)
            if copy is None:
                return MISSING
            value, note = self._value_of(copy), None
            with ledger.lock:
                if self._notes.get(key) is copy:  # It is being set just now.
                    return value
                is_newest = ledger.find(key) is copy
                if is_newest:
                    ledger.take(key)
                    if value is not MISSING:
                        self._notes[key] = note = self._note(value, copy.ends, copy.size)
            if value is not MISSING:
                ledger.count("hits")
                if note is not None:
                    self._is_put(key, note)
                return value
            if is_newest:
                ledger.count("failed")
                self._disk.wake()
                return MISSING
        return MISSING

    def _press(self, target: int, until: float | None = None) -> int:
        """As in `Cache`; who inserts lets go of notes too: they would leave values no room."""
        if until is not None:
            return super()._press(target, until)
        notes = self._disk.reclaimable()
        part = target * notes // max(1, notes + self.held_bytes())
        freed = self._disk.reclaim(part, _NEVER) if part else 0
        return freed + (super()._press(target - freed) if freed < target else 0)

    def _told(self, gone: list[Gone[K, V]]) -> None:
        """Note evicted values for the disk, then tell of all that were let go."""
        ledger = self._ledger
        for key, value, weight, cause in gone:
            note = self._notes.get(key)
            # Another one is of another set, which is under way in another thread.
            if note is None or note.value is not value:
                continue
            is_to_spill, waited = self._is_to_spill(note, cause), None
            with ledger.lock:
                if self._notes.get(key) is note:
                    del self._notes[key]
                    if is_to_spill:
                        note.bytes = weight
                        waited = ledger.offer(key, note, is_alone=cause != "pressure")
            del waited  # Finalizers run here, outside the lock.
        self._disk.wake()
        super()._told(gone)

    def _is_to_spill(self, note: Note, cause: Cause) -> bool:
        """Whether an evicted value is to go to the disk; counted where it could, but is not."""
        if not self._disk.is_on or cause == "expired" or note.dies <= self._time():
            return False
        pressure = getattr(self._register.governor, "pressure", None)
        is_emergency = getattr(pressure, "level", None) is Level.EMERGENCY
        if cause == "pressure" and is_emergency:
            self._ledger.count("dropped")
            return False
        if not self._disk.takes(type(note.value)):
            self._ledger.count("unpicklable")
            return False
        return True
