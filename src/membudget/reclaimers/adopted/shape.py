"""What can be done with a cache of the program's own."""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import Any

from membudget.errors import ConfigError
from membudget.reclaimers.adopted.wrappers import WRAPPER, entries_of
from membudget.units import as_bytes


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
