"""What a weak cache keeps alive itself, how its values are referred to, and its figures."""

from __future__ import annotations

import weakref
from typing import Any

from membudget.bounded.containers.chain import Chain, Link
from membudget.core import Record
from membudget.errors import ConfigError


class WeakCacheStats(Record):
    """A weak cache's figures since it was made.

    Attributes:
        name: The cache's name.
        entries: Values that can be found.
        strong: Those of them that the cache itself keeps alive.
        strong_bytes: What these weigh.
        index_bytes: What the keys and the weak references weigh.
        max_strong: How many it keeps alive at most; None where only bytes bound them.
        max_bytes: How many bytes it keeps alive at most, or None.
        hits: Lookups that found a value.
        misses: Lookups that did not.
        sets: Values taken in.
        died: Values that nobody held any more.
        released: Values that it stopped keeping alive, for its bounds or for the budget.
    """

    name: str
    entries: int
    strong: int
    strong_bytes: int
    index_bytes: int
    max_strong: int | None
    max_bytes: int | None
    hits: int
    misses: int
    sets: int
    died: int
    released: int


class Ref(weakref.ref[Any]):
    """Where a value is found while it lives."""

    __slots__ = ("index", "key", "weight")

    key: Any
    weight: int | None
    index: int


class Kept:
    """Where a value is found that allows no weak references, while the cache keeps it alive."""

    __slots__ = ("index", "key", "value", "weight")

    key: Any
    weight: int | None
    index: int

    def __init__(self, value: Any) -> None:
        self.value = value


class Strong:
    """The values that a weak cache keeps alive, the longest unused first. Under its lock.

    Args:
        most: How many; 0 is none, and with `most_bytes` any number.
        most_bytes: How many bytes, or None.

    Attributes:
        released: Values ever let go for a bound or for the budget.
    """

    def __init__(self, most: int, most_bytes: int | None) -> None:
        self.most, self.most_bytes = most, most_bytes
        self.chain: Chain[Any, Any] = Chain()
        self.released = 0

    def is_on(self) -> bool:
        """Whether it keeps anything alive."""
        return self.most > 0 or self.most_bytes is not None

    def bound(self) -> int | None:
        """How many it keeps alive at most; None where only bytes bound them."""
        return None if not self.most and self.most_bytes is not None else self.most

    def hold(self, entry: Ref | Kept, value: Any) -> list[Link[Any, Any]]:
        """Keep a value alive as the one last used; returns what has to go for it."""
        if entry.weight is None or not self.is_on():
            return []
        link = self.chain.get(entry.key)
        if link is not None:
            self.chain.renew(link)
            return []
        if self.most_bytes is not None and entry.weight > self.most_bytes:
            return []
        self.chain.put(entry.key, value, entry.weight)
        return self.release_excess()

    def release_excess(self) -> list[Link[Any, Any]]:
        """Let go of what is beyond the bounds, and return it."""
        gone = []
        while self._is_over():
            link = self.release()
            if link is None:
                break
            gone.append(link)
        return gone

    def release(self) -> Link[Any, Any] | None:
        """Let go of the value longest unused, and return it."""
        link = self.chain.take_end()
        self.released += link is not None
        return link

    def _is_over(self) -> bool:
        most = self.bound()
        if most is not None and self.chain.count > most:
            return True
        return self.most_bytes is not None and self.chain.bytes > self.most_bytes


def strong_bound(bound: object) -> int:
    """How many values are to be kept alive.

    Raises:
        ConfigError: It is not an int of at least 0.
    """
    if isinstance(bound, bool) or not isinstance(bound, int) or bound < 0:
        raise ConfigError(
            f"strong {bound!r} is not a number of values: give how many the cache keeps alive, or 0"
        )
    return bound
