"""One entry of a cache."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Entry(Generic[K, V]):
    """A key, its value, and its place in the ring."""

    __slots__ = ("after", "before", "born", "expires", "key", "value", "weight")

    def __init__(self, key: K, value: V, weight: int, born: float, expires: float | None) -> None:
        self.key = key
        self.value = value
        self.weight = weight
        self.born = born
        self.expires = expires
        self.before: Entry[Any, Any] | None = None
        self.after: Entry[Any, Any] | None = None

    def is_held(self) -> bool:
        """Whether it is in the ring."""
        return self.after is not None
