"""A list that keeps a bound in items and in bytes, and drops its oldest items."""

from __future__ import annotations

from operator import index as as_index
from operator import is_
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from membudget.containers.sequence import BoundedSequence, T

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


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

    _builtin = list

    _items: list[Any]
    _weights: list[int]

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
            start, stop, step = index.indices(self._count())
            if step < 0:
                return self._closed()[index]
            return self._items[start + self._first : stop + self._first : step]

    @overload
    def __setitem__(self, index: SupportsIndex, value: T) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[T]) -> None: ...
    def __setitem__(self, index: SupportsIndex | slice, value: Any) -> None:
        def put(items: list[T], weights: list[int]) -> list[T]:
            place = index if isinstance(index, slice) else self._place(index)
            self._closed()
            if not isinstance(place, slice):
                at = as_index(index) % len(self._items)  # type: ignore[arg-type]
                place = slice(at, at + 1)
            return self._cut(place, items, weights)

        values = list(value) if isinstance(index, slice) else [value]
        self._put(values, [self._weigh(one) for one in values], put)

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        with self._lock:
            if isinstance(index, slice):
                self._closed()
                taken: Any = self._cut(index, None, None)
            else:
                taken = self._take_at(as_index(index))
        del taken  # Its finalizer may do anything, so it goes outside the lock.

    def insert(self, index: SupportsIndex, value: T) -> None:
        """Put an item before a place; in a full list the foremost goes, maybe this one."""

        def put(items: list[T], weights: list[int]) -> None:
            self._closed()
            at = slice(index, index)  # Clipped, as a list's insert has it
            self._cut(at, items, weights)

        self._put([value], [self._weigh(value)], put)

    def pop(self, index: SupportsIndex = -1) -> T:
        """Take out an item, the last where no place is given.

        Raises:
            IndexError: There is none.
        """
        with self._lock:
            if not self._count():
                raise IndexError("pop from empty list")
            return self._take_at(as_index(index))

    def reverse(self) -> None:
        """Turn the order around."""
        with self._lock:
            self._closed().reverse()
            self._weights.reverse()

    def sort(self, *, key: Callable[[T], Any] | None = None, reverse: bool = False) -> None:
        """Put the items in order. Compares under the lock.

        Raises:
            ValueError: A comparison, or `key`, changed the list.
        """
        with self._lock:
            before = self._closed().copy()
            keys: list[Any] = before if key is None else [key(item) for item in before]
            order = sorted(range(len(before)), key=keys.__getitem__, reverse=reverse)
            now, weights = self._closed(), self._weights
            if len(now) != len(before) or not all(map(is_, now, before)):
                raise ValueError("list modified during sort")
            self._items, self._weights = [now[i] for i in order], [weights[i] for i in order]

    def _place(self, index: SupportsIndex) -> int:
        """Where an item stands in the list that has empty places."""
        at, count = as_index(index), self._count()
        if not -count <= at < count:
            raise IndexError("list index out of range")
        return at + self._first if at >= 0 else at

    def _closed(self) -> list[T]:
        """The items without empty places; under the lock."""
        first, self._first = self._first, 0
        del self._weights[:first], self._items[:first]
        return self._items

    def _plain(self) -> list[T]:
        with self._lock:
            return self._items[self._first :]

    def _take_oldest(self) -> T:
        # The place stays, empty: to close the gap at every drop would be slow.
        items, weights, first = self._items, self._weights, self._first
        value: T = items[first]
        self._bytes -= weights[first]
        items[first], weights[first] = None, 0
        self._first = first = first + 1
        if first > _SPARE and first > len(items) >> 1:
            self._closed()
        return value

    def _take_at(self, index: int) -> T:
        at = self._place(index)
        if at == self._first:
            return self._take_oldest()
        items, weights = self._items, self._weights
        value: T = items[at]
        self._bytes -= weights[at]
        del weights[at], items[at]
        return value

    def _cut(self, place: slice, items: list[T] | None, weights: list[int] | None) -> list[T]:
        """Put items where others stand, or with None nothing; returns those. No place is empty."""
        old, change = self._items[place], sum(self._weights[place])
        if items is None or weights is None:
            del self._weights[place], self._items[place]
        else:
            self._weights[place] = weights
            self._items[place] = items
        self._bytes -= change
        return old

    def _mend(self) -> None:
        self._closed()
        super()._mend()
