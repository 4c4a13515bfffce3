"""One cache of the program's own, named by its owner or found together with its lock."""

from __future__ import annotations

import sys
import time
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from membudget.core import Rung
from membudget.errors import ConfigError
from membudget.reclaimers.adopted.wrappers import WRAPPER, Kept, entries_of
from membudget.registry import REGISTRY
from membudget.sizing import size_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.registry import Registry

LOCK_PATIENCE = 0.02
"""Seconds to wait for a cache's own lock; a cache in use is asked again later."""

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
        plain = _plain(cache)
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


def adopt(
    cache: Any, name: str | None = None, *, lock: Any = None, registry: Registry | None = None
) -> Callable[[], None]:
    """Let a budget shrink a cache of the program's own; returns what ends that.

    Args:
        cache: A dict (its oldest entries go), a mapping with `popitem` such as cachetools', or a
            function with `cache_clear`.
        name: What it is called in events; by default its type's name.
        lock: What the program holds while it uses the cache; None says that none is needed, as
            for a dict whose users bear that an entry is gone.
        registry: Whose budget may ask; by default that of the process.

    Raises:
        ConfigError: Something else than a cache, or a lock that cannot be acquired with a timeout.
    """
    called = name or type(cache).__name__
    if not (isinstance(cache, dict) or hasattr(cache, "popitem") or hasattr(cache, "cache_clear")):
        raise ConfigError(
            f"{called} is a {type(cache).__name__}, which cannot be shrunk as a cache: adopt a "
            "dict, a mapping with popitem(), or a function with cache_clear()"
        )
    if lock is not None and not _is_lock(lock):
        raise ConfigError(
            f"lock {lock!r} of {called} cannot be acquired: give a threading.Lock or RLock"
        )
    holders = registry if registry is not None else REGISTRY

    def end(_: object = None) -> None:
        holders.remove(adopted)

    adopted = AdoptedCache(called, _weakly(cache, end), lock)
    holders.add(adopted, keep=True)
    return end


def _is_lock(lock: Any) -> bool:
    """Whether it is one for threads: an asyncio lock cannot be had from another thread."""
    has_both = hasattr(lock, "acquire") and hasattr(lock, "release")
    return has_both and not type(lock).__module__.startswith("asyncio")


def _weakly(cache: Any, at_its_end: Callable[[object], None]) -> Callable[[], Any]:
    try:
        return weakref.ref(cache, at_its_end)
    except TypeError:  # A plain dict: whoever adopts it keeps it.
        return lambda: cache


def _plain(cache: Any) -> dict[Any, Any] | None:
    """The dict to take the oldest entries from, where there is one."""
    if isinstance(cache, dict):
        return None if isinstance(cache, OrderedDict) else cache
    is_unbounded = type(cache) is WRAPPER and cache.cache_info().maxsize is None
    return entries_of(cache) if is_unbounded else None


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
