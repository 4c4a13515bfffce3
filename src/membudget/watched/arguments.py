"""The arguments of a watched container, checked."""

from __future__ import annotations

from typing import Any

from membudget.errors import ConfigError
from membudget.watched.shape import can_be_trimmed

_LEAST_SHARE = 10
"""Parts of its limit down to which one may be resized, where nobody says otherwise."""


def checked_items(count: object, name: str) -> int | None:
    """A limit in items, or None.

    Raises:
        ConfigError: It is no whole number from 1 on.
    """
    if count is None:
        return None
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ConfigError(
            f"max_items {count!r:.80} of {name} is not a count: give a whole number >= 1"
        )
    return count


def check_trim(container: object, name: str) -> None:
    """Refuse what cannot be trimmed.

    Raises:
        ConfigError: Its oldest items cannot be taken out.
    """
    if not can_be_trimmed(container):
        raise ConfigError(
            f"{name} is a {type(container).__name__}, whose oldest items cannot be taken out: "
            "leave trim=False, or watch a dict, list, deque, set or what has popitem()"
        )


def checked_lock(lock: Any, name: str) -> Any:
    """A lock for threads: an asyncio lock cannot be had from another thread.

    Raises:
        ConfigError: It is none.
    """
    has_both = hasattr(lock, "acquire") and hasattr(lock, "release")
    if lock is None or (has_both and not type(lock).__module__.startswith("asyncio")):
        return lock
    raise ConfigError(f"lock {lock!r} of {name} cannot be acquired: give a threading.Lock or RLock")


def checked_bounds(
    resize: bool | tuple[int, int],  # noqa: FBT001  # as the user gave it
    max_items: int | None,
    name: str,
) -> tuple[int, int] | None:
    """Between which numbers the limit may move, or None.

    Raises:
        ConfigError: There is no limit, or it is not between them.
    """
    if resize is False:
        return None
    if max_items is None:
        raise ConfigError(
            f"{name} has no max_items to resize: give max_items, and resize=(least, most) or True"
        )
    if resize is True:
        return max(1, max_items // _LEAST_SHARE), max_items
    given: object = resize
    is_pair = isinstance(given, tuple) and [type(one) for one in given] == [int, int]
    least, most = resize if is_pair else (0, 0)  # Which never holds the limit.
    if not 1 <= least <= max_items <= most:
        raise ConfigError(
            f"resize {resize!r} of {name} does not hold max_items {max_items}: give two numbers "
            "from 1 on, the first not above it and the second not below"
        )
    return least, most
