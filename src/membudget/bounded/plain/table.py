"""The table: a mapping that knows its bytes, keeps its bounds, and forgets what has expired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from membudget.bounded.plain.entry import K, V
from membudget.bounded.plain.queues import MOST_HITS
from membudget.bounded.plain.weighing import Weighing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from membudget.bounded.plain.entry import Entry
    from membudget.bounded.plain.steps import Gone

D = TypeVar("D")

FORGET_EVERY = 1024
"""Sets after which the hits before count half."""

_MISSING: Any = object()
_NEVER = float("inf")


class Table(Weighing[K, V]):
    """A bounded mapping: the plain twin of the compiled one, same answers and same order.

    Any thread may call any method. A hit takes no lock in S3-FIFO order without `idle`. All values
    are checked by whoever makes it.
    """

    __slots__ = ()

    def __contains__(self, key: object) -> bool:
        return self.peek(key, _MISSING) is not _MISSING  # type: ignore[arg-type]  # any may be asked

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
        """The value under a key, which counts as used; else the default.

        Raises:
            Exception: What a listener raised, where the value was found expired.
        """
        entry = self._find(key)
        if entry is None:
            self._misses += 1
            return default
        # The time first: a value set anew meanwhile then comes with its own or a later one.
        expires = entry.expires
        value = entry.value
        if expires is not None and (not self._is_simple or expires <= self._now()):
            return self._get_under_lock(key, default)
        if entry.freq < MOST_HITS:
            entry.freq += 1
        self.hits += 1
        return value

    @overload
    def peek(self, key: K, default: None = None) -> V | None: ...
    @overload
    def peek(self, key: K, default: D) -> V | D: ...
    def peek(self, key: K, default: Any = None) -> Any:
        """The value under a key, else the default; changes nothing, not even the statistics."""
        entry = self._find(key)
        if entry is None:
            return default
        expires, used, value = entry.expires, entry.used, entry.value
        if expires is not None and self._contents.wheel.has_ended(expires, used, self._now()):
            return default
        return value

    def set(
        self,
        key: K,
        value: V,
        *,
        ttl: float | str | None = None,
        size: int | str | None = None,
    ) -> bool:
        """Keep a value under a key, and make room for it.

        Where a budget runs and is short, as much as it asks for is evicted from here before `set`
        returns, the new entry last.

        Args:
            key: Any hashable object.
            value: Any object.
            ttl: Seconds, or text such as "5m", until it expires; None is the table's own time.
            size: Bytes, or text such as "2MiB", that the value holds; None has it weighed.

        Returns:
            False where it weighs more than `max_bytes`: then nothing stands under the key.

        Raises:
            ConfigError: A `ttl` or `size` that is none, or a size function that gave none.
            TypeError: A key that has no hash.
            Exception: What the size function raised, and nothing was changed; or what a listener
                raised first, and the value was taken in.
        """
        return self._put_entry(self._made(key, value, ttl, size))

    def _put_entry(self, entry: Entry[K, V], held: list[V] | None = None) -> bool:
        """Take an entry in; with `held` a value that stands there already stays, and goes there."""
        key, weight = entry.key, entry.weight
        gone: list[Gone[K, V]] = []
        with self._lock:
            contents = self._contents
            if held is not None:
                there: Any = self._find(key)
                is_held = there is not None and there.after is not None
                if is_held and not contents.wheel.has_ended(there.expires, there.used, entry.born):
                    contents.touch(there)
                    held.append(there.value)
                    return False
            if self.max_bytes is self.max_entries is None:
                self._free_bound()  # Before this one comes in.
            if self.max_bytes is not None and weight > self.max_bytes:
                replaced: Any = contents.take(key)
                self._refused += 1
                return False
            replaced = contents.put(entry, entry.born)
            self._sets += 1
            if not self._sets % FORGET_EVERY:
                self.forgotten_hits += (self.hits - self.forgotten_hits) // 2
            if contents.wheel.count:
                self._sweep_some(contents, gone, entry.born)
            if self._excess() is not None:
                self._batch(self._excess, gone, entry.born)
            self._claimed += weight
        del replaced  # Its finalizer may do anything, so it goes outside the lock.
        if gone or self._claimed >= self.claim_quantum:
            self._settle(gone)
        return True

    def set_many(
        self, pairs: Mapping[K, V] | Iterable[tuple[K, V]], *, ttl: float | str | None = None
    ) -> int:
        """Keep many values, as one `set` after the other; returns how many were taken in.

        Args:
            pairs: A mapping, or pairs of key and value.
            ttl: As in `set`.
        """
        given: Any = pairs
        found = given.items() if hasattr(given, "items") else given
        return sum([self.set(key, value, ttl=ttl) for key, value in found])

    def get_many(self, keys: Iterable[K]) -> dict[K, V]:
        """The values found under keys; each counts as a lookup."""
        found = {}
        for key in keys:
            value: Any = self.get(key, _MISSING)
            if value is not _MISSING:
                found[key] = value
        return found

    @overload
    def pop(self, key: K) -> V: ...
    @overload
    def pop(self, key: K, default: D) -> V | D: ...
    def pop(self, key: K, default: Any = _MISSING) -> Any:
        """Take a value out and return it, else the default. No lookup in the statistics.

        Raises:
            KeyError: There is none, or it has expired, and no default is given.
        """
        with self._lock:
            wheel = self._contents.wheel
            now = self._now() if wheel.count else 0.0  # First: it may raise.
            taken = self._contents.take(key)
            has_ended = False
            if taken is not None and taken[3] is not None:
                has_ended = wheel.has_ended(taken[3], taken[4], now)
                self._expirations += has_ended
        if taken is not None:
            if not has_ended:
                return taken[1]
            if self._listens:
                self._told([(taken[0], taken[1], taken[2], "expired")])
        if default is _MISSING:
            raise KeyError(key)
        return default

    def delete(self, key: K) -> bool:
        """Forget a key; returns whether a value stood there."""
        absent: Any = object()
        return Table.pop(self, key, absent) is not absent  # A subclass may have another.

    def _setdefault(self, key: K, value: V) -> V:
        """The value under a key; where there is none, this one, which is put there."""
        held: list[V] = []
        self._put_entry(self._made(key, value, None, None), held)
        return held[0] if held else value

    def _popitem(self, newest: bool) -> tuple[K, V] | None:  # noqa: FBT001  # as the compiled one
        """Take out the last in the order of use, or the first; None where there is none."""
        with self._lock:
            ring = self._contents.main
            entry = ring.before if newest else ring.after
            taken = None if entry is ring else self._contents.remove(entry)
        return None if taken is None else (taken[0], taken[1])

    def _move_to_end(self, key: K, newest: bool) -> bool:  # noqa: FBT001  # as the compiled one
        """Make it the last in the order of use, or the first; whether it is there."""
        with self._lock:
            entry = self._find(key)
            if entry is None or entry.after is None:
                return False
            if newest:
                self._contents.touch(entry)
            else:
                self._contents.to_oldest(entry)
            return True

    def ttl_left(self, key: K) -> float | None:
        """Seconds until a value expires if it is not used, None for never; changes nothing.

        Raises:
            KeyError: There is none, or it has expired.
        """
        with self._lock:
            contents, entry = self._contents, self._find(key)
            now = self._now()
            if entry is None or contents.wheel.has_ended(entry.expires, entry.used, now):
                raise KeyError(key)
            ends = contents.wheel.ends(entry)
        return None if ends == _NEVER else ends - now

    def keys(self) -> list[K]:
        """The keys now, the small queue's first, the oldest first."""
        return [key for key, _ in Table.items(self)]  # A subclass may give a view.

    def values(self) -> list[V]:
        """The values now, in the order of the keys."""
        return [value for _, value in Table.items(self)]

    def items(self) -> list[tuple[K, V]]:
        """Keys and values now, in the order of the keys. Reading them changes nothing."""
        with self._lock:
            live = self._contents.live(self._now())
            return [(one.key, one.value) for one in live]

    def _get_under_lock(self, key: K, default: Any) -> Any:
        gone: list[Gone[K, V]] = []
        with self._lock:
            contents, entry = self._contents, self._find(key)
            if entry is not None:
                now = self._now()
                if not contents.wheel.has_ended(entry.expires, entry.used, now):
                    if contents.wheel.idle_ticks is not None:
                        entry.used = contents.wheel.tick_of(now)
                    value = entry.value
                    contents.touch(entry)
                    self.hits += 1
                    return value
                self._let_go(contents, entry, "expired", gone, now)
            self._misses += 1
        if gone and self._listens:
            self._told(gone)
        return default
