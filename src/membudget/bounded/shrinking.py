"""Shrinking a cache by hand, with what came of it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from membudget._native import core
from membudget.bounded.give_back import Giving
from membudget.bounded.stats import Shrunk

if TYPE_CHECKING:
    from membudget.bounded.cache import Cache

_RESIDENT, _SHARED = 1, 2


def shrink(cache: Cache[Any, Any], size: int, *, give_back: bool) -> Shrunk:
    """Let go of so many bytes of a cache; see `Cache.shrink`."""
    began, before, entries = time.monotonic(), _own_bytes(cache), len(cache)
    forever = float("inf")
    if give_back:
        freed = Giving([cache], time.monotonic).go_on(size, forever)
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
