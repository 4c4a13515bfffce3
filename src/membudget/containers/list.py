"""A list and a deque that keep a bound in items and in bytes."""

from __future__ import annotations

from collections import deque
from operator import is_
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from membudget.containers import KEEP, NO_ITEMS, T
from membudget.containers.sequence import BoundedSequence
from membudget.errors import hinted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from membudget.containers import Cause
    from membudget.core import Clock
    from membudget.registry import Registry


class BoundedList(BoundedSequence[T]):
    """A `list` that knows its bytes, keeps a bound, and shrinks when asked.

    Any thread may call any method, and each is done as a whole; iterating goes over a copy. At its
    bounds it drops from the front, as it does for a budget that is short; an item heavier than
    `max_bytes` is refused without an exception, and counted; what it should have replaced is gone.
    Slices, `+` and `*` give a plain list, `copy` another of its kind. `on_drop(item, cause)` is
    called as by a `BoundedDict`. An item that grows later has to be put in again to be counted.

    Cost: 0.6 to 1 µs for `append` of a number or a text, else what weighing it takes.

    Args:
        iterable: What to begin with. All others are as in a `BoundedDict`, of items for values.
    """

    _builtin = list

    _items: list[T]
    _weights: list[int]

    @overload
    def __getitem__(self, index: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> T | list[T]:
        with self._lock:
            if not isinstance(index, slice):
                return self._items[self._place(index)]
            start, stop, step = index.indices(self._count())
            if step < 0:
                return self._whole()[index]
            return self._items[start + self._first : stop + self._first : step]

    @overload
    def __setitem__(self, index: SupportsIndex, value: T) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[T]) -> None: ...
    def __setitem__(self, index: SupportsIndex | slice, value: Any) -> None:
        if not isinstance(index, slice):
            super().__setitem__(index, value)
            return

        def put(items: list[T], weights: list[int]) -> list[T]:
            self._close()
            old, change = self._items[index], sum(self._weights[index])
            self._weights[index], self._items[index] = weights, items
            self._bytes -= change
            return old

        values = list(value)
        self._put(values, [self._weigh(one) for one in values], put)

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        if not isinstance(index, slice):
            super().__delitem__(index)
            return
        with self._lock:
            self._close()
            taken, change = self._items[index], sum(self._weights[index])
            del self._weights[index], self._items[index]
            self._bytes -= change
        del taken  # Their finalizers may do anything, so they go outside the lock.

    def pop(self, index: SupportsIndex = -1) -> T:
        """Take out an item, the last where no place is given; an IndexError where there is none."""
        with self._lock:
            if len(self._items) == self._first:
                raise IndexError("pop from empty list")
            return self._take(self._place(index))

    def sort(self, *, key: Callable[[T], Any] | None = None, reverse: bool = False) -> None:
        """Put the items in order. Compares under the lock; a ValueError if that changes it."""
        with self._lock:
            before = self._whole()
            keys: list[Any] = before if key is None else [key(item) for item in before]
            order = sorted(range(len(before)), key=keys.__getitem__, reverse=reverse)
            self._close()
            now, weights = self._items, self._weights
            if len(now) != len(before) or not all(map(is_, now, before)):
                raise ValueError("list modified during sort")
            self._items, self._weights = [now[i] for i in order], [weights[i] for i in order]


class BoundedDeque(BoundedSequence[T]):
    """A `collections.deque` that knows its bytes, keeps a bound, and shrinks when asked.

    At its bounds it drops from the other end than the one added to, as `maxlen` has it; a budget
    that is short takes from that end too. `+` and `*` give a plain deque of the same `maxlen`. For
    all else it is what a `BoundedList` is.

    Args:
        maxlen: The bound in items. All others are as in a `BoundedList`.
    """

    _builtin = deque
    _items_name = "maxlen"

    _items: deque[T]
    _weights: deque[int]

    @hinted
    def __init__(
        self,
        name: str,
        iterable: Iterable[T] = NO_ITEMS,
        *,
        maxlen: int | None = None,
        max_bytes: int | str | None = None,
        size: Callable[[T], int] | None = None,
        on_drop: Callable[[T, Cause], object] | None = None,
        registry: Registry | None = None,
        clock: Clock | None = None,
        replace: bool = False,
    ) -> None:
        more: dict[str, Any] = {"size": size, "on_drop": on_drop}
        more |= {"registry": registry, "clock": clock, "replace": replace}
        super().__init__(name, iterable, max_items=maxlen, max_bytes=max_bytes, **more)

    @property
    def maxlen(self) -> int | None:
        """The bound in items, or None."""
        return self._max_items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: SupportsIndex) -> T:  # type: ignore[override]
        with self._lock:
            return self._items[index]

    def appendleft(self, value: T) -> None:
        """Put an item at the left; what is too much goes from the right."""
        self._put([value], [self._weigh(value)], self._extendleft)

    def extendleft(self, values: Iterable[T]) -> None:
        """Put items at the left, one after the other; what is too much goes from the right."""
        self._draw(values, self._extendleft)

    def popleft(self) -> T:
        """Take out the leftmost item; an IndexError where there is none."""
        with self._lock:
            if not self._items:
                raise IndexError("pop from an empty deque")
            return self._take(0)

    def pop(self) -> T:  # type: ignore[override]  # as deque's
        """Take out the rightmost item; an IndexError where there is none."""
        with self._lock:
            if not self._items:
                raise IndexError("pop from an empty deque")
            return self._take(-1)

    def rotate(self, n: int = 1) -> None:
        """Move so many items from the right end to the left; a negative number the other way."""
        with self._lock:
            self._weights.rotate(n)
            self._items.rotate(n)

    def resize(self, *, maxlen: int | None = KEEP, max_bytes: int | str | None = KEEP) -> None:  # type: ignore[override]  # its bound has another name
        """Change a bound, or lift it with None, as a `BoundedList` does."""
        super().resize(max_items=maxlen, max_bytes=max_bytes)

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, maxlen={self.maxlen})"

    def _whole(self) -> list[T]:
        with self._lock:
            return list(self._items)

    def _plain(self) -> deque[T]:
        with self._lock:
            return deque(self._items, self._max_items)

    def _take_first(self) -> T:
        value = self._items[0]
        self._bytes -= self._weights[0]
        del self._weights[0], self._items[0]  # No call, so no signal comes between.
        return value

    def _extendleft(self, items: list[T], weights: list[int]) -> None:
        all_items, all_weights = self._items, self._weights
        self._is_leftward = self._is_leftward or bool(items)
        all_weights.extendleft(weights)
        all_items.extendleft(items)
