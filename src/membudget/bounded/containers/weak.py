"""A cache whose values live for as long as somebody holds them, or it holds them itself.

When a value dies, the callback of its weak reference may come in the middle of anything, so it
takes no lock: it only puts the reference into a queue, in C. The entries of dead values are swept
by the next operations, or by the governor, whose chore this is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from membudget.bounded.containers.bounds import KEEP, part_of
from membudget.bounded.containers.chain import Chain
from membudget.bounded.containers.strong import Kept, WeakCacheStats, strong_bound
from membudget.bounded.containers.weak_store import MISSING, SWEPT_AT_A_TIME, WeakStore
from membudget.bounded.table import bytes_bound
from membudget.sizing import size_of
from membudget.units import human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from membudget.core import Clock, PartSample
    from membudget.registry import Registry

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")

ENTRY_BYTES = 256
"""Bytes of an entry beside its key and value: the weak reference, its weight and its place in the
index. Measured with tracemalloc, 1,000 to 12,000 entries: 250 to 259."""

_INFINITE = float("inf")


class WeakCache(WeakStore, Generic[K, V]):
    """Values by key, each found for as long as somebody holds it.

    With `strong` or `max_bytes` the cache itself keeps the values used last alive, so many and so
    many bytes of them; then it also takes values to which there are no weak references, such as a
    str or a list: these are found for as long as they are among those. A value is handed out by
    every thread as the same object. Any thread may call any method.

    Cost: 0.7 µs for `get`, 1.5 µs for `set`, and with a strong part what weighing the value takes.

    Args:
        name: What it is called in reports, events and settings.
        strong: How many values it keeps alive; 0 is none, and with `max_bytes` any number.
        max_bytes: How many bytes of values it keeps alive, or text such as "50MiB".
        size: What a value holds, in bytes; None weighs it with `size_of`.
        registry: Where it registers and finds the budget; None is the process's own.
        clock: Where time comes from; None is the monotonic clock.

    Raises:
        ConfigError: An argument that cannot be used as given.
    """

    def __init__(
        self,
        name: str,
        *,
        strong: int = 0,
        max_bytes: int | str | None = None,
        size: Callable[[V], int] | None = None,
        registry: Registry | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(
            name, strong=strong, max_bytes=max_bytes, size=size, registry=registry, clock=clock
        )
        self._registry.add(self)

    def __len__(self) -> int:
        with self._lock:
            self._sweep()
            return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return self.peek(key, MISSING) is not MISSING  # type: ignore[arg-type]  # any object

    def __iter__(self) -> Iterator[K]:
        return iter([key for key, _ in self.items()])

    def __repr__(self) -> str:
        held = human_bytes(self.held_bytes())
        return f"{type(self).__name__}({self.name!r}, {len(self)} entries, {held})"

    def __getitem__(self, key: K) -> V:
        value: V = self.get(key, MISSING)
        if value is MISSING:
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
        """The value under a key while it lives, else the default."""
        with self._lock:
            if self._dead:
                self._sweep(SWEPT_AT_A_TIME)
            entry = self._entries.get(key)
            value = MISSING if entry is None else self._value(entry)
            if entry is None or value is MISSING:
                self._misses += 1
                return default
            self._hits += 1
            gone = self._hold(entry, value)
        del gone  # A finalizer may do anything, so it goes outside the lock.
        return value

    @overload
    def peek(self, key: K, default: None = None) -> V | None: ...
    @overload
    def peek(self, key: K, default: D) -> V | D: ...
    def peek(self, key: K, default: Any = None) -> Any:
        """The value under a key while it lives, else the default; changes nothing."""
        with self._lock:
            entry = self._entries.get(key)
            value = MISSING if entry is None else self._value(entry)
        return default if value is MISSING else value

    def set(self, key: K, value: V) -> None:
        """Let a value be found under a key for as long as it lives.

        Raises:
            ConfigError: There are no weak references to it, and the cache keeps none alive.
            Exception: What the size function raised; then nothing was changed.
        """
        weight = self._weigh(value)
        entry = self._refer(value)
        entry.key, entry.weight, entry.index = key, weight, ENTRY_BYTES + size_of(key)
        gone: list[Any] = []
        with self._lock:
            try:
                self._sweep(SWEPT_AT_A_TIME)
                gone.append(self._forget(key))
                self._entries.put(key, entry)
                self._index_bytes += entry.index
                self._sets += 1
                gone.append(self._hold(entry, value))
                is_held = self._strong.chain.get(key) is not None
                if not is_held and type(entry) is Kept:  # Heavier than the strong part may be.
                    gone.append(self._forget(key))
            except BaseException:
                self._mend()
                raise
        del gone
        taken_in = entry.index + (weight or 0 if is_held else 0)
        meter = self._registry.meter
        wanted = meter.claim(taken_in) if meter is not None else 0
        if wanted > 0:
            self.reclaim(wanted, _INFINITE)

    @overload
    def pop(self, key: K) -> V: ...
    @overload
    def pop(self, key: K, default: D) -> V | D: ...
    def pop(self, key: K, default: Any = MISSING) -> Any:
        """Forget a key and return its value, else the default.

        Raises:
            KeyError: There is none, and no default is given.
        """
        with self._lock:
            entry = self._entries.get(key)
            value = MISSING if entry is None else self._value(entry)
            taken = self._forget(key)
        del taken
        if value is not MISSING:
            return value
        if default is MISSING:
            raise KeyError(key)
        return default

    def items(self) -> list[tuple[K, V]]:
        """Keys and living values now."""
        with self._lock:
            self._sweep()
            found = [(entry.key, self._value(entry)) for entry in self._entries.values()]
        return [(key, value) for key, value in found if value is not MISSING]

    def clear(self) -> None:
        """Forget everything."""
        chain: Chain[Any, Any] = Chain()
        with self._lock:
            old = self._entries.clear()
            held, self._strong.chain = self._strong.chain, chain
            self._index_bytes = 0
        held.free()
        old.clear()

    def resize(self, *, strong: int = KEEP, max_bytes: int | str | None = KEEP) -> None:
        """Change how much it keeps alive; what is beyond that it lets go at once.

        Values taken in while it kept none alive stay weak until they are set again.

        Raises:
            ConfigError: A bound that is none.
        """
        count = self._strong.most if strong is KEEP else strong_bound(strong)
        size = self._strong.most_bytes if max_bytes is KEEP else bytes_bound(max_bytes)
        with self._lock:
            self._strong.most, self._strong.most_bytes = count, size
            gone = self._released(self._strong.release_excess())
        del gone

    def as_part(self) -> PartSample:
        """How it stands, for a sample: its items are those that it keeps alive. No lock."""
        strong = self._strong
        return part_of(self, strong.chain.count, strong.bound(), strong.most_bytes)

    def stats(self) -> WeakCacheStats:
        """The figures; entries of values that have died are swept first."""
        with self._lock:
            self._sweep()
            return WeakCacheStats(
                name=self.name,
                entries=len(self._entries),
                strong=self._strong.chain.count,
                strong_bytes=self._strong.chain.bytes,
                index_bytes=self._index_bytes,
                max_strong=self._strong.bound(),
                max_bytes=self._strong.most_bytes,
                hits=self._hits,
                misses=self._misses,
                sets=self._sets,
                died=self._died,
                released=self._strong.released,
            )
