"""A list that keeps a bound in items and in bytes, and drops its oldest items."""

from __future__ import annotations

from operator import index as as_index
from operator import is_
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from membudget.bounded.containers.sequence import BoundedSequence, T

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from membudget.bounded.containers.bounds import Cause
    from membudget.core import Clock
    from membudget.registry import Registry

_SPARE = 64
"""Empty places at the front that are left for a while."""


class BoundedList(BoundedSequence[T]):
    """A `list` that knows its bytes, keeps a bound, and shrinks when asked.

    Any thread may call any method, and each is done as a whole; iterating goes over a copy. At its
    bounds it drops from the front, as it does for a budget that is short. An item heavier than
    `max_bytes` is refused without an exception, and counted; what it should have replaced is gone.
    Slices, `+` and `*` give a plain list; `copy` gives another of its kind, with the same name and
    bounds.

    `on_drop(item, cause)` is called after an item was dropped, outside the lock, in the thread that
    did it. What it raises reaches that thread once everything is in order. What is popped,
    replaced, deleted or cleared was not dropped. Items are weighed when they come in: one that
    grows later has to be put in again to be counted.

    Cost: 0.6 to 1 µs for `append` of a number or a text, and what weighing it takes otherwise;
    dropping from the front takes no longer in a long list.

    Args:
        name: What it is called in reports, events and settings.
        iterable: What to begin with.
        max_items: The bound in items.
        max_bytes: The bound in bytes, or text such as "50MiB". With neither, it lives under the
            running budget; while there is none, on 10,000 items, or what the last one let it have.
        size: What an item holds, in bytes; None weighs it with `size_of`.
        on_drop: Called with the item and the cause: "items", "bytes" or "pressure".
        registry: Where it registers and finds the budget; None is the process's own.
        clock: Where time comes from; None is the monotonic clock.

    Raises:
        ConfigError: An argument that cannot be used as given.
    """

    def __init__(
        self,
        name: str,
        iterable: Iterable[T] = (),
        *,
        max_items: int | None = None,
        max_bytes: int | str | None = None,
        size: Callable[[T], int] | None = None,
        on_drop: Callable[[T, Cause], object] | None = None,
        registry: Registry | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(
            name,
            max_items=max_items,
            max_bytes=max_bytes,
            size=size,
            on_drop=on_drop,
            registry=registry,
            clock=clock,
        )
        self._items: list[Any] = []
        self._weights: list[int] = []
        # So many places at the front are empty: to close the gap at every drop would be slow.
        self._first = 0
        self._registry.add(self)
        self.extend(iterable)

    def __len__(self) -> int:
        with self._lock:
            return len(self._items) - self._first

    @overload
    def __getitem__(self, index: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> T | list[T]:
        with self._lock:
            if not isinstance(index, slice):
                return self._items[self._place(index)]  # type: ignore[no-any-return]
            start, stop, step = index.indices(len(self._items) - self._first)
            if step < 0:
                return self._closed()[index]
            return self._items[start + self._first : stop + self._first : step]

    @overload
    def __setitem__(self, index: SupportsIndex, value: T) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[T]) -> None: ...
    def __setitem__(self, index: SupportsIndex | slice, value: Any) -> None:
        values = list(value) if isinstance(index, slice) else [value]
        self._put(*self._weighed(values), lambda items, weights: self._set(index, items, weights))

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        with self._lock:
            taken = self._cut(index) if isinstance(index, slice) else self._take_at(as_index(index))
        del taken  # Its finalizer may do anything, so it goes outside the lock.

    def insert(self, index: SupportsIndex, value: T) -> None:
        """Put an item before a place; in a full list the foremost goes, maybe this one."""
        items, weights = self._weighed([value])
        self._put(items, weights, lambda items, weights: self._insert(index, items, weights))

    def pop(self, index: SupportsIndex = -1) -> T:
        """Take out an item, the last where no place is given.

        Raises:
            IndexError: There is none.
        """
        with self._lock:
            if len(self._items) == self._first:
                raise IndexError("pop from empty list")
            return self._take_at(as_index(index))

    def reverse(self) -> None:
        """Turn the order around."""
        with self._lock:
            self._closed()
            self._items[:], self._weights[:] = self._items[::-1], self._weights[::-1]

    def sort(self, *, key: Callable[[T], Any] | None = None, reverse: bool = False) -> None:
        """Put the items in order. Compares under the lock.

        Raises:
            ValueError: A comparison, or `key`, changed the list.
        """
        with self._lock:
            before = self._closed().copy()
            keys: list[Any] = before if key is None else [key(item) for item in before]
            order = sorted(range(len(before)), key=lambda i: keys[i], reverse=reverse)
            now = self._closed()
            if len(now) != len(before) or not all(map(is_, now, before)):
                raise ValueError("list modified during sort")
            weights = self._weights
            sorted_items, sorted_weights = [now[i] for i in order], [weights[i] for i in order]
            self._items[:], self._weights[:] = sorted_items, sorted_weights

    def _count(self) -> int:
        return len(self._items) - self._first

    def _place(self, index: SupportsIndex) -> int:
        """Where an item stands in the list that has empty places."""
        at = as_index(index)
        count = len(self._items) - self._first
        if not -count <= at < count:
            raise IndexError("list index out of range")
        return at + self._first if at >= 0 else at

    def _closed(self) -> list[T]:
        """The items without empty places; under the lock."""
        first = self._first
        if first:
            del self._weights[:first]
            del self._items[:first]
            self._first = 0
        return self._items

    def _heavy(self) -> list[int]:
        return self._weights[self._first :]

    def _plain(self) -> list[T]:
        with self._lock:
            return self._items[self._first :]

    def _comparable(self, other: object) -> list[T] | None:
        if isinstance(other, BoundedList):
            return other._plain()  # noqa: SLF001  # one of our own
        return other if isinstance(other, list) else None

    def _empty(self) -> list[T]:
        old: list[T] = self._items
        self._items, self._weights, self._first, self._bytes = [], [], 0, 0
        return old

    def _take_excess(self, gone: list[tuple[Any, ...]]) -> None:
        items, weights, most_items = self._items, self._weights, self._most_items
        # As the general one, in a third of the time: a full list does this at every addition.
        while self._bytes > self._most_bytes or len(items) - self._first > most_items:
            if self._bytes > self._most_bytes:
                cause = "bytes"
            elif self._max_items is None and self._registry.meter is not None:
                self._most_items = len(items) - self._first  # As `_is_lifted`.
                break
            else:
                cause = "items"
            first = self._first
            if len(items) == first:
                break
            value = items[first]
            self._bytes -= weights[first]
            items[first] = None
            weights[first] = 0
            self._first = first + 1
            self._dropped[cause] += 1
            gone.append((value, cause))
        if self._first > _SPARE and self._first > len(items) >> 1:
            self._closed()

    def _take_oldest(self) -> tuple[T] | None:
        items, weights, first = self._items, self._weights, self._first
        if len(items) == first:
            return None
        value = items[first]
        self._bytes -= weights[first]
        items[first] = None
        weights[first] = 0
        self._first = first = first + 1
        if first > _SPARE and first > len(items) >> 1:
            self._closed()
        return (value,)

    def _take_at(self, index: int) -> T:
        items, weights, at = self._items, self._weights, self._place(index)
        if at == self._first:
            taken = self._take_oldest()
            if taken is not None:
                return taken[0]
        value: T = items[at]
        self._bytes -= weights[at]
        del weights[at]
        del items[at]
        return value

    def _cut(self, index: slice) -> list[T]:
        taken: list[T] = self._closed()[index]
        self._bytes -= sum(self._weights[index])
        del self._weights[index]
        del self._items[index]
        return taken

    def _set(self, index: SupportsIndex | slice, items: list[T], weights: list[int]) -> Any:
        if isinstance(index, slice):
            old = self._closed()[index]
            given = self._weights[index]
            self._weights[index] = weights
            self._items[index] = items
            self._bytes -= sum(given)
            return old
        if not items:  # It was refused; what stood there goes all the same.
            return self._take_at(as_index(index))
        at = self._place(index)
        old = self._items[at]
        self._bytes -= self._weights[at]
        self._weights[at] = weights[0]
        self._items[at] = items[0]
        return old

    def _insert(self, index: SupportsIndex, items: list[T], weights: list[int]) -> None:
        self._closed()
        for item, weight in zip(items, weights, strict=True):
            self._weights.insert(index, weight)
            self._items.insert(index, item)

    def _mend(self) -> None:
        self._closed()
        super()._mend()
