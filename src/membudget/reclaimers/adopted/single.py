"""One cache of the program's own, named by its owner or found together with its lock.

`adopt` takes one in by hand. Its keys and whoever uses them stay as they are: nothing is wrapped or
copied, entries only go. It is no holder, whose bytes inserting threads are made to give up: nobody
inserts here through us.

A database connection is asked for what it holds free. DuckDB flushes its allocator when its limit
is set, be it to what it is: 490 of 680 MiB came back after a query, in 21 ms, on any thread and
beside a query under way. SQLite lets go of its page cache by a pragma, on the one thread that may
use the connection, or under its owner's lock.
"""

from __future__ import annotations

import contextlib
import sys
import time
import weakref
from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING, Any

from membudget.core import Rung
from membudget.errors import ConfigError
from membudget.reclaimers.adopted.wrappers import WRAPPER, Kept, entries_of
from membudget.reclaimers.allocators import Trim
from membudget.registry import REGISTRY
from membudget.sizing import size_of
from membudget.sizing.estimate import Weighing
from membudget.units import as_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from membudget.registry import Registry


_PATIENCE = 0.02
"""Seconds to wait for the owner's lock; what is in use is asked again later."""

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
        self.dropped = 0
        self._find = find
        self._lock = lock
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
        cache = self._find()
        entries = 0 if cache is None else length_of(cache)
        if entries == 0:
            return 0
        return None if entries is None or self._weight is None else entries * self._weight

    def reclaim(self, target: int, until: float) -> int:
        """Let entries go under the cache's own lock; 0 where that is not to be had in time.

        Raises:
            Exception: What the cache raised.
        """
        cache = self._find()
        if cache is None:
            return 0
        with _under(self._lock) as is_ours:
            return self._shrink(cache, target, until) if is_ours else 0

    def _shrink(self, cache: Any, target: int, until: float) -> int:
        before = length_of(cache) or 0
        plain = _plain_dict(cache)
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
        freed = number = 0
        entries = _popped(cache)
        while freed < target and self._now() < until and (entry := next(entries, None)):
            if number % _WEIGH_EACH == 0:
                self._weight = sum(size_of(part, nodes=_NODES) for part in entry)
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
        self._max_items = max_items
        self._max_bytes = max_bytes
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
            over = self._weighing.over(length, self._max_items, self._max_bytes)
            if not over:
                break
            with _under(self._lock) as is_ours:
                count = min(over, _LONGEST_BATCH, max(BATCH, length >> 8))
                gone = _take_oldest(cache, count) if is_ours else []
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
        return cache if hasattr(cache, "popitem") else _plain_dict(cache)


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
    if lock is not None and not _is_lock(lock):
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
    release = _release_of(cache, called, lock)
    adopted: AdoptedCache | Trim
    if release is not None and not is_bounded:
        adopted = Trim(called, lambda: release(find()), own)
    elif not (
        isinstance(cache, dict) or hasattr(cache, "popitem") or hasattr(cache, "cache_clear")
    ):
        raise ConfigError(
            f"{called} is a {type(cache).__name__}, which cannot be "
            f"{'kept to a bound' if release is not None else 'shrunk as a cache'}: adopt a dict, "
            "a mapping with popitem(), or a function with cache_clear()"
        )
    elif is_bounded:
        bounds = _checked_bounds(cache, called, max_items, max_bytes)
        adopted = BoundedAdoption(called, find, lock, max_items=bounds[0], max_bytes=bounds[1])
    else:
        adopted = AdoptedCache(called, find, lock)
    holders.add(adopted, keep=True)
    return end


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


def _is_lock(lock: Any) -> bool:
    """Whether it is one for threads: an asyncio lock cannot be had from another thread."""
    has_both = hasattr(lock, "acquire") and hasattr(lock, "release")
    return has_both and not type(lock).__module__.startswith("asyncio")


@contextlib.contextmanager
def _under(lock: Any) -> Iterator[bool]:
    """Hold an owner's lock, if there is one; gives whether it was to be had in time."""
    is_ours = lock is None or bool(lock.acquire(timeout=_PATIENCE))
    try:
        yield is_ours
    finally:
        if is_ours and lock is not None:
            lock.release()


def _weakly(cache: Any, at_its_end: Callable[[object], None]) -> Callable[[], Any]:
    try:
        return weakref.ref(cache, at_its_end)
    except TypeError:  # A plain dict: whoever adopts it keeps it.
        return lambda: cache


def _checked_bounds(
    cache: Any, name: str, max_items: object, max_bytes: int | str | None
) -> tuple[int | None, int | None]:
    """Bounds in entries and in bytes.

    Raises:
        ConfigError: One that is none, or a cache that cannot be kept to any.
    """
    if not hasattr(cache, "popitem") and _plain_dict(cache) is None:
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


def _plain_dict(cache: Any) -> dict[Any, Any] | None:
    """The dict to take the oldest entries from, where there is one."""
    if isinstance(cache, dict):
        return None if isinstance(cache, OrderedDict) else cache
    is_unbounded = type(cache) is WRAPPER and cache.cache_info().maxsize is None
    return entries_of(cache) if is_unbounded else None


def _take_oldest(cache: Any, count: int) -> list[Any]:
    """Take out about so many of its oldest, or least wanted, entries; they live on in the list."""
    plain = _plain_dict(cache)
    if plain is not None:
        return [(key, plain.pop(key, None)) for key in list(islice(plain, count))]
    return list(islice(_popped(cache), count))


def _popped(cache: Any) -> Iterator[tuple[Any, Any]]:
    """What a mapping with `popitem` gives away, one at a time."""
    oldest = {"last": False} if isinstance(cache, OrderedDict) else {}
    while len(cache):
        try:
            entry = cache.popitem(**oldest)
        except KeyError:  # Another thread took the last one.
            return
        yield entry


def _release_of(connection: Any, name: str, lock: Any) -> Callable[[Any], None] | None:
    """What has a connection give back under its owner's lock; None for what is no connection.

    Raises:
        ConfigError: A SQLite connection that another thread cannot use.
    """
    duckdb, sqlite = (sys.modules.get(module) for module in ("duckdb", "sqlite3"))
    if duckdb is not None and isinstance(connection, duckdb.DuckDBPyConnection):
        release = _flush_duckdb
    elif sqlite is not None and isinstance(connection, sqlite.Connection):
        if lock is None:
            raise ConfigError(
                f"{name} is a SQLite connection, which another thread may use only under a lock: "
                "connect with check_same_thread=False and give lock=, or have a callback of yours "
                "execute PRAGMA shrink_memory on its thread"
            )
        release = _shrink_sqlite
    else:
        return None

    def locked(connection: Any) -> None:
        with _under(lock) as is_ours:
            if is_ours:
                release(connection)

    return locked


def _shrink_sqlite(connection: Any) -> None:
    connection.execute("PRAGMA shrink_memory")


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
