"""Entries under one lock that keep a bound and let go when asked: what a cache is built on.

Nothing foreign runs under the lock but the keys' own `__hash__` and `__eq__`. What is let go is
taken out under the lock, a batch at a time, and dropped and told after it: a finalizer or an
`on_evict` may use the cache, and no thread waits for one.
"""

from __future__ import annotations

import contextlib
import threading
import time
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypeVar

from membudget.bounded.entry import K, V
from membudget.bounded.ring import Ring
from membudget.bounded.stats import CacheStats
from membudget.core import Rung
from membudget.core.native import RLock

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.bounded.ring import Taken
    from membudget.registry import Registry

T = TypeVar("T")

Cause: TypeAlias = Literal["bytes", "entries", "pressure", "expired"]
"""Why an entry was let go: the cache's own bounds, the budget, or its time was over."""

DEFAULT_ENTRIES = 1000
"""The bound of a cache that was given none, where no budget runs."""

_BATCH = 64
_BATCH_BYTES = 1 << 20
"""Entries and bytes let go between two looks at the clock: well below a millisecond."""

Gone: TypeAlias = tuple[K, V, int, Cause]
"""What was let go: key, value, weight and why."""

_Take: TypeAlias = "Callable[[int, float], list[Gone[K, V]]]"
"""Takes out a batch under the lock, for the bytes let go so far and the time; empty at the end."""


class Store(Generic[K, V]):
    """Bounded entries under a lock, as a holder, a reclaimer and something to sweep.

    Any thread may call any method. `held_bytes`, `reclaimable` and `len` take no lock.

    Args:
        name: What it is called in reports and events.
        max_bytes: The bound in bytes, or None.
        max_entries: The bound in entries, or None.
        on_evict: Called with key, value and cause after each entry let go.
        registry: Where it finds the meter of a running budget.
        now: Monotonic seconds.
    """

    rung = Rung.MODERATE

    def __init__(
        self,
        name: str,
        *,
        max_bytes: int | None,
        max_entries: int | None,
        on_evict: Callable[[K, V, Cause], object] | None,
        registry: Registry,
        now: Callable[[], float],
    ) -> None:
        self.name = name
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._on_evict = on_evict
        self._registry = registry
        self._now = now
        self._lock = RLock()
        self._ring: Ring[K, V] = Ring()
        self._hits = self._misses = self._sets = self._refused = 0
        self._forgotten_hits = 0
        self._evictions: dict[str, int] = {"bytes": 0, "entries": 0, "pressure": 0}
        self._bytes_evicted = self._expirations = 0

    def __len__(self) -> int:
        return self._ring.count

    def held_bytes(self) -> int:
        """The bytes all entries weigh. Cost: 0.1 µs, no lock."""
        return self._ring.bytes

    def reclaimable(self) -> int:
        """The bytes it could let go: all it holds."""
        return self._ring.bytes

    def hits_per_byte(self) -> float:
        """Recent hits ÷ bytes: how much use a byte here is."""
        return (self._hits - self._forgotten_hits) / max(1, self._ring.bytes)

    def has_expired(self, now: float) -> bool:
        """Whether an entry waits to be swept, or a stale record says so. Cost: 0.3 µs, no lock."""
        soonest = self._ring.deadlines.soonest()
        return soonest is not None and soonest <= now

    def reclaim(self, target: int, until: float) -> int:
        """Let go of at least `target` bytes, expired entries first, then the longest unused.

        Args:
            target: Bytes.
            until: Monotonic time to stop at; overrun by less than 1 ms, or by one large value.

        Returns:
            Bytes let go.

        Raises:
            Exception: What `on_evict` raised first, after all of them were let go.
        """
        freed, error = self._let_go(self._take_pressed(target), until)
        self._tell(error)
        return freed

    def sweep(self, until: float) -> int:
        """Let go of entries that have expired, until there are none or time is up.

        Args:
            until: Monotonic time to stop at; overrun by less than 1 ms, or by one large value.

        Returns:
            Bytes let go.

        Raises:
            Exception: What `on_evict` raised first, after all of them were let go.
        """
        freed, error = self._let_go(lambda _, now: self._take_expired(_BATCH, now), until)
        self._tell(error)
        return freed

    def clear(self) -> None:
        """Forget all entries at once, then free them in steps. This is no eviction."""
        with self._lock:
            old, self._ring = self._ring, Ring()
        del old  # It takes itself apart here, outside the lock.

    def stats(self) -> CacheStats:
        """The figures; reading them changes nothing."""
        with self._lock:
            lookups = self._hits + self._misses
            oldest = self._ring.root.after
            return CacheStats(
                name=self.name,
                entries=self._ring.count,
                bytes=self._ring.bytes,
                max_bytes=self._max_bytes,
                max_entries=self._max_entries,
                hits=self._hits,
                misses=self._misses,
                hit_rate=self._hits / lookups if lookups else 0.0,
                sets=self._sets,
                refused=self._refused,
                evictions=MappingProxyType(self._evictions.copy()),
                bytes_evicted=self._bytes_evicted,
                expirations=self._expirations,
                oldest_age=self._now() - oldest.born if self._ring.count else None,
                hits_per_byte=self.hits_per_byte(),
            )

    def before_fork(self, until: float) -> None:
        """Take the lock, so that the child finds everything in order."""
        self._lock.acquire(timeout=max(0.0, until - time.monotonic()))

    def after_fork_in_parent(self) -> None:
        """Give the lock back where it could be had: only then is it this thread's."""
        with contextlib.suppress(RuntimeError):
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Take a new lock; forget all where another thread was in the middle of a change."""
        try:
            self._lock.release()
        except RuntimeError:
            self._ring = Ring()
        self._lock = RLock()

    def _let_go(
        self, take: _Take[K, V], until: float | None = None
    ) -> tuple[int, Exception | None]:
        """Let go batch by batch; returns the bytes and the first error of `on_evict`."""
        freed, first = 0, None
        while gone := self._under_lock(partial(self._taken, take, freed), until):
            freed += sum([weight for _, _, weight, _ in gone])
            error = self._drop(gone)
            first = error if first is None else first
        if freed:
            self._under_lock(self._ring.fold, until)
        return freed, first

    def _taken(self, take: _Take[K, V], freed: int) -> list[Gone[K, V]]:
        return take(freed, self._now())

    def _under_lock(self, action: Callable[[], T], until: float | None) -> T | None:
        """What an action under the lock returns; None where the lock was not to be had in time."""
        if until is None:
            # By `with`: a signal handler that raises must not leave the lock held.
            with self._lock:
                return action()
        left = until - self._now()
        if left <= 0 or not self._lock.acquire(timeout=min(left, threading.TIMEOUT_MAX)):
            return None
        try:
            return action()
        finally:
            self._lock.release()

    def _drop(self, gone: list[Gone[K, V]]) -> Exception | None:
        """Tell of entries taken out and drop them; outside the lock, since all may use the cache.

        Returns:
            The first error of `on_evict`, so that one failure does not hide the others.
        """
        first = None
        if self._on_evict is not None:
            for key, value, _, cause in gone:
                try:
                    self._on_evict(key, value, cause)
                except Exception as error:  # noqa: BLE001  # raised by the caller, at the end
                    first = error if first is None else first
        gone.clear()
        return first

    def _tell(self, error: Exception | None) -> None:
        """Raise what `on_evict` raised, now that everything is in order."""
        if error is not None:
            raise error

    def _take_pressed(self, target: int) -> _Take[K, V]:
        def take(freed: int, now: float) -> list[Gone[K, V]]:
            return self._take(now, lambda more: "pressure" if freed + more < target else None)

        return take

    def _take_excess(self, _freed: int, now: float) -> list[Gone[K, V]]:
        return self._take(now, self._excess)

    def _take(self, now: float, cause_of: Callable[[int], Cause | None]) -> list[Gone[K, V]]:
        """Take out a batch for as long as there is a cause, given the bytes of the batch so far."""
        gone: list[Gone[K, V]] = []
        freed = 0
        while len(gone) < _BATCH and freed < _BATCH_BYTES:
            cause = cause_of(freed)
            taken = self._ring.evict(now) if cause is not None else None
            if cause is None or taken is None:
                break
            gone.append(self._tally(taken, cause, now))
            freed += taken[2]
        return gone

    def _take_expired(self, most: int, now: float) -> list[Gone[K, V]]:
        gone: list[Gone[K, V]] = []
        freed, ring = 0, self._ring
        while len(gone) < most and freed < _BATCH_BYTES:
            entry = ring.deadlines.pop_due(now)
            if entry is None:
                break
            taken = ring.remove(entry)
            if taken is not None:
                gone.append(self._tally(taken, "expired", now))
                freed += taken[2]
        return gone

    def _tally(self, taken: Taken[K, V], cause: Cause, now: float) -> Gone[K, V]:
        """Count an entry taken out: one that had expired anyway is no eviction."""
        key, value, weight, expires = taken
        if cause == "expired" or (expires is not None and expires <= now):
            self._expirations += 1
            return key, value, weight, "expired"
        self._evictions[cause] += 1
        self._bytes_evicted += weight
        return key, value, weight, cause

    def _excess(self, _freed: int = 0) -> Cause | None:
        """Which bound is broken now. Without one, a running budget is; else so many entries."""
        ring, most = self._ring, self._max_entries
        if self._max_bytes is None:
            if most is None and self._registry.meter is None:
                most = DEFAULT_ENTRIES
        elif ring.bytes > self._max_bytes:
            return "bytes"
        return "entries" if most is not None and ring.count > most else None
