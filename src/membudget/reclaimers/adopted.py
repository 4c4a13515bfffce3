"""One cache of the program's own, named by its owner or found together with its lock.

Nothing is wrapped or copied, entries only go. It is no holder, whose bytes inserting threads are
made to give up: nobody inserts here through us. A connection is asked for what it holds free:
DuckDB by setting its limit to what it is (490 of 680 MiB in 21 ms), SQLite by a pragma.
"""

from __future__ import annotations

import sys
import time
import weakref
from operator import methodcaller

from membudget.core import Rung
from membudget.errors import ConfigError
from membudget.reclaimers.allocators import Trim
from membudget.reclaimers.wrappers import ENTRY, entries_of
from membudget.registry import REGISTRY
from membudget.sizing import size_of
from membudget.sizing.foreign import (
    Weighing,
    check_count,
    check_lock,
    length_of,
    most_at_once,
    take_oldest,
    under,
)
from membudget.units import as_bytes, one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from membudget.registry import Registry

LOOK_EVERY = 1.0  # Seconds between two looks at a cache that is kept to a bound.

_SAMPLES, _NODES = 4, 200  # Entries weighed of a batch, and objects looked at in each part of one.


class AdoptedCache:
    """A foreign cache as a reclaimer at AGGRESSIVE: its oldest, or least wanted, entries go.

    `find` returns it, or None; its owner's lock is held for a batch at a time. A function with
    `cache_clear` is cleared. With bounds it is also a chore: its oldest go as soon as it is over.
    """

    rung = Rung.AGGRESSIVE
    comes_early = True

    def __init__(
        self,
        name: str,
        find: Callable[[], Any],
        lock: Any = None,
        *,
        max_items: int | None = None,
        max_bytes: int | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.dropped: int = 0
        self._bounds = max_items, max_bytes
        self._find = find
        self._lock = lock
        self._now = now
        self._weighing = Weighing()
        self._each = 0
        self._looked_at = float("-inf")
        self._is_behind = False

    @property
    def entries(self) -> int | None:
        """How many there are, or None where the cache is not there or does not say."""
        return length_of(self._find())

    @property
    def held(self) -> int | None:
        """Bytes it holds, about; None before it was weighed."""
        entries = self.entries
        return None if entries is None else self._weighing.bytes_of(entries)

    def reclaimable(self) -> int | None:
        """What it holds: 0 where it is not there or empty, None before it was weighed."""
        return 0 if self._find() is None or self.entries == 0 else self.held

    def reclaim(self, target: int, until: float) -> int:
        """Let entries go under the cache's own lock; 0 where that is not to be had in time."""

        def over(length: int, freed: int) -> int:
            each = self._each or self._weighing.each
            return min(length, -int((freed - target) // each)) if each and freed < target else 0

        cache = self._find()
        if cache is None or _mapping_in(cache) is not None:
            return self._shrink(over, until)
        with under(self._lock) as is_ours:
            if is_ours:
                before = length_of(cache) or 0
                cache.cache_clear()
                self.dropped += max(0, before - (length_of(cache) or 0))
        return 0

    def _shrink(self, over: Callable[[int, int], int], until: float) -> int:
        """Let so many entries go as `over` says by its length and the bytes freed so far."""
        freed, self._is_behind = 0, False
        while (cache := _mapping_in(self._find())) is not None:
            length = length_of(cache) or 0
            # Of cachetools the dict inside: the lists that it links entries in cannot be sampled.
            self._weighing.follow(getattr(cache, "_Cache__data", cache), length, self._now())
            wanted = over(length, freed)
            count = min(wanted, most_at_once(cache, length, self._weighing.each or 1.0))
            if not wanted:
                break
            with under(self._lock) as is_ours:
                gone = take_oldest(cache, count) if is_ours else []
            if not gone:  # Its lock is in use; it is asked again.
                break
            self.dropped += len(gone)
            # What was taken tells more of entries than a look from outside.
            samples = gone[:: max(1, len(gone) // _SAMPLES)]
            weight = sum(size_of(part, nodes=_NODES) for pair in samples for part in pair)
            self._each = ENTRY + weight // len(samples)
            freed += self._each * len(gone)
            del samples
            gone.clear()  # Finalizers may do anything, so they run outside the lock.
            if self._now() >= until:
                self._is_behind = wanted > count
                break
        return freed

    def due(self, now: float) -> bool:
        """Whether it has bounds and a second has passed, or the last look ended before its end."""
        is_time = self._is_behind or now - self._looked_at >= LOOK_EVERY
        return is_time and self._bounds != (None, None)

    def run(self, until: float) -> int:
        """Let the oldest entries go until it is within its bounds; returns the bytes they held."""
        if self._bounds == (None, None):
            return 0
        self._looked_at = self._now()
        return self._shrink(lambda length, _: self._weighing.over(length, *self._bounds), until)


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
    if isinstance(cache, str) and not isinstance(name, (str, type(None))):
        raise ConfigError(f"{one_line(cache)} is a text: give the cache, then its name")
    called = name or type(cache).__name__
    check_lock(lock, called)
    holders = registry if registry is not None else REGISTRY

    def end(_: object = None) -> None:
        holders.remove(adopted)

    try:
        find: Callable[[], Any] = weakref.ref(cache, end)
    except TypeError:  # A plain dict: whoever adopts it keeps it.
        find = lambda: cache  # noqa: E731  # the other kind of reference
    release = _release_of(cache, called, lock, find)
    is_bounded = (max_items, max_bytes) != (None, None)
    adopted: AdoptedCache | Trim
    if release is not None and not is_bounded:
        adopted = Trim(called, release, lambda: holders.meter.estimate() if holders.meter else 0)
    elif not (
        isinstance(cache, dict) or hasattr(cache, "popitem") or hasattr(cache, "cache_clear")
    ):
        raise ConfigError(
            f"{called} is a {type(cache).__name__}, which cannot be "
            f"{'kept to a bound' if release is not None else 'shrunk as a cache'}: adopt a dict, "
            "a mapping with popitem(), or a function with cache_clear()"
        )
    else:
        most = _checked_bounds(cache, called, max_items, max_bytes) if is_bounded else None
        adopted = AdoptedCache(called, find, lock, max_items=max_items, max_bytes=most)
    holders.add(adopted, keep=True)
    return end


def _checked_bounds(
    cache: Any, name: str, max_items: object, max_bytes: int | str | None
) -> int | None:
    if _mapping_in(cache) is None:
        raise ConfigError(
            f"{name} can only be cleared as a whole, so it cannot be kept to a bound: give "
            "functools.lru_cache its own maxsize, or adopt it without one"
        )
    check_count(max_items, name)
    return None if max_bytes is None else as_bytes(max_bytes, name="max_bytes")


def _mapping_in(cache: Any) -> Any:
    """What single entries can be taken out of, or None."""
    return cache if hasattr(cache, "popitem") else entries_of(cache)


def _release_of(
    connection: Any, name: str, lock: Any, find: Callable[[], Any]
) -> Callable[[], None] | None:
    """What has a connection give back, under its owner's lock; None for what is no connection."""
    duckdb, sqlite = (sys.modules.get(module) for module in ("duckdb", "sqlite3"))
    if duckdb is not None and isinstance(connection, duckdb.DuckDBPyConnection):
        release: Callable[[Any], object] = _flush_duckdb
    elif sqlite is None or not isinstance(connection, sqlite.Connection):
        return None
    elif lock is None:
        raise ConfigError(
            f"{name} is a SQLite connection, which another thread may use only under a lock: "
            "connect with check_same_thread=False and give lock=, or have a callback of yours "
            "execute PRAGMA shrink_memory on its thread"
        )
    else:
        release = methodcaller("execute", "PRAGMA shrink_memory")

    def give_back() -> None:
        with under(lock) as is_ours:
            if is_ours:
                release(find())

    return give_back


def _flush_duckdb(connection: Any) -> None:
    cursor = connection.cursor()  # Of its own for this thread.
    try:
        ((told,),) = cursor.execute("SELECT current_setting('memory_limit')").fetchall()
        cursor.execute(f"SET memory_limit = '{same_limit(told)}'")
    finally:
        cursor.close()


def same_limit(told: str) -> str:
    """The limit that DuckDB tells as this: it cuts after a digit, and set so it would sink."""
    unit = told.lstrip("0123456789.")
    number, unit = told.removesuffix(unit), unit.strip()
    if unit[:1] in {"P", "E"}:
        return "none"
    return f"{number}5{unit}" if "." in number else f"{number}{unit}"
