"""Containers of the program's own: how long they are, their lock, and their oldest items."""

from __future__ import annotations

import contextlib
import sys
from itertools import islice

from membudget.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

PATIENCE = 0.02  # Seconds to wait for an owner's lock; what is in use is asked again later.

BATCH, _LONGEST_BATCH, _LONGEST_SLICE, _BATCH_BYTES = 1024, 4096, 32_768, 8 << 20
"""Items taken out under the lock at a stretch, 0.1 to 0.5 ms; of a long dict more, since what was
at its front is skipped anew each time; of a list many more, since all that stays is moved each
time; of large ones fewer, since freeing takes 0.1 ms a MB."""


def check_lock(lock: Any, name: str) -> None:
    """Refuse what cannot be acquired from another thread, as an asyncio lock; None is no lock."""
    has_both = hasattr(lock, "acquire") and hasattr(lock, "release")
    if lock is not None and (not has_both or type(lock).__module__.startswith("asyncio")):
        raise ConfigError(
            f"lock {lock!r} of {name} cannot be acquired: give a threading.Lock or RLock"
        )


def check_count(given: object, name: str) -> None:
    """Refuse a `max_items` that is no whole number above zero; None is no bound."""
    if given is not None and (type(given) is bool or not isinstance(given, int) or given < 1):
        raise ConfigError(
            f"max_items {given!r:.80} of {name} is not a count: give a whole number >= 1"
        )


@contextlib.contextmanager
def under(lock: Any) -> Iterator[bool]:
    """Hold an owner's lock, if there is one; gives whether it was to be had in time."""
    is_ours = lock is None or bool(lock.acquire(timeout=PATIENCE))
    try:
        yield is_ours
    finally:
        if is_ours and lock is not None:
            lock.release()


def length_of(container: Any) -> int | None:
    """How many items it holds, without changing it; None where it does not say. O(1)."""
    library = sys.modules.get("cachetools")
    if library is not None and isinstance(container, library.Cache):
        # A TTLCache's own length expires entries first, and we may be without its lock.
        return int(library.Cache.__len__(container))
    if hasattr(container, "cache_info"):
        return int(container.cache_info().currsize)
    if hasattr(container, "__len__"):
        return len(container)
    return int(container.qsize()) if hasattr(container, "qsize") else None


def most_at_once(container: Any, length: int, each: float) -> int:
    """How many items, of so many bytes each, to take out at a stretch."""
    most = min(_LONGEST_BATCH, max(BATCH, length >> 8))
    if isinstance(container, list):
        most = min(_LONGEST_SLICE, max(BATCH, length >> 4))
    return max(1, min(most, int(_BATCH_BYTES / each)))


def take_oldest(container: Any, count: int) -> list[Any]:
    """Take out about so many of the oldest, or least wanted, items; they live on in the list.

    Beside threads that use it without a lock, each step is one operation of the container.
    """
    if isinstance(container, list):
        gone = list(container[:count])
        del container[:count]
        return gone
    if isinstance(container, dict):
        # Through its own methods: an OrderedDict, or a class of the program, keeps its own order.
        return [(key, container.pop(key, None)) for key in list(islice(container, count))]
    pop = getattr(container, "popleft", None)
    if pop is None:  # Any item, or the one least wanted.
        pop = container.pop if isinstance(container, set) else container.popitem
    gone = []
    with contextlib.suppress(LookupError):  # Another thread took the last one.
        while len(gone) < count and length_of(container):
            gone.append(pop())
    return gone
