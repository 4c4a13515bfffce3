"""What the bounded list and the bounded deque share: items in order, each with its weight."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import MutableSequence
from sys import maxsize
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from membudget.bounded.containers.held import CLAIM_EVERY, INT_BYTES, SMALL, Bounded
from membudget.bounded.containers.pieces import PIECE, take_in
from membudget.sizing import size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

T = TypeVar("T")

SLOT_BYTES = 16
"""Bytes that a place costs: a pointer to the item and one to its weight."""

_WHOLE = (list, tuple, deque, set, frozenset, dict, Bounded)
"""What is in memory already, and so is taken in at once."""


class BoundedSequence(Bounded, MutableSequence[T], Generic[T]):
    """Items in order within bounds, as far as a list and a deque are alike.

    Any thread may call any method. Looking for an item compares outside the lock.
    """

    _slot = SLOT_BYTES

    _items: Any
    _weights: Any
    _first = 0
    _is_leftward = False
    _clears = 0

    def __contains__(self, value: object) -> bool:
        return value in self._plain()

    def __iter__(self) -> Iterator[T]:
        return iter(self._plain())

    def __reversed__(self) -> Iterator[T]:
        return iter(self._plain().__reversed__())

    def __eq__(self, other: object) -> bool:
        theirs = self._comparable(other)
        return NotImplemented if theirs is None else bool(self._plain() == theirs)

    __hash__ = None  # type: ignore[assignment]  # as any list

    def __lt__(self, other: object) -> bool:
        theirs = self._comparable(other)
        return NotImplemented if theirs is None else bool(self._plain() < theirs)

    def __le__(self, other: object) -> bool:
        theirs = self._comparable(other)
        return NotImplemented if theirs is None else bool(self._plain() <= theirs)

    def __gt__(self, other: object) -> bool:
        theirs = self._comparable(other)
        return NotImplemented if theirs is None else bool(self._plain() > theirs)

    def __ge__(self, other: object) -> bool:
        theirs = self._comparable(other)
        return NotImplemented if theirs is None else bool(self._plain() >= theirs)

    def __add__(self, other: Any) -> Any:
        theirs = self._comparable(other)
        return NotImplemented if theirs is None else self._plain() + theirs

    def __radd__(self, other: Any) -> Any:
        theirs = self._comparable(other)
        return NotImplemented if theirs is None else theirs + self._plain()

    def __mul__(self, times: int) -> Any:
        return self._plain() * times

    __rmul__ = __mul__

    def __iadd__(self, values: Iterable[T]) -> Self:  # type: ignore[misc]  # as a list's
        self.extend(values)
        return self

    def __imul__(self, times: int) -> Self:
        items = list(self._plain())
        if times <= 0:
            self.clear()
        for _ in range(times - 1):
            self.extend(items)
        return self

    def __copy__(self) -> Self:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        memo[id(self)] = made = self._like()
        made.extend(copy.deepcopy(list(self._plain()), memo))
        return made  # type: ignore[no-any-return]

    def __reduce__(self) -> tuple[Any, ...]:
        return *self._remake(), iter(self)

    def copy(self) -> Self:
        """A container of the same name and bounds with the same items."""
        made = self._like()
        with self._lock:
            items, weights = list(self._plain()), self._heavy()
        made._take_in(items, weights)  # noqa: SLF001  # one of our own
        return made  # type: ignore[no-any-return]

    def index(self, value: Any, start: int = 0, stop: int = maxsize) -> int:
        """Where the first item equal to a value stands.

        Raises:
            ValueError: There is none.
        """
        return int(self._plain().index(value, start, stop))

    def count(self, value: Any) -> int:
        """How many items are equal to a value."""
        return int(self._plain().count(value))

    def remove(self, value: T) -> None:
        """Take out the first item equal to a value.

        Raises:
            ValueError: There is none.
        """
        while True:
            seen = self._plain()
            at = int(seen.index(value))
            item = seen[at]
            with self._lock:
                now = self._plain()
                if not (at < len(now) and now[at] is item):  # Another thread changed something.
                    at = next((i for i, one in enumerate(now) if one is item), -1)
                if at >= 0:
                    taken = self._take_at(at)
                    break
        del taken  # Its finalizer may do anything, so it goes outside the lock.

    def append(self, value: T) -> None:
        """Put an item at the end; what is too much goes from the front."""
        if self._size is None:
            weight = size_of(value) + SLOT_BYTES
            if weight > SMALL:
                weight += INT_BYTES
        else:
            weight = self._weigh(value)
        if weight > self._most_bytes and self._is_refused(weight):
            return
        gone: list[tuple[Any, ...]] = []
        with self._lock:
            items, weights = self._items, self._weights
            try:
                self._is_leftward = False
                self._bytes = held = self._bytes + weight
                weights.append(weight)
                items.append(value)
                self._added += 1
                self._unclaimed = unclaimed = self._unclaimed + weight
                if held > self._most_bytes or len(items) - self._first > self._most_items:
                    self._take_excess(gone)
            except BaseException:
                self._mend()
                raise
        if unclaimed >= CLAIM_EVERY or (gone and self._on_drop is not None):
            self._finish(gone)

    def extend(self, values: Iterable[T]) -> None:
        """Take in items at the end: at once where they are in memory, else in pieces.

        Where an iterator raises, what came before is in.
        """
        self._take_all(values, self._take_in)

    def clear(self) -> None:
        """Forget all items at once, then free them in steps. They do not count as dropped."""
        with self._lock:
            old = self._empty()
            self._clears += 1
        free(old)

    def _empty(self) -> Any:
        """Take all items out; under the lock, and without a call that something could follow."""
        raise NotImplementedError

    def _plain(self) -> Any:
        """The items as the builtin, copied under the lock."""
        raise NotImplementedError

    def _comparable(self, other: object) -> Any:
        """The items of another as the builtin; None where it is of another kind."""
        raise NotImplementedError

    def _heavy(self) -> list[int]:
        """The weights in order; under the lock."""
        return list(self._weights)

    def _take_at(self, index: int) -> T:
        raise NotImplementedError

    def _take_all(self, values: Iterable[T], put: Callable[[list[T], list[int]], object]) -> None:
        """Put in what is in memory at once; what is drawn, in pieces: it may be endless."""
        if isinstance(values, _WHOLE):
            if items := list(values):
                put(*self._weighed(items))
        else:
            take_in(values, self._weigh, lambda *piece: put(*self._fitting(*piece)))

    def _weighed(self, items: list[T]) -> tuple[list[T], list[int]]:
        """Items with their weights, without those that are refused."""
        return self._fitting(items, [self._weigh(item) for item in items])

    def _fitting(self, items: list[T], weights: list[int]) -> tuple[list[T], list[int]]:
        """Those that are not refused."""
        if weights and max(weights) > self._most_bytes:
            fit = [not self._is_refused(weight) for weight in weights]
            items = [item for item, fits in zip(items, fit, strict=True) if fits]
            weights = [weight for weight, fits in zip(weights, fit, strict=True) if fits]
        return items, weights

    def _take_in(self, items: list[T], weights: list[int]) -> None:
        """Put weighed items at the end."""
        self._put(items, weights, self._extend)

    def _extend(self, items: list[T], weights: list[int]) -> None:
        self._weights.extend(weights)
        self._items.extend(items)

    def _put(
        self, items: list[T], weights: list[int], put: Callable[[list[T], list[int]], object]
    ) -> Any:
        """Put in weighed items by a function that runs under the lock; returns what it does."""
        gone: list[tuple[Any, ...]] = []
        weight = sum(weights)
        with self._lock:
            clears = self._clears
            try:
                self._bytes += weight
                old = put(items, weights)
                self._added += len(items)
                self._unclaimed += weight
                if clears != self._clears:  # By a signal's handler, in the middle of this.
                    self._mend()
                self._take_excess(gone)
            except BaseException:
                self._mend()
                raise
        self._finish(gone)
        return old

    def _mend(self) -> None:
        items, weights = self._count(), self._weights
        usual = sum(weights) // max(1, len(weights))
        while len(weights) > items:
            weights.pop()
        while len(weights) < items:
            weights.append(usual)
        self._bytes = sum(weights)


def free(old: Any) -> None:
    """Free a list or a deque that nobody else has, some items at a time: others wait less."""
    if isinstance(old, deque):
        while old:
            old.pop()
    else:
        while old:
            del old[-PIECE:]
