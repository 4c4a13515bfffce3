"""What can be done with a foreign container: its length, its bound, its oldest items."""

from __future__ import annotations

import sys
import weakref
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any

from membudget.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = 1024
"""Items taken out under the lock at a stretch: 0.1 to 0.5 ms."""

_LONGEST_BATCH = 4096
_LONGEST_SLICE = 32_768
"""Of a long dict more go at once, since what was at its front is skipped anew each time; of a list
many more, since all that stays is moved each time. Freeing so many takes 2 to 5 ms."""

_BATCH_BYTES = 8 << 20

LOCK_PATIENCE = 0.02
"""Seconds to wait for a container's lock; one in use is asked again later."""

_POPS = ("popleft", "popitem")
"""How a container that is none of the built-in kinds gives its oldest, or least wanted, item."""


def has_length(container: object) -> bool:
    """Whether it says how many items it holds: `len`, or `qsize` as queues have."""
    return hasattr(container, "__len__") or hasattr(container, "qsize")


def length_of(container: Any) -> int:
    """How many items it holds. O(1) for all built-in kinds and for queues."""
    library = sys.modules.get("cachetools")
    if library is not None and isinstance(container, library.Cache):
        # A TTLCache's own length expires entries first, and we may be without its lock.
        return int(library.Cache.__len__(container))
    return len(container) if hasattr(container, "__len__") else int(container.qsize())


def maxlen_of(container: object) -> int | None:
    """The bound that a deque, or what is like one, keeps by itself, or None."""
    bound = getattr(container, "maxlen", None)
    return bound if isinstance(bound, int) else None


def is_endless(container: object) -> bool:
    """Whether it is a deque that may grow for ever."""
    return isinstance(container, deque) and container.maxlen is None


def can_be_trimmed(container: object) -> bool:
    """Whether its oldest items can be taken out."""
    kinds = (dict, list, deque, set)
    return isinstance(container, kinds) or any(hasattr(container, name) for name in _POPS)


def finder(container: Any, at_its_end: Callable[[object], object]) -> Callable[[], Any]:
    """What returns the container, or None while there is none (any more).

    It is held weakly where it can be. Plain dicts, lists and sets cannot; they are kept.

    Args:
        container: Something with a length, or a function that returns it.
        at_its_end: Called when a weakly held one is gone.

    Raises:
        ConfigError: Neither of these.
    """
    if has_length(container):
        try:
            return weakref.ref(container, at_its_end)
        except TypeError:
            return lambda: container
    if callable(container):
        find: Callable[[], Any] = container
        return find
    raise ConfigError(
        f"{container!r:.80} is a {type(container).__name__}, which has no length: watch a dict, "
        "list, deque, set or queue, or give a function that returns one"
    )


def batch_of(container: Any, length: int, wanted: int, each: float) -> int:
    """How many items to take out at a stretch, for so many wanted of so many bytes each."""
    most = min(_LONGEST_BATCH, max(BATCH, length >> 8))
    if isinstance(container, list):
        most = min(_LONGEST_SLICE, max(BATCH, length >> 4))
    return max(1, min(wanted, most, int(_BATCH_BYTES / each) if each else most))


def take_oldest(container: Any, count: int, lock: Any = None) -> list[Any]:
    """Take out about so many of the oldest items, of a set any; they live on in what is returned.

    A dict's first keys, a list's front in one operation, a deque's left end. Beside threads that
    use the container without a lock, each step is one operation of it.

    Args:
        container: What `can_be_trimmed`.
        count: How many.
        lock: Held meanwhile; none are taken where it is not to be had within 20 ms.

    Raises:
        Exception: What the container raised.
    """
    if lock is None:
        return _take(container, count)
    if not lock.acquire(timeout=LOCK_PATIENCE):
        return []
    try:
        return _take(container, count)
    finally:
        lock.release()


def _take(container: Any, count: int) -> list[Any]:
    if isinstance(container, list):
        gone = list(container[:count])
        del container[:count]
        return gone
    if isinstance(container, dict):
        # Through its own methods: an OrderedDict, or a class of the program, keeps its own order.
        return [(key, container.pop(key, None)) for key in list(islice(container, count))]
    pop, empty = _pop_of(container)
    gone = []
    while len(gone) < count and length_of(container):
        try:
            gone.append(pop())
        except empty:  # Another thread took the last one.
            break
    return gone


def _pop_of(container: Any) -> tuple[Callable[[], Any], type[Exception]]:
    if isinstance(container, set):
        return container.pop, KeyError
    if hasattr(container, "popleft"):
        return container.popleft, IndexError
    return container.popitem, KeyError
