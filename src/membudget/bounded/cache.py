"""The cache: values by key with their bytes counted, a bound, and times of expiry."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from membudget.bounded.governed import Governed
from membudget.bounded.stats import stats_of
from membudget.bounded.table import (
    IS_COMPILED,
    K,
    V,
    bytes_bound,
    checked_policy,
    container_name,
    entries_bound,
)
from membudget.core import PartSample
from membudget.errors import ConfigError
from membudget.registry import REGISTRY
from membudget.units import as_bytes, as_seconds, human_bytes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from os import PathLike

    from membudget.bounded.spilling.spill import Spill
    from membudget.bounded.stats import CacheStats, Shrunk
    from membudget.bounded.table import Cause
    from membudget.core import Clock
    from membudget.registry import Registry

D = TypeVar("D")

_KEEP: Any = object()


class Cache(Governed[K, V]):
    """A mapping that keeps a bound in bytes, in entries, or that of the running budget.

    Any thread may call any method. An entry weighs what its key and its value hold and its own
    cost. Expired entries are never returned; they count in `len` and in the bytes until they are
    freed, by the budget's sweeper within about a second, by touch, or by the next sets. No live
    entry is evicted while an expired one is known to be held: times are told apart by 1/64 s, and
    at most a thousand are moved up at once.

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
        idle: Seconds, or text such as "5m", without a hit after which an entry expires as well.
        policy: What goes first: "gdsf", what is worth least for its bytes; "s3fifo", what was asked
            for least; "lru", what was unused for longest. None is "gdsf". Without the compiled
            core it is always "lru", as `stats().policy` tells.
        size: What a value holds, in bytes; None weighs it with `size_of`.
        on_evict: Called with key, value and cause: "bytes", "entries", "share", "pressure" or
            "expired".
        registry: Where it registers and finds the budget; None is the process's own.
        clock: Where time comes from; None is the monotonic clock.
        spill: A folder, or a `Spill`, that takes evicted values and gives them back on a hit: then
            it is a `SpilledCache`.

    Raises:
        ConfigError: An argument that cannot be used as given.
        MissingExtraError: With `spill`: diskcache is not installed.
    """

    __slots__ = ("__weakref__", "_flights", "policy", "ttl")

    def __new__(cls, *_: object, spill: object = None, **__: object) -> Any:
        """A cache of this class, or with `spill` a `SpilledCache`."""
        if spill is not None:
            from membudget.bounded.spilling.spilled import SpilledCache  # only for those who spill

            if not issubclass(cls, SpilledCache):
                if cls is not Cache:
                    raise ConfigError(f"{cls.__name__} takes no spill: derive it from SpilledCache")
                return super().__new__(SpilledCache)
        return super().__new__(cls)

    def __init__(
        self,
        name: str,
        *,
        max_bytes: int | str | None = None,
        max_entries: int | None = None,
        ttl: float | str | None = None,
        idle: float | str | None = None,
        policy: str | None = None,
        size: Callable[[V], int] | None = None,
        on_evict: Callable[[K, V, Cause], object] | None = None,
        registry: Registry | None = None,
        clock: Clock | None = None,
        spill: Spill | str | PathLike[str] | None = None,
    ) -> None:
        del spill  # Where it is given, this is a SpilledCache, which has taken it.
        name, policy = container_name(name), checked_policy(policy)
        self.ttl = None if ttl is None else as_seconds(ttl, name="ttl")
        registry = REGISTRY if registry is None else registry
        super().__init__(
            max_bytes=bytes_bound(max_bytes),
            max_entries=entries_bound(max_entries),
            ttl=self.ttl,
            idle=None if idle is None else as_seconds(idle, name="idle"),
            policy=policy,
            size=size,
            listens=on_evict is not None,
            registry=registry,
            now=None if clock is None else clock.now,
        )
        self.name = name
        self.policy = policy
        self._register = registry
        self._time = time.monotonic if clock is None else clock.now
        self._on_evict = on_evict
        self._flights: dict[Any, Any] | None = None
        registry.add(self)

    def __repr__(self) -> str:
        held = human_bytes(self.held_bytes())
        return f"{type(self).__name__}({self.name!r}, {len(self)} entries, {held})"

    @overload
    def pop(self, key: K) -> V: ...
    @overload
    def pop(self, key: K, default: D) -> V | D: ...
    def pop(self, key: K, default: Any = _KEEP) -> Any:
        """Take a value out and return it, else the default; a load under way is not kept.

        Raises:
            KeyError: There is none, or it has expired, and no default is given.
        """
        if self._flights:
            self._abandon(key)
        return super().pop(key) if default is _KEEP else super().pop(key, default)

    def delete(self, key: K) -> bool:
        """Forget a key; returns whether a value stood there. A load under way is not kept."""
        if self._flights:
            self._abandon(key)
        return super().delete(key)

    def __delitem__(self, key: K) -> None:
        if self._flights:
            self._abandon(key)
        super().__delitem__(key)

    def clear(self) -> None:
        """Forget all entries at once; this is no eviction. Loads under way are not kept."""
        if self._flights:
            self._abandon()
        super().clear()

    def _abandon(self, *keys: K) -> None:
        """Let loads of a key, or of all, end without being kept."""
        from membudget.bounded.loading.flights import abandon  # there are some: it was imported

        abandon(self, *keys)

    def get_or_load(self, key: K, loader: Callable[[K], V], *, ttl: float | str | None = None) -> V:
        """The value under a key; where there is none, what `loader` returns, which is then kept.

        It is not kept where the key was set or forgotten meanwhile: it may be out of date.

        Args:
            key: Any hashable object.
            loader: Called with the key, by one thread at a time for one key.
            ttl: As in `set`.

        Raises:
            Exception: What the loader raised.
        """
        try:
            from membudget.bounded.loading.load import load  # only for those who load
        except ImportError:
            if "membudget.bounded.loading.load" not in sys.modules:
                raise
            # A finalizer, in the middle of this very import: it waits for nobody.
            value: Any = self.get(key, _KEEP)
            if value is _KEEP:
                self.set(key, value := loader(key), ttl=ttl)
            return cast("V", value)
        return load(self, key, loader, ttl=ttl)

    async def get_or_load_async(
        self, key: K, loader: Callable[[K], Awaitable[V]], *, ttl: float | str | None = None
    ) -> V:
        """The value under a key; where there is none, what awaiting the loader gives, then kept.

        Args:
            key: Any hashable object.
            loader: Called with the key, by one task at a time for one key.
            ttl: As in `set`.

        Raises:
            Exception: What the loader raised.
        """
        from membudget.bounded.loading.load import load_async  # only for those who load

        return await load_async(self, key, loader, ttl=ttl)

    def resize(
        self, *, max_bytes: int | str | None = _KEEP, max_entries: int | None = _KEEP
    ) -> None:
        """Change a bound, or lift it with None; what is beyond it is evicted at once.

        Raises:
            ConfigError: A bound that is none.
            Exception: What `on_evict` raised first, after all of them were let go.
        """
        self._set_bounds(
            self.max_bytes if max_bytes is _KEEP else bytes_bound(max_bytes),
            self.max_entries if max_entries is _KEEP else entries_bound(max_entries),
        )
        self._repeat(lambda _: self._enforce())

    def shrink(self, size: int | str, *, give_back: bool = False) -> Shrunk:
        """Let go of so many bytes now, expired entries first, and tell what came of it.

        Args:
            size: Bytes, or text such as "20MiB".
            give_back: Whether the memory is to leave the process: then what lies together in
                memory is let go together, where the table knows that, at the price of some entries
                that were worth more.

        Raises:
            ConfigError: A size that is none.
            Exception: What `on_evict` raised first, after all of them were let go.
        """
        from membudget.bounded.give_back import shrink  # only for those who shrink by hand

        return shrink(self, as_bytes(size), give_back=give_back)

    def stats(self) -> CacheStats:
        """The figures; reading them changes nothing."""
        return stats_of(
            self._counts(),
            self._time(),
            name=self.name,
            max_bytes=self.max_bytes,
            max_entries=self.max_entries,
            policy=self.policy,
            is_compiled=IS_COMPILED,
        )

    def as_part(self) -> PartSample:
        """How it stands, for a sample; its share of the budget is a bound. No lock."""
        bounds = [one for one in (self.max_bytes, self.share) if one is not None]
        return PartSample(
            name=self.name,
            kind=type(self).__name__,
            items=len(self),
            bytes=self.held_bytes(),
            most_items=self.max_entries,
            most_bytes=min(bounds, default=None),
            ttl=self.ttl,
        )
