"""The cache that puts what it evicts on a disk, and takes it back at the next lookup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from membudget.bounded.spilling.rows import stamp_of
from membudget.bounded.spilling.spill import SpillStats
from membudget.bounded.spilling.tier import MISSING, NEVER, Spilling
from membudget.bounded.table import K, V
from membudget.units import as_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from membudget.bounded.stats import CacheStats


class SpilledCache(Spilling[K, V]):
    """A cache whose evicted values go to disk, with what is left of their time, and come back.

    As `Cache`, and: `get`, `[]`, `get_many`, `pop`, `delete`, `in`, `peek` and `ttl_left` look at
    memory and at the disk. A hit on the disk brings the value back into memory; `peek` leaves it
    where it is, and `in` and `ttl_left` read nothing from the disk. `len`, the bytes, `keys`,
    `values`, `items` and iteration are those of memory. In `stats` a hit on the disk is a hit.

    A value that comes back is a copy: what is evicted is pickled, by a thread of its own, within
    which the value may still be changed by whoever holds it. What a broken disk does is never
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

    __slots__ = ()

    def get(self, key: K, default: Any = None) -> Any:
        """The value under a key, brought back from the disk if it is there; else the default.

        Raises:
            Exception: What `on_evict` raised, for what made room.
        """
        value: Any = super().get(key, MISSING)
        if value is MISSING or self._is_stale(key, value):
            value = self._brought_back(key)
        elif self._idles is not None:
            cell = self._cells.get(key)
            if cell is not None and cell[4] is not None:
                cell[4][0] = self._time()
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
        lasts = self._lifetime if ttl is None else as_seconds(ttl, name="ttl")
        hash(key)
        self._writer.prepare()
        ledger = self._ledger
        stamp, _ = ledger.begin_change(key)
        is_changed = True
        try:
            cell = self._cell(value, stamp, lasts, size)
            is_taken, is_changed, error = self._put(key, cell, self._note(key, cell), lasts)
        finally:
            if is_changed:
                ledger.forget(key, stamp)
            else:
                ledger.undo_change(stamp, key)
            ledger.end(stamp)
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
        seen = self._found(key) if self._in_memory(key) is MISSING else None
        value = MISSING if seen is None else self._value_of(seen)
        held, found = self._taken(key)
        if held is not MISSING:
            value = held
        elif found is None:
            value = MISSING
        elif seen is None or stamp_of(seen) != stamp_of(found):  # It came there just now.
            value = self._value_of(found)
        self._wake()
        if value is not MISSING:
            return value
        if default is MISSING:
            raise KeyError(key)
        return default

    def delete(self, key: K) -> bool:
        """Forget a key, in memory and on the disk; returns whether a value stood there."""
        held, found = self._taken(key)
        self._wake()
        return held is not MISSING or found is not None

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
        self._writer.prepare()
        with self._ledger.lock:
            gone, cells, self._cells = self._ledger.empty(), self._cells, {}
        super().clear()
        del gone, cells
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
        ledger, writer = self._ledger, self._writer
        return SpillStats(
            directory=writer.directory,
            state=writer.state,
            entries=len(ledger.rows),
            bytes=writer.stored_bytes(),
            max_bytes=writer.max_bytes,
            waiting=ledger.waiting_bytes,
            spilled=ledger.spilled,
            hits=ledger.hits,
            dropped=ledger.dropped,
            unpicklable=ledger.unpicklable,
            failed=ledger.failed,
        )

    def flush_spill(self, timeout: float | str = 5.0) -> bool:
        """Wait until nothing waits for the disk; returns whether that came in time.

        Args:
            timeout: Seconds, or text such as "2s".

        Raises:
            ConfigError: A timeout that is none.
        """
        return self._writer.flush(as_seconds(timeout, name="timeout"))

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
