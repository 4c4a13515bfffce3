"""How many bytes a container holds, from a sample of its items: cheap for any length.

What all items share (a table, a session) must count once, so the sample is weighed whole and half:
what the second half adds is what an item weighs by itself, and only that is multiplied.
"""

from __future__ import annotations

from collections import deque
from itertools import chain, islice

from membudget.sizing import measure
from membudget.sizing.kinds import own_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WEIGH_EVERY = 60.0  # Seconds between two weighings of a container whose length hardly changes.
SAMPLED = 64  # Items picked.

_REACH = 10_000
"""Steps from either end of a dict, and half as many again into a set: 15 to 25 ns each. Of a longer
dict only the two ends are looked at, its oldest and its newest."""

_NODES = 800  # Objects looked at in the whole sample, half as many in its half: 0.3 to 0.5 µs each.


class Weighing:
    """What a container holds, followed by its length between two weighings.

    `each` is the bytes of an average item, its part of the container included; None before the
    first.
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
    """What a container and its items weigh, from a sample, and how many these are.

    None where it was changed while it was looked at.

    A dict, list, deque or set is picked from evenly; what counts its own bytes (`held_bytes`) is
    asked; anything else is walked into as `measure` does, without running its code. `length` is how
    many items it has, where its own `len` had better not be asked.

    Cost: at most about 2 ms, however long it is. Raises what a registered function, or the
    container's own count, raised.
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
    """Parts of the sampled items in one list, how many an item has, and how many items there are.

    By the built-in base's own methods: a subclass may count or move what it is asked for.
    """
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
