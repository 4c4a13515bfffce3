"""One cache of the program's own, named by its owner or found together with its lock.

`adopt` takes one in by hand. Its keys and whoever uses them stay as they are: nothing is wrapped or
copied, entries only go. It is no holder, whose bytes inserting threads are made to give up: nobody
inserts here through us.

What can be done with a cache of the program's own.
"""

from __future__ import annotations

import sys
import time
import weakref
from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING, Any

from membudget.core import Rung
from membudget.errors import ConfigError
from membudget.reclaimers.adopted.connection import LOCK_PATIENCE, release_of
from membudget.reclaimers.adopted.wrappers import WRAPPER, Kept, entries_of
from membudget.reclaimers.allocators import Trim
from membudget.registry import REGISTRY
from membudget.sizing import size_of
from membudget.sizing.estimate import Weighing
from membudget.units import as_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.registry import Registry


def plain_dict(cache: Any) -> dict[Any, Any] | None:
    """The dict to take the oldest entries from, where there is one."""
    if isinstance(cache, dict):
        return None if isinstance(cache, OrderedDict) else cache
    is_unbounded = type(cache) is WRAPPER and cache.cache_info().maxsize is None
    return entries_of(cache) if is_unbounded else None


def take_oldest(cache: Any, count: int) -> list[Any]:
    """Take out about so many of its oldest, or least wanted, entries; they live on in the list.

    Raises:
        Exception: What the cache raised.
    """
    plain = plain_dict(cache)
    if plain is not None:
        return [(key, plain.pop(key, None)) for key in list(islice(plain, count))]
    oldest = {"last": False} if isinstance(cache, OrderedDict) else {}
    gone: list[Any] = []
    while len(gone) < count and len(cache):
        try:
            gone.append(cache.popitem(**oldest))
        except KeyError:  # Another thread took the last one.
            break
    return gone


def is_lock(lock: Any) -> bool:
    """Whether it is one for threads: an asyncio lock cannot be had from another thread."""
    has_both = hasattr(lock, "acquire") and hasattr(lock, "release")
    return has_both and not type(lock).__module__.startswith("asyncio")


def checked_bounds(
    cache: Any, name: str, max_items: object, max_bytes: int | str | None
) -> tuple[int | None, int | None]:
    """Bounds in entries and in bytes.

    Raises:
        ConfigError: One that is none, or a cache that cannot be kept to any.
    """
    if not hasattr(cache, "popitem") and plain_dict(cache) is None:
        raise ConfigError(
            f"{name} can only be cleared as a whole, so it cannot be kept to a bound: give "
            "functools.lru_cache its own maxsize, or adopt it without one"
        )
    if max_items is not None and (
        isinstance(max_items, bool) or not isinstance(max_items, int) or max_items < 1
    ):
        raise ConfigError(
            f"max_items {max_items!r:.80} of {name} is not a count: give a whole number >= 1"
        )
    return max_items, None if max_bytes is None else as_bytes(max_bytes, name="max_bytes")


LOOK_EVERY = 1.0
"""Seconds between two looks at a cache that is kept to a bound."""

BATCH = 1024
"""Entries taken out under the lock at a stretch, 0.1 to 0.5 ms; of a long dict more, since what was
at its front is skipped anew each time."""

_LONGEST_BATCH = 4096

_NODES = 200
_WEIGH_EACH = 16


class AdoptedCache:
    """A foreign cache as a reclaimer at AGGRESSIVE: its oldest, or least wanted, entries go.

    A dict loses its oldest entries; a mapping with `popitem` (cachetools) what that gives; a
    function with `cache_clear` is cleared.

    Args:
        name: What it is called in events.
        find: Returns the cache, or None while there is none.
        lock: Held while entries go; without one the owner has said that none is needed.
        now: Monotonic seconds.
    """

    rung = Rung.AGGRESSIVE

    def __init__(
        self,
        name: str,
        find: Callable[[], Any],
        lock: Any = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.lock = lock
        self.dropped = 0
        self._find = find
        self._now = now
        self._weight: int | None = None

    @property
    def held(self) -> int | None:
        """Bytes it holds, about; None before an entry was weighed."""
        entries = self.entries
        return None if entries is None or self._weight is None else entries * self._weight

    @property
    def entries(self) -> int | None:
        """How many there are, or None where the cache is not there or does not say."""
        return length_of(self._find())

    def reclaimable(self) -> int | None:
        """Entries times the weight of an average one; None before one was weighed."""
        entries = self.entries
        if not entries:
            return 0 if self._find() is None or entries == 0 else None
        return entries * self._weight if self._weight is not None else None

    def reclaim(self, target: int, until: float) -> int:
        """Let entries go under the cache's own lock; 0 where that is not to be had in time.

        Raises:
            Exception: What the cache raised.
        """
        cache = self._find()
        if cache is None or not self._acquire():
            return 0
        try:
            return self._shrink(cache, target, until)
        finally:
            if self.lock is not None:
                self.lock.release()

    def _acquire(self) -> bool:
        return self.lock is None or bool(self.lock.acquire(timeout=LOCK_PATIENCE))

    def _shrink(self, cache: Any, target: int, until: float) -> int:
        before = length_of(cache) or 0
        plain = plain_dict(cache)
        if plain is not None:
            kept = Kept(lambda: plain)
            freed = kept.drop(target, until, self._now)
            self._weight = kept.weight
        elif hasattr(cache, "popitem"):
            freed = self._pop(cache, target, until)
        else:
            freed = before * (self._weight or 0)
            cache.cache_clear()
        self.dropped += max(0, before - (length_of(cache) or 0))
        return freed

    def _pop(self, cache: Any, target: int, until: float) -> int:
        oldest = {"last": False} if isinstance(cache, OrderedDict) else {}
        freed = number = 0
        while freed < target and self._now() < until and len(cache):
            key, value = cache.popitem(**oldest)
            if number % _WEIGH_EACH == 0:
                self._weight = size_of(key, nodes=_NODES) + size_of(value, nodes=_NODES)
            number += 1
            freed += self._weight or 0
        return freed


class BoundedAdoption(AdoptedCache):
    """An adopted cache that is kept to a bound: its oldest entries go as soon as it is over.

    Args:
        name: What it is called in events.
        find: Returns the cache, or None where it is gone.
        lock: Held while entries go, a batch of them at a time.
        max_items: The bound in entries, or None.
        max_bytes: The bound in bytes, or None; held against an estimate.
        now: Monotonic seconds.
    """

    comes_early = True

    def __init__(
        self,
        name: str,
        find: Callable[[], Any],
        lock: Any = None,
        *,
        max_items: int | None,
        max_bytes: int | None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name, find, lock, now)
        self.max_items = max_items
        self.max_bytes = max_bytes
        self._weighing = Weighing()
        self._looked_at = float("-inf")
        self._is_behind = False

    @property
    def held(self) -> int | None:
        """Bytes it holds, about; None before it was weighed."""
        return self._weighing.bytes_of(self.entries or 0)

    def due(self, now: float) -> bool:
        """Whether a second has passed, or the last look ended before it was done."""
        return self._is_behind or now - self._looked_at >= LOOK_EVERY

    def run(self, until: float) -> int:
        """Let the oldest entries go until it is within its bound; returns the bytes they held.

        Raises:
            Exception: What the cache raised.
        """
        self._looked_at = self._now()
        self._is_behind, freed = False, 0
        while (cache := self._content()) is not None:
            length = length_of(cache) or 0
            self._weighing.follow(cache, length, self._looked_at)
            over = self._weighing.over(length, self.max_items, self.max_bytes)
            if not over:
                break
            gone = self._take(cache, min(over, _LONGEST_BATCH, max(BATCH, length >> 8)))
            if not gone:
                break  # Its lock is in use; there is another look in a second.
            self.dropped += len(gone)
            freed += self._weighing.bytes_of(len(gone)) or 0
            gone.clear()  # Finalizers may do anything, so they run outside the lock.
            if over > len(gone) and self._now() >= until:
                self._is_behind = True
                break
        return freed

    def _content(self) -> Any:
        cache = self._find()
        return cache if hasattr(cache, "popitem") else plain_dict(cache)

    def _take(self, cache: Any, count: int) -> list[Any]:
        if not self._acquire():
            return []
        try:
            return take_oldest(cache, count)
        finally:
            if self.lock is not None:
                self.lock.release()


def adopt(
    cache: Any,
    name: str | None = None,
    *,
    lock: Any = None,
    max_items: int | None = None,
    max_bytes: int | str | None = None,
    registry: Registry | None = None,
) -> Callable[[], None]:
    """Let a budget manage a cache of the program's own; returns what ends that.

    Under memory pressure (the AGGRESSIVE rung) its oldest entries go. With a bound it is kept to
    that at all times, looked at once a second while a budget runs. The program goes on using the
    cache itself, by the same keys; an entry that went is missing, as after any eviction.

    Args:
        cache: A dict (its oldest entries go, which are those longest in it), a mapping with
            `popitem` such as cachetools', or a function with `cache_clear`. Or a connection of
            DuckDB's or SQLite's (this with a lock), which is asked at GENTLE to give back what it
            holds free, and takes no bound.
        name: What it is called in events; by default its type's name.
        lock: What the program holds while it uses the cache; None says that none is needed, as
            for a dict whose users bear that an entry is gone.
        max_items: The bound in entries; not for a function, unless `functools.cache` made it.
        max_bytes: The bound in bytes, or text such as "20MiB", of keys and values; held against an
            estimate from a sample.
        registry: Whose budget may ask; by default that of the process.

    Raises:
        ConfigError: Something else than a cache, a lock that cannot be acquired with a timeout, or
            a bound that is none or cannot be kept.
    """
    called = name or type(cache).__name__
    if lock is not None and not is_lock(lock):
        raise ConfigError(
            f"lock {lock!r} of {called} cannot be acquired: give a threading.Lock or RLock"
        )
    holders = registry if registry is not None else REGISTRY

    def end(_: object = None) -> None:
        holders.remove(adopted)

    def own() -> int:
        meter = holders.meter
        return meter.estimate() if meter is not None else 0

    find, is_bounded = _weakly(cache, end), max_items is not None or max_bytes is not None
    release = release_of(cache, called, lock)
    adopted: AdoptedCache | Trim
    if release is not None and not is_bounded:
        adopted = Trim(called, lambda: release(find()), own)
    elif not _is_cache(cache):
        raise ConfigError(
            f"{called} is a {type(cache).__name__}, which cannot be "
            f"{'kept to a bound' if release is not None else 'shrunk as a cache'}: adopt a dict, "
            "a mapping with popitem(), or a function with cache_clear()"
        )
    elif is_bounded:
        bounds = checked_bounds(cache, called, max_items, max_bytes)
        adopted = BoundedAdoption(called, find, lock, max_items=bounds[0], max_bytes=bounds[1])
    else:
        adopted = AdoptedCache(called, find, lock)
    holders.add(adopted, keep=True)
    return end


def _is_cache(cache: Any) -> bool:
    return isinstance(cache, dict) or hasattr(cache, "popitem") or hasattr(cache, "cache_clear")


def _weakly(cache: Any, at_its_end: Callable[[object], None]) -> Callable[[], Any]:
    try:
        return weakref.ref(cache, at_its_end)
    except TypeError:  # A plain dict: whoever adopts it keeps it.
        return lambda: cache


def length_of(cache: Any) -> int | None:
    """How many entries a cache has, without changing it; None where it does not say."""
    library = sys.modules.get("cachetools")
    count: int | None = None
    if library is not None and isinstance(cache, library.Cache):
        # A TTLCache's own length expires entries first, and we may be without its lock.
        count = library.Cache.__len__(cache)
    elif hasattr(cache, "cache_info"):
        count = cache.cache_info().currsize
    elif hasattr(cache, "__len__"):
        count = len(cache)
    return count
