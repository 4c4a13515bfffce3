"""A cache that spills, and what of it lies where."""

import threading
from pathlib import Path
from typing import Any

from membudget.cache.spilling.spilled import SpilledCache
from membudget.registry import Registry

KIB = 1 << 10
MIB = 1 << 20


def make(tmp_path: Path, **given: Any) -> SpilledCache[Any, Any]:
    """A cache of two entries in memory, unless told otherwise."""
    usual: dict[str, Any] = {"max_entries": 2, "registry": Registry(), "spill": tmp_path / "spill"}
    return SpilledCache("spilling", **usual | given)


def folder_of(cache: SpilledCache[Any, Any]) -> str:
    folder = cache.spill_stats().directory
    assert folder is not None
    return folder


def full(cache: SpilledCache[Any, Any], count: int = 6) -> SpilledCache[Any, Any]:
    """The cache, with so many numbers set, and all that was evicted on the disk."""
    for number in range(count):
        cache.set(number, [number])
    assert cache.flush_spill()
    return cache


def in_memory(cache: SpilledCache[Any, Any], key: Any) -> bool:
    return key in set(cache)


def on_disk(cache: SpilledCache[Any, Any]) -> list[Any]:
    """The keys that memory does not hold, but the cache does."""
    return [number for number in range(100) if number in cache and not in_memory(cache, number)]


class Slow:
    """A value whose pickling waits."""

    may_go: threading.Event

    def __reduce__(self) -> tuple[Any, ...]:
        assert Slow.may_go.wait(10)
        return (int, ())
