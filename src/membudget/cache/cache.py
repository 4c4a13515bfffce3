"""The cache: values by key with their bytes counted, a bound, and times of expiry."""

from __future__ import annotations

import sys
import time
from types import MappingProxyType

from membudget.cache.table import (
    IS_COMPILED,
    CacheStats,
    K,
    V,
    bytes_bound,
    check_functions,
    checked_policy,
    container_name,
    entries_bound,
)
from membudget.core import PartSample, Rung
from membudget.errors import ConfigError, hinted, missing
from membudget.registry import REGISTRY
from membudget.units import as_bytes, as_seconds, human_bytes, one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from os import PathLike
    from typing import Any, TypeVar, overload

    from membudget._native._core import Table
    from membudget.cache.spilling.spill import Spill
    from membudget.cache.table import Cause, Gone, Shrunk, Step
    from membudget.core import Clock
    from membudget.registry import Registry
    from membudget.units import Duration

    D = TypeVar("D")
elif IS_COMPILED:
    from membudget._native._core import Table
else:
    from membudget.cache.fallback import Table

_MOST_NAMED = 20  # Names of caches that an error tells.
PIECE = 256  # Values looked at in one go: some microseconds.
_WEIGHED_AT_A_TIME = 16  # Entries that one step of weighing again looks at.
_KEEP: Any = object()


class GovernedTable(Table[K, V]):
    """A table as a holder, a reclaimer and something to sweep. Any thread may call any method.

    What lets go of entries stops at a monotonic time, overrun by less than 1 ms or by one large
    value, and returns the bytes let go; what `on_evict` raised first is raised after all of them
    were. A subclass sets the attributes.
    """

    __slots__ = ("_on_evict", "_register", "_time", "name")

    rung = Rung.MODERATE

    name: str  # What it is called in reports, events and settings.
    _on_evict: Callable[[K, V, Cause], object] | None
    _register: Registry
    _time: Callable[[], float]

    def reclaim(self, target: int, until: float) -> int:
        """Let go of at least `target` bytes, expired entries first, then in the cache's order."""
        return self._press(target, until)

    def sweep(self, until: float) -> int:
        """Let go of entries that have expired, until there are none or time is up."""
        return self._repeat(lambda _: self._sweep(), until, is_sweep=True)

    def enforce(self, until: float) -> int:
        """Evict what is beyond the bounds and the share, until time is up."""
        return self._repeat(lambda _: self._enforce(), until)

    def reweigh(self, until: float) -> int:
        """Weigh entries again whose values may have changed, and evict what is beyond the bounds.

        Returns the bytes by which entries were found lighter or heavier, added up.
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
        """Let go step by step, given the bytes let go so far; returns how many those are."""
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
        """Tell of entries let go and drop them; raises the first error, after all were told."""
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

    def _refuses(self, weight: int) -> bool:
        """Whether a heavy entry could not be held by itself: a budget has no room for it."""
        meter = self._register.meter
        return meter is not None and not meter.fits(weight, self.held_bytes())

    def _claim(self, weight: int) -> None:
        """Count bytes taken in where a budget runs, and let go of what it asks for."""
        meter = self._register.meter
        wanted = meter.claim(weight) if meter is not None else 0
        if wanted > 0:
            self._press(wanted)


class Cache(GovernedTable[K, V]):
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
        replace: Whether it takes the place of an earlier one of its name, which lets all go and is
            governed no more; else the later one gets a number ("prices-2"), with a warning.
        spill: A folder, or a `Spill`, that takes evicted values and gives them back on a hit: then
            it is a `SpilledCache`, as type checkers know where that is made by its own name.

    Raises:
        ConfigError: An argument that cannot be used as given.
        MissingExtraError: With `spill`: diskcache is not installed.
    """

    __slots__ = ("__weakref__", "_flights", "policy", "ttl")

    if not TYPE_CHECKING:  # They would take its result for no cache of these keys and values.

        def __new__(cls, *_: object, spill: object = None, **__: object) -> Any:
            """A cache of this class, or with `spill` a `SpilledCache`."""
            if spill is not None:
                from membudget.cache.spilling.spilled import SpilledCache  # only who spill

                if not issubclass(cls, SpilledCache):
                    if cls is not Cache:
                        told = f"{cls.__name__} takes no spill: derive it from SpilledCache"
                        raise ConfigError(told)
                    return super().__new__(SpilledCache)
            return super().__new__(cls)

    if not TYPE_CHECKING:  # They would take it that there is every attribute.
        __getattr__ = missing

    @hinted
    def __init__(
        self,
        name: str,
        *,
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
        spill: Spill | str | PathLike[str] | None = None,
    ) -> None:
        del spill  # Where it is given, this is a SpilledCache, which has taken it.
        name, policy = container_name(name), checked_policy(policy)
        self.ttl: float | None = None if ttl is None else as_seconds(ttl, name="ttl")
        check_functions(size, on_evict)
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
        self.policy: str = policy
        self._register = registry
        self._time = time.monotonic if clock is None else clock.now
        self._on_evict = on_evict
        self._flights: dict[Any, Any] = {}  # Loads under way, by key; see `loading`.
        registry.enter(self, replace=replace)

    def __repr__(self) -> str:
        held = human_bytes(self.held_bytes())
        return f"{type(self).__name__}({self.name!r}, {len(self)} entries, {held})"

    if TYPE_CHECKING:

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
        if not self.delete(key):
            raise KeyError(key)

    def clear(self) -> None:
        """Forget all entries at once; this is no eviction. Loads under way are not kept."""
        if self._flights:
            self._abandon()
        super().clear()

    def _abandon(self, *keys: K) -> None:
        """Let loads of a key, or of all, end without being kept; who asks now, loads anew."""
        for key in keys or list(self._flights):
            flight = self._flights.pop(key, None)
            if flight is not None:
                flight.is_void = True

    def get_or_load(self, key: K, loader: Callable[[K], V], *, ttl: Duration | None = None) -> V:
        """The value under a key; where there is none, what `loader` returns, which is then kept.

        It is not kept where the key was set or forgotten meanwhile: it may be out of date. Of
        threads and tasks that ask for a key at once, one calls the loader, with the key and no
        lock held; the others wait for its very value or exception. One that waits for a thread
        asking for its own key waits for ever.

        Raises:
            ConfigError: A `ttl` that is none, or a loader that gave a coroutine or a generator.
            Exception: What the loader raised, for all who waited for it.
        """
        value: V = self.get(key, _KEEP)
        if value is not _KEEP:
            return value
        try:
            from membudget.cache.loading.load import Loading, fly  # only for those who load
        except ImportError:
            if "membudget.cache.loading.load" not in sys.modules:
                raise
            # A finalizer, in the middle of this very import: it waits for nobody.
            self.set(key, value := loader(key), ttl=ttl)
            return value
        loaded: V = fly(Loading(loader, self, ttl), key, (key,), {})
        return loaded

    async def get_or_load_async(
        self, key: K, loader: Callable[[K], Awaitable[V]], *, ttl: Duration | None = None
    ) -> V:
        """As `get_or_load`, for a coroutine function: tasks wait by futures of their own loop.

        Cancelling the task that loads hands that to another that waits; cancelling one that waits
        disturbs nobody. Outside asyncio (trio) each task loads for itself.
        """
        value: V = self.get(key, _KEEP)
        if value is _KEEP:
            from membudget.cache.loading.load import Loading, fly_async  # only for those who load

            value = await fly_async(Loading(loader, self, ttl), key, (key,), {})
        return value

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
            size: Bytes, or text such as "20MiB"; else a ConfigError.
            give_back: Whether the memory is to leave the process: then what lies together in
                memory is let go together, where the table knows that, at the price of some entries
                that were worth more.

        What `on_evict` raised first is raised after all of them were let go.
        """
        from membudget.cache.upkeep import shrink  # only for those who shrink by hand

        return shrink(self, as_bytes(size), give_back=give_back)

    def evict_together(self, most: int, until: float) -> int:
        """Let go of so many bytes of entries chosen as lying together; 0 where none is left."""
        return self._repeat(
            lambda freed: self._evict_arenas(most - freed) if freed < most else (0, None),
            until,
            folds=False,  # It would forget what was chosen.
        )

    def hits_per_byte(self) -> float:
        """Recent hits ÷ bytes: how much use a byte here is."""
        return (self.hits - self.forgotten_hits) / max(1, self.held_bytes())

    def stats(self) -> CacheStats:
        """The figures; reading them changes nothing."""
        counts = self._counts()
        hits, lookups = counts["hits"], counts["hits"] + counts["misses"]
        recent = hits - counts.pop("forgotten_hits")
        oldest, evictions = counts.pop("oldest_born"), counts.pop("evictions")
        return CacheStats(
            name=self.name,
            max_bytes=self.max_bytes,
            max_entries=self.max_entries,
            hit_rate=hits / lookups if lookups else 0.0,
            evictions=MappingProxyType(evictions),
            oldest_age=None if oldest is None else self._time() - oldest,
            hits_per_byte=recent / max(1, counts["bytes"]),
            policy=self.policy,
            is_compiled=IS_COMPILED,
            **counts,
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


def get_cache(name: str, registry: Registry | None = None) -> Cache[Any, Any]:
    """The cache of this name, for a module that did not make it; a ConfigError where none has it.

    What `@cached` keeps is found as well, by its name in reports. Cost: 0.2 µs a cache.
    """
    holders = (REGISTRY if registry is None else registry).holders()
    caches = {one.name: one for one in holders if isinstance(one, Cache)}
    if name in caches:
        return caches[name]
    there = ", ".join(sorted(caches)[:_MOST_NAMED])
    advice = f"use one of {there}" if caches else "there is none yet: make one with Cache(name)"
    raise ConfigError(f"no cache is called {one_line(name)!r}: {advice}")


def pieces_of(table: Table[K, V]) -> Iterator[list[V]]:
    """Lists of values for a thread that only looks: no hit, no order, no lock; 20 ns an entry.

    Each is of its own moment. Expired ones are seen: they hold memory as well.
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
