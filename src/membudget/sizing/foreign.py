"""Containers of the program's own: what they hold, their length, their lock, their oldest items.

What all items of one share (a table, a session) must count once, so a sample is weighed whole and
half: what the second half adds is what an item weighs by itself, and only that is multiplied.
"""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from itertools import chain, islice

from membudget.errors import ConfigError
from membudget.sizing import measure
from membudget.sizing.kinds import own_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

WEIGH_EVERY = 60.0  # Seconds between two weighings of a container whose length hardly changes.
SAMPLED = 64  # Items picked.

_REACH = 10_000
"""Steps from either end of a dict, and half as many again into a set: 15 to 25 ns each. Of a longer
dict only the two ends are looked at, its oldest and its newest."""

_NODES = 800  # Objects looked at in the whole sample, half as many in its half: 0.3 to 0.5 µs each.

PATIENCE = 0.02  # Seconds to wait for an owner's lock; what is in use is asked again later.

BATCH, _LONGEST_BATCH, _LONGEST_SLICE, _BATCH_BYTES = 1024, 4096, 32_768, 8 << 20
"""Items taken out under the lock at a stretch, 0.1 to 0.5 ms; of a long dict more, since what was
at its front is skipped anew each time; of a list many more, since all that stays is moved each
time; of large ones fewer, since freeing takes 0.1 ms a MB."""


class Weighing:
    """What a container holds, followed by its length between two weighings.

    `each` is the bytes of an average item and its place; None before the first.
    """

    def __init__(self) -> None:
        self.each: float | None = None
        self._weighed_at = float("-inf")
        self._length = 0

    def follow(self, container: Any, length: int, now: float) -> None:
        """Weigh it where that is due: once a minute, or when its length has changed by half."""
        is_near = abs(length - self._length) * 2 < max(1, self._length)
        if now - self._weighed_at < WEIGH_EVERY and is_near:
            return
        found = estimate(container, length)
        if found is not None and found[1]:
            self._weighed_at, self._length = now, length
            self.each = found[0] / found[1]

    def bytes_of(self, length: int) -> int | None:
        """What so many items hold; None before the first weighing."""
        return None if self.each is None else int(length * self.each)

    def over(self, length: int, max_items: int | None, max_bytes: int | None) -> int:
        """By how many items a length is over the limits, or over the one that it exceeds more."""
        over = 0 if max_items is None else length - max_items
        if max_bytes is not None and self.each:
            over = max(over, -int(-(length * self.each - max_bytes) // self.each))
        return max(0, min(length, over))


def estimate(container: Any, length: int | None = None) -> tuple[int, int] | None:
    """What a container and its items weigh, and how many these are; None if it changed meanwhile.

    A dict, list, deque or set is picked from evenly; what counts its own bytes (`held_bytes`) is
    asked; anything else is walked into as by `measure`. `length` spares asking its own. Cost: at
    most 2 ms. Raises what a registered function, or the container's own count, raised.
    """
    counted = getattr(container, "held_bytes", None)
    try:
        if counted is None and (found := _picked(container)) is not None:
            return _sampled(container, *found)
        size = measure(container, 2 * _NODES).bytes if counted is None else int(counted())
        return size, len(container) if length is None else length
    except (RuntimeError, IndexError):  # Changed meanwhile.
        return None


def _sampled(container: Any, flat: list[Any], width: int, length: int) -> tuple[int, int]:
    count, own = len(flat) // width, own_bytes(container, type(container))
    # One list, made shorter in place: a second one would be an owner more of every string in it.
    whole = _weight(flat, _NODES)
    if count >= length or count < 2:  # noqa: PLR2004  # one item has no half
        return own + whole, length
    flat[:] = [part for place, part in enumerate(flat) if place // width % 2 == 0]
    half = _weight(flat, _NODES // 2)
    each = max(0.0, (whole - half) / (count - len(flat) // width))
    return int(own + whole + (length - count) * each), length


def _weight(flat: list[Any], nodes: int) -> int:
    return max(0, measure(flat, nodes).bytes - own_bytes(flat, list))


def _picked(container: Any) -> tuple[list[Any], int, int] | None:
    """Parts of sampled items, how many an item has, how many items; by the builtin's methods."""
    if isinstance(container, dict):
        length = dict.__len__(container)
        pairs: Any = islice(dict.items(container), 0, length, _stride(length, SAMPLED))
        if length > 2 * _REACH:
            ends = iter(dict.items(container)), reversed(dict.items(container))
            stride = _stride(_REACH, SAMPLED // 2)
            pairs = chain(*[islice(end, 0, _REACH, stride) for end in ends])
        return [part for pair in list(pairs) for part in pair], 2, length
    if isinstance(container, set):
        length = set.__len__(container)
        span = min(length, _REACH + _REACH // 2)
        return list(islice(set.__iter__(container), 0, span, _stride(span, SAMPLED))), 1, length
    base: Any
    for base in (list, deque):
        if isinstance(container, base):
            length = base.__len__(container)
            count = min(SAMPLED, length)
            places = [place * length // count for place in range(count)]
            return [base.__getitem__(container, place) for place in places], 1, length
    return None


def _stride(span: int, count: int) -> int:
    return max(1, -(-span // count))


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
    if hasattr(container, "__len__"):
        return len(container)
    if hasattr(container, "cache_info"):
        return int(container.cache_info().currsize)
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
