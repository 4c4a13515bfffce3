"""Shrinking caches by hand, and so that memory leaves the process, not only the cache.

The allocator gives memory back in whole arenas, and one survivor keeps an arena. What goes in order
of use lies scattered, so after a cache has been in use for a while nothing leaves at all; what lies
together leaves together. Measured on JSON values after churn: 87 % of the bytes freed left the
process, against none, for a hit rate of 61.7 % right afterwards in place of 66.5 %.
"""

from __future__ import annotations

import os
import time
import weakref
from typing import TYPE_CHECKING, Any

from membudget._native import core
from membudget.bounded.stats import Shrunk
from membudget.core import Rung

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.bounded.cache import Cache
    from membudget.core import Clock
    from membudget.registry import Registry

_LOOKED_AT = 256
"""Entries looked at between two looks at the clock: well below a millisecond."""

_RESIDENT, _SHARED = 1, 2
"""Places in statm."""


class Giving:
    """One cache's giving back, in slices: look where its entries lie, choose, let go.

    Where the table does not know where its entries lie, or nothing lies together, they go in the
    cache's own order. It does not keep the cache alive.

    Args:
        cache: The cache.
        now: Monotonic seconds.
    """

    __slots__ = ("_beyond", "_cache", "_chosen", "_is_done", "_looked_to", "_now")

    def __init__(self, cache: Cache[Any, Any], now: Callable[[], float]) -> None:
        self._cache = weakref.ref(cache)
        self._is_done = False
        self._now = now
        self._looked_to: int | None = 0 if hasattr(cache, "_plan_arenas") else None
        self._chosen = 0 if self._looked_to is None else -1
        self._beyond = 0

    @property
    def cache(self) -> Cache[Any, Any] | None:
        """The cache, while there is one and its target is not met."""
        return None if self._is_done else self._cache()

    def go_on(self, target: int, until: float) -> int:
        """Do as much as there is time for; returns the bytes let go.

        Args:
            target: Bytes to let go at least, from here on: others may have let go meanwhile.
            until: Monotonic time to stop at.

        Raises:
            Exception: What `on_evict` raised first, after all of a slice were let go.
        """
        cache: Any = self._cache()
        freed = 0
        while cache is not None and self._looked_to is not None and self._now() < until:
            self._looked_to = cache._plan_arenas(self._looked_to, _LOOKED_AT)  # noqa: SLF001
        if cache is None or self._looked_to is not None:
            return 0
        if self._chosen < 0:
            self._chosen = cache._choose_arenas(target)  # noqa: SLF001
            self._beyond = max(0, self._chosen - target)  # An arena goes whole.
        if self._chosen > 0:
            freed = cache.evict_together(min(self._chosen, target + self._beyond), until)
            # With time left, none of those chosen is: some weighed more when they were.
            self._chosen = max(0, self._chosen - freed) if self._now() >= until else 0
        if not self._chosen and target > freed and self._now() < until:
            freed += cache.reclaim(target - freed, until)
        self._is_done = freed >= target
        return freed


class GiveBack:
    """The reclaimer that gives memory of caches back to the system, the largest cache first.

    Asked where what was let go has not shown at the meter. It keeps no cache alive. Runs on the
    governor's thread.

    Args:
        registry: Where the caches are.
        clock: Where time comes from; None is the monotonic clock.
    """

    name = "give back"
    rung = Rung.AGGRESSIVE
    gives_back = True

    def __init__(self, registry: Registry, clock: Clock | None = None) -> None:
        self._registry = registry
        self._now = time.monotonic if clock is None else clock.now
        self._under_way: Giving | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether a cache is being looked through: a million entries take longer than a slice."""
        return self._under_way is not None and self._under_way.cache is not None

    def reclaimable(self) -> int:
        """The bytes of all caches."""
        return sum(one.held_bytes() for one in self._caches())

    def reclaim(self, target: int, until: float) -> int:
        """Let go of at least `target` bytes; where time runs out, the next call goes on.

        Args:
            target: Bytes.
            until: Monotonic time to stop at.

        Returns:
            Bytes let go.

        Raises:
            Exception: What a cache's `on_evict` raised, after all of a slice were let go.
        """
        freed, left = 0, sorted(self._caches(), key=lambda one: one.held_bytes())
        while freed < target and self._now() < until:
            if self._under_way is None or self._under_way.cache is None:
                if not left:
                    break
                self._under_way = Giving(left.pop(), self._now)
            got = self._under_way.go_on(target - freed, until)
            freed += got
            if not got and self._now() < until:
                self._under_way = None  # It has nothing left to give.
        return freed

    def _caches(self) -> list[Cache[Any, Any]]:
        # By what it can do: a process without a cache need not load them.
        members: list[Any] = [*self._registry.reclaimers()]
        return [one for one in members if hasattr(one, "evict_together")]


def shrink(cache: Cache[Any, Any], size: int, *, give_back: bool) -> Shrunk:
    """Let go of so many bytes of a cache; see `Cache.shrink`."""
    began, before, entries = time.monotonic(), _own_bytes(cache), len(cache)
    forever = float("inf")
    if give_back:
        freed = Giving(cache, time.monotonic).go_on(size, forever)
        if core is not None:
            core.trim()  # Larger blocks are malloc's, which keeps them too.
    else:
        freed = cache.reclaim(size, forever)
    return Shrunk(
        freed=freed,
        measured=before - _own_bytes(cache),
        entries=max(0, entries - len(cache)),
        took=time.monotonic() - began,
    )


def _own_bytes(cache: Cache[Any, Any]) -> int:
    """What the process holds now: as the budget's meter reads it, else from the kernel, else 0."""
    meter = cache._register.meter  # noqa: SLF001  # one part in two files
    if meter is not None:
        return meter.estimate()
    try:
        with open("/proc/self/statm", "rb", buffering=0) as file:
            pages = file.read().split()
    except OSError:
        return 0
    return (int(pages[_RESIDENT]) - int(pages[_SHARED])) * os.sysconf("SC_PAGE_SIZE")
