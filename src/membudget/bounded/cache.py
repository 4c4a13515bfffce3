"""The cache: values by key with their bytes counted, a bound, and times of expiry."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar, overload

from membudget.bounded.arguments import bytes_bound, checked_name, entries_bound
from membudget.bounded.entry import Entry, K, V
from membudget.bounded.store import Cause, Store
from membudget.errors import ConfigError
from membudget.registry import REGISTRY
from membudget.sizing import checked, size_of
from membudget.units import as_bytes, as_seconds, human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from membudget.bounded.store import Gone
    from membudget.core import Clock
    from membudget.registry import Registry

D = TypeVar("D")

POLICIES = ("lru",)

FORGET_EVERY = 1024
"""Sets after which the hits before count half."""

ENTRY_BYTES = 200
"""Bytes an entry costs beside its key and value: the entry 96, its weight 32, the time it was set
32, its place in the index 20 to 45. Measured with tracemalloc, 1,000 to 175,000 entries with str
keys: 181 to 204."""

TIMED_BYTES = 136
"""Bytes more for one that expires: its time 32, its deadline 96 and 9 in the heap. Measured: 129 to
137."""

_MISSING: Any = object()
_ABSENT: Any = object()
_KEEP: Any = object()
_SWEPT_AT_A_SET = 2


class Cache(Store[K, V]):
    """A mapping that keeps a bound in bytes, in entries, or that of the running budget.

    Any thread may call any method. An entry weighs what its key and its value hold and its own
    cost. Expired entries are never returned; they count in `len` and in the bytes until they are
    freed, by the budget's sweeper within about a second, by touch, or by the next sets. No live
    entry is evicted while an expired one is held.

    `on_evict(key, value, cause)` is called after an entry was evicted or freed as expired, outside
    the lock, in the thread that did it. What it raises reaches that thread's `set`, `get` or
    `resize` once everything is in order, and the budget's events where the budget evicted. A value
    replaced, popped, deleted or cleared was not evicted: whoever did that knows.

    Args:
        name: What it is called in reports, events and settings.
        max_bytes: The bound in bytes, or text such as "50MiB".
        max_entries: The bound in entries. With neither, it lives under the running budget, and on
            1000 entries while there is none.
        ttl: Seconds, or text such as "1h", that an entry lasts where `set` gives no other.
        policy: What goes first: "lru", the entry longest unused.
        size: What a value holds, in bytes; None weighs it with `size_of`.
        on_evict: Called with key, value and cause: "bytes", "entries", "pressure" or "expired".
        registry: Where it registers and finds the budget; None is the process's own.
        clock: Where time comes from; None is the monotonic clock.

    Raises:
        ConfigError: An argument that cannot be used as given.
    """

    def __init__(
        self,
        name: str,
        *,
        max_bytes: int | str | None = None,
        max_entries: int | None = None,
        ttl: float | str | None = None,
        policy: str = "lru",
        size: Callable[[V], int] | None = None,
        on_evict: Callable[[K, V, Cause], object] | None = None,
        registry: Registry | None = None,
        clock: Clock | None = None,
    ) -> None:
        if policy not in POLICIES:
            raise ConfigError(f"policy {policy!r} is not known: use one of {', '.join(POLICIES)}")
        super().__init__(
            checked_name(name),
            max_bytes=bytes_bound(max_bytes),
            max_entries=entries_bound(max_entries),
            on_evict=on_evict,
            registry=REGISTRY if registry is None else registry,
            now=time.monotonic if clock is None else clock.now,
        )
        self._ttl = None if ttl is None else as_seconds(ttl, name="ttl")
        self._size = size
        self._registry.add(self)

    def __repr__(self) -> str:
        held = human_bytes(self.held_bytes())
        return f"{type(self).__name__}({self.name!r}, {len(self)} entries, {held})"

    def __contains__(self, key: object) -> bool:
        return self._look(key, _MISSING) is not _MISSING

    def __iter__(self) -> Iterator[K]:
        return iter(self.keys())

    def __getitem__(self, key: K) -> V:
        value: V = self.get(key, _MISSING)
        if value is _MISSING:
            raise KeyError(key)
        return value

    def __setitem__(self, key: K, value: V) -> None:
        self.set(key, value)

    def __delitem__(self, key: K) -> None:
        self.pop(key)

    @overload
    def get(self, key: K, default: None = None) -> V | None: ...
    @overload
    def get(self, key: K, default: D) -> V | D: ...
    def get(self, key: K, default: Any = None) -> Any:
        """The value under a key, which is now the last used; else the default.

        Raises:
            Exception: What `on_evict` raised, where the value was found expired.
        """
        with self._lock:
            ring = self._ring
            entry = ring.index.get(key)
            if entry is not None:
                # All at once, before anything can come between.
                value, weight, expires = entry.value, entry.weight, entry.expires
                if weight and (expires is None or expires > self._now()):
                    ring.touch(entry)
                    self._hits += 1
                    return value
            self._misses += 1
            gone = self._take_touched(entry) if entry is not None else None
        if gone:
            self._tell(self._drop(gone))
        return default

    @overload
    def peek(self, key: K, default: None = None) -> V | None: ...
    @overload
    def peek(self, key: K, default: D) -> V | D: ...
    def peek(self, key: K, default: Any = None) -> Any:
        """The value under a key, else the default; changes nothing, not even the statistics."""
        return self._look(key, default)

    def set(
        self,
        key: K,
        value: V,
        *,
        ttl: float | str | None = None,
        size: int | str | None = None,
    ) -> bool:
        """Keep a value under a key, and make room for it.

        Where a budget runs and is short, as much as it asks for is evicted from this cache before
        `set` returns, the new entry last.

        Args:
            key: Any hashable object.
            value: Any object.
            ttl: Seconds, or text such as "5m", until it expires; None is the cache's own time.
            size: Bytes, or text such as "2MiB", that the value holds; None has it weighed.

        Returns:
            False where it weighs more than `max_bytes`: then nothing stands under the key.

        Raises:
            ConfigError: A `ttl` or `size` that is none, or a size function that gave none.
            Exception: What the size function raised, and nothing was changed; or what `on_evict`
                raised first, and the value was taken in.
        """
        entry = self._weighed(key, value, ttl, size)
        weight = entry.weight
        gone: list[Gone[K, V]] = []
        with self._lock:
            ring = self._ring
            if self._max_bytes is not None and weight > self._max_bytes:
                self._refused += 1
                replaced: Any = ring.take(key)
                return False
            replaced = ring.put(entry)
            self._sets += 1
            if not self._sets % FORGET_EVERY:
                self._forgotten_hits += (self._hits - self._forgotten_hits) // 2
            if ring.is_timed:
                gone = self._take_expired(_SWEPT_AT_A_SET, entry.born)
            if self._excess() is not None:
                gone += self._take(entry.born, self._excess)
        del replaced  # Its finalizer may do anything, so it goes outside the lock.
        meter = self._registry.meter
        wanted = meter.claim(weight) if meter is not None else 0
        if gone or wanted > 0:
            self._make_room(gone, wanted)
        return True

    @overload
    def pop(self, key: K) -> V: ...
    @overload
    def pop(self, key: K, default: D) -> V | D: ...
    def pop(self, key: K, default: Any = _MISSING) -> Any:
        """Take a value out and return it, else the default. No lookup in the statistics.

        Raises:
            KeyError: There is none, or it has expired, and no default is given.
        """
        gone: list[Gone[K, V]] = []
        with self._lock:
            taken = self._ring.take(key)
            if taken is not None:
                value, expires = taken[1], taken[3]
                if expires is None or expires > (now := self._now()):
                    return value
                gone = [self._tally(taken, "expired", now)]
        self._tell(self._drop(gone))
        if default is _MISSING:
            raise KeyError(key)
        return default

    def delete(self, key: K) -> bool:
        """Forget a key; returns whether a value stood there."""
        return self.pop(key, _ABSENT) is not _ABSENT

    def keys(self) -> list[K]:
        """The keys now, longest unused first."""
        return [key for key, _ in self.items()]

    def values(self) -> list[V]:
        """The values now, longest unused first."""
        return [value for _, value in self.items()]

    def items(self) -> list[tuple[K, V]]:
        """Keys and values now, longest unused first. Reading them changes nothing."""
        with self._lock:
            return self._ring.live(self._now())

    def resize(
        self, *, max_bytes: int | str | None = _KEEP, max_entries: int | None = _KEEP
    ) -> None:
        """Change a bound, or lift it with None; what is beyond it is evicted at once.

        Raises:
            ConfigError: A bound that is none.
            Exception: What `on_evict` raised first, after all of them were let go.
        """
        new_bytes = self._max_bytes if max_bytes is _KEEP else bytes_bound(max_bytes)
        new_entries = self._max_entries if max_entries is _KEEP else entries_bound(max_entries)
        with self._lock:
            self._max_bytes, self._max_entries = new_bytes, new_entries
        self._tell(self._let_go(self._take_excess)[1])

    def _look(self, key: Any, default: Any) -> Any:
        with self._lock:
            entry = self._ring.index.get(key)
            if entry is None:
                return default
            value, weight, expires = entry.value, entry.weight, entry.expires
            is_live = weight and (expires is None or expires > self._now())
            return value if is_live else default

    def _weighed(
        self, key: K, value: V, ttl: float | str | None, size: int | str | None
    ) -> Entry[K, V]:
        lasts = self._ttl if ttl is None else as_seconds(ttl, name="ttl")
        if size is not None:
            held = as_bytes(size)
        elif self._size is None:
            held = size_of(value)
        else:
            held = checked(self._size(value), f"the size of a value in cache {self.name!r}")
        held += size_of(key) + ENTRY_BYTES
        now = self._now()
        if lasts is None:
            return Entry(key, value, held, now, None)
        return Entry(key, value, held + TIMED_BYTES, now, now + lasts)

    def _take_touched(self, entry: Entry[K, V]) -> list[Gone[K, V]]:
        taken = self._ring.remove(entry)
        return [] if taken is None else [self._tally(taken, "expired", self._now())]

    def _make_room(self, gone: list[Gone[K, V]], wanted: int) -> None:
        """Let go of what a set has taken out, what is still too much, and what the budget asks."""
        errors = [self._drop(gone)]
        if self._excess() is not None:
            errors.append(self._let_go(self._take_excess)[1])
        if wanted > 0:
            errors.append(self._let_go(self._take_pressed(wanted))[1])
        for error in errors:
            self._tell(error)
