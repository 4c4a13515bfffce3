"""How many bytes a container holds, taken from a sample of its items: cheap for any length.

Up to 64 items are picked evenly, without a copy of the container. What all items share (a table, a
parent, a session) must count once and not once an item, so the sample is weighed twice, whole and
half: what the second half adds is what an item weighs by itself, and only that is multiplied.
Where what is shared is itself too large to walk through, the figure is a rough one.

A container that other threads change meanwhile may refuse to be looked at; then there is no figure
this time.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any

from membudget.core import Record
from membudget.sizing import measure
from membudget.sizing.readers import own_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

WEIGH_EVERY = 60.0
"""Seconds between two weighings of a container whose length hardly changes."""

SAMPLED = 64
"""Items picked."""

_REACH = 10_000
"""Steps from either end of a dict, and half as many again into a set: 15 to 25 ns each. Of a longer
dict only the two ends are looked at, its oldest and its newest."""

_NODES = 800
"""Objects looked at in the whole sample, half as many in its half: 0.3 to 0.5 µs each."""


class Estimate(Record):
    """What a container holds, about.

    Attributes:
        bytes: The container itself and all its items.
        each: Bytes that an item more or less makes, its place in the container included.
        items: How many there were.
    """

    bytes: int
    each: float
    items: int


class Weighing:
    """What a container holds, followed by its length between two weighings.

    Attributes:
        each: Bytes of an average item, its part of the container included; None before the first.
    """

    def __init__(self) -> None:
        self.each: float | None = None
        self._weighed_at = float("-inf")
        self._length = 0

    def follow(self, container: Any, length: int, now: float) -> None:
        """Weigh it where that is due: once a minute, or when its length has changed by half.

        Raises:
            Exception: As `estimate`.
        """
        is_near = abs(length - self._length) * 2 < max(1, self._length)
        if now - self._weighed_at < WEIGH_EVERY and is_near:
            return
        found = estimate(container, length)
        if found is not None and found.items:
            self._weighed_at, self._length = now, length
            self.each = found.bytes / found.items

    def bytes_of(self, length: int) -> int | None:
        """What so many items hold; None before the first weighing."""
        return None if self.each is None else int(length * self.each)

    def over(self, length: int, max_items: int | None, max_bytes: int | None) -> int:
        """By how many items a length is over the limits, or over the one that it exceeds more."""
        over = 0 if max_items is None else length - max_items
        if max_bytes is not None and self.each:
            over = max(over, -int(-(length * self.each - max_bytes) // self.each))
        return max(0, min(length, over))


def estimate(container: Any, length: int | None = None) -> Estimate | None:
    """Weigh a container by a sample. Cost: at most about 2 ms, however long it is.

    A dict, list, deque or set is picked from evenly; what counts its own bytes (`held_bytes`) is
    asked; anything else is walked into as `measure` does, without running its code.

    Args:
        container: Anything with a length.
        length: How many items it has, where its own `len` had better not be asked.

    Returns:
        None where it was changed while it was looked at.

    Raises:
        Exception: What a registered function, or the container's own count, raised.
    """
    counted = getattr(container, "held_bytes", None)
    try:
        if counted is not None:
            return _of(int(counted()), len(container) if length is None else length)
        return _sampled(container, length)
    except (RuntimeError, IndexError):  # Changed meanwhile.
        return None


def _of(size: int, items: int) -> Estimate:
    return Estimate(bytes=size, each=size / max(1, items), items=items)


def _sampled(container: Any, length: int | None) -> Estimate:
    found = _picked(container)
    if found is None:
        items = len(container) if length is None else length
        return _of(measure(container, 2 * _NODES).bytes, items)
    flat, width, length = found
    count = len(flat) // width
    own = own_bytes(container, type(container))
    # One list, made shorter in place: a second one would be an owner more of every string in it.
    whole = _weight(flat, _NODES)
    if count >= length or count < 2:  # noqa: PLR2004  # one item has no half
        return _of(own + whole, length)
    flat[:] = [part for place, part in enumerate(flat) if place // width % 2 == 0]
    half = _weight(flat, _NODES // 2)
    each = max(0.0, (whole - half) / (count - len(flat) // width))
    size = int(own + whole + (length - count) * each)
    return Estimate(bytes=size, each=own / length + each, items=length)


def _weight(flat: list[Any], nodes: int) -> int:
    return max(0, measure(flat, nodes).bytes - own_bytes(flat, list))


def _picked(container: Any) -> tuple[list[Any], int, int] | None:
    """Parts of the sampled items in one list, how many an item has, and how many items there are.

    By the built-in base's own methods: a subclass may count or move what it is asked for.
    """
    if isinstance(container, dict):
        length = dict.__len__(container)
        pairs: Iterator[tuple[Any, Any]] = iter(dict.items(container))
        picked = list(_from_ends(pairs, reversed(dict.items(container)), length))
        return [part for pair in picked for part in pair], 2, length
    if isinstance(container, set):
        length, reach = set.__len__(container), _REACH + _REACH // 2
        span = min(length, reach)
        return list(islice(set.__iter__(container), 0, span, _stride(span, SAMPLED))), 1, length
    if isinstance(container, list):
        length = list.__len__(container)
        return [list.__getitem__(container, one) for one in _places(length)], 1, length
    if isinstance(container, deque):
        length = deque.__len__(container)
        return [deque.__getitem__(container, one) for one in _places(length)], 1, length
    return None


def _places(length: int) -> Iterator[int]:
    count = min(SAMPLED, length)
    return (place * length // count for place in range(count))


def _from_ends(front: Iterator[Any], back: Iterator[Any], length: int) -> Iterator[Any]:
    if length <= 2 * _REACH:
        yield from islice(front, 0, length, _stride(length, SAMPLED))
        return
    stride = _stride(_REACH, SAMPLED // 2)
    yield from islice(front, 0, _REACH, stride)
    yield from islice(back, 0, _REACH, stride)


def _stride(span: int, count: int) -> int:
    return max(1, -(-span // count))
