"""What the bounded list and the bounded deque share: items in one builtin, weights in another.

The foremost places of a list may be empty, so that its front gives way at once. Items are weighed
before the lock is taken; told of, freed and claimed from the budget after it was given back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import MutableSequence
from itertools import compress
from operator import eq, ge, gt, le, lt, ne
from operator import index as as_index
from sys import maxsize
from typing import TYPE_CHECKING, Any, Generic, SupportsIndex

from membudget.cache.table import bytes_bound, check_functions, entries_bound
from membudget.containers import (
    DEFAULT_ITEMS,
    INFINITE,
    NO_ITEMS,
    Bounded,
    ContainerStats,
    Holding,
    T,
)
from membudget.errors import hinted, missing
from membudget.sizing import checked, size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import ClassVar, Self, TypeAlias

    from membudget.containers import Cause
    from membudget.core import Clock
    from membudget.registry import Registry

    Operation: TypeAlias = Callable[[Any, Any], Any]
    Put: TypeAlias = Callable[[list[Any], list[int]], object]
    """Puts weighed items in, under the lock; returns what they replace."""

SLOT_BYTES, INT_BYTES, SMALL = 16, 32, 256
"""Bytes that a place costs, for pointers to the item and its weight; of the weight itself, which is
an int; and the largest that CPython keeps ready made, and so costs nothing."""

CLAIM_EVERY = 1 << 14
"""Bytes between two questions to the budget, a 64th of what it looks at by itself."""

_PIECE, _PIECE_BYTES = 1024, 1 << 16  # What of an iterator is put in at a time, and waits outside.
_BATCH, _BATCH_BYTES = 64, 1 << 20  # Dropped between two looks at the clock: below 1 ms.
_SPARE = 64  # Empty places at the front that are left for a while.
_IN_MEMORY = (list, tuple, deque, set, frozenset, dict, Bounded)


def _operation(operate: Operation) -> Operation:
    """Does with the items what the builtin does, with another of its kind."""

    def method(self: BoundedSequence[Any], other: Any) -> Any:
        kind = self._builtin
        if isinstance(other, BoundedSequence) and other._builtin is kind:  # noqa: SLF001  # one of ours
            other = other._plain()  # noqa: SLF001  # likewise
        elif not isinstance(other, kind):
            return NotImplemented
        return operate(self._plain(), other)

    return method


class BoundedSequence(Bounded, Holding, MutableSequence[T], Generic[T]):
    """What a `BoundedList` and a `BoundedDeque` share."""

    _builtin: type[Any]
    _items: Any
    _weights: Any

    if not TYPE_CHECKING:  # They would take it that there is every attribute.
        __getattr__ = missing

    @hinted
    def __init__(
        self,
        name: str,
        iterable: Iterable[T] = NO_ITEMS,
        *,
        max_items: int | None = None,
        max_bytes: int | str | None = None,
        size: Callable[[T], int] | None = None,
        on_drop: Callable[[T, Cause], object] | None = None,
        registry: Registry | None = None,
        clock: Clock | None = None,
        replace: bool = False,
    ) -> None:
        super().__init__(name, registry, clock)
        self._given = {
            "name": name,
            "size": size,
            "on_drop": on_drop,
            "registry": registry,
            "clock": clock,
        }
        check_functions(size, on_drop, "on_drop", ("item", "cause"))
        self._size, self._on_drop = size, on_drop
        self._items, self._weights = self._builtin(), self._builtin()
        self._first = 0  # So many places at the front are empty.
        self._is_leftward = False  # The last came in there, so the right end gives way.
        self._bytes = self._added = self._refused = self._unclaimed = 0
        self._dropped: dict[str, int] = {"items": 0, "bytes": 0, "pressure": 0}
        self._set_bounds(entries_bound(max_items, self._items_name), bytes_bound(max_bytes))
        self._registry.enter(self, replace=replace)
        self.extend(iterable)

    def held_bytes(self) -> int:
        """The bytes all items weigh. Cost: 0.1 µs, no lock."""
        return self._bytes

    def reclaim(self, target: int, until: float) -> int:
        """Drop at least `target` bytes, the oldest items first; returns the bytes.

        Overruns `until`, monotonic, by less than 1 ms or a large item; raises what `on_drop`
        raised.
        """
        return self._let_go(target, until)

    def stats(self) -> ContainerStats:
        """The figures; reading them changes nothing."""
        with self._lock:
            return self._figures(self._added, self._dropped.copy(), self._refused)

    def __len__(self) -> int:
        with self._lock:
            return len(self._items) - self._first

    def __setitem__(self, index: SupportsIndex, value: T) -> None:  # type: ignore[override]
        def put(items: list[T], weights: list[int]) -> T:
            at = self._place(index)
            if not items:  # It was refused; what stood there goes all the same.
                return self._take(at)
            old: T = self._items[at]
            self._bytes -= self._weights[at]
            self._weights[at], self._items[at] = weights[0], items[0]
            return old

        self._put([value], [self._weigh(value)], put)

    def __delitem__(self, index: SupportsIndex) -> None:  # type: ignore[override]
        with self._lock:
            taken = self._take(self._place(index))
        del taken  # Its finalizer may do anything, so it goes outside the lock.

    def __contains__(self, value: object) -> bool:
        return value in self._whole()

    def __iter__(self) -> Iterator[T]:
        return iter(self._whole())

    def __reversed__(self) -> Iterator[T]:
        backwards: Iterator[T] = reversed(self._whole())
        return backwards

    __eq__: ClassVar[Operation] = _operation(eq)
    __ne__: ClassVar[Operation] = _operation(ne)
    __lt__: ClassVar[Operation] = _operation(lt)
    __le__: ClassVar[Operation] = _operation(le)
    __gt__: ClassVar[Operation] = _operation(gt)
    __ge__: ClassVar[Operation] = _operation(ge)
    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # as any list

    __add__: ClassVar[Operation] = _operation(lambda mine, theirs: mine + theirs)
    __radd__: ClassVar[Operation] = _operation(lambda mine, theirs: theirs + mine)

    def __mul__(self, times: int) -> Any:
        return self._plain() * times

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Self:
        items = self._whole()
        if times <= 0:
            self.clear()
        for _ in range(times - 1):  # One after the other: all at once might be beyond any bound.
            self.extend(items)
        return self

    def index(self, value: Any, start: int = 0, stop: int = maxsize) -> int:
        """Where the first item equal to a value stands; a ValueError where there is none."""
        return int(self._plain().index(value, start, stop))

    def remove(self, value: T) -> None:
        """Take out the first item equal to a value; a ValueError where there is none."""
        while True:
            seen = self._plain()
            item = seen[seen.index(value)]
            with self._lock:  # Where it stands now: another thread may have changed something.
                for at, one in enumerate(self._whole()):
                    if one is item:
                        self._take(self._place(at))
                        return

    def append(self, value: T) -> None:
        """Put an item at the end; what is too much goes from the front."""
        if self._size is None:
            weight = size_of(value) + SLOT_BYTES
            if weight > SMALL:
                weight += INT_BYTES
        else:
            weight = self._weigh(value)
        if weight > self._most_bytes:
            self._put([value], [weight], self._extend)
            return
        gone: list[tuple[T, Cause]] = []
        with self._lock:
            try:
                items, weights = self._items, self._weights
                self._is_leftward = False
                # In this order: a signal's handler that clears it meanwhile finds sums that agree.
                self._bytes += weight
                weights.append(weight)
                items.append(value)
                self._added += 1
                self._unclaimed = unclaimed = self._unclaimed + weight
                if self._bytes > self._most_bytes or len(items) - self._first > self._most_items:
                    self._take_out(gone)
            except BaseException:
                self._mend()
                raise
        if unclaimed >= CLAIM_EVERY or (gone and self._on_drop is not None):
            self._finish(gone)

    def extend(self, values: Iterable[T]) -> None:
        """Take in items at the end; where an iterator raises, what came before is in."""
        self._draw(values, self._extend)

    def _take_in(self, items: list[T]) -> None:
        self.extend(items)

    def insert(self, index: SupportsIndex, value: T) -> None:
        """Put an item before a place; a full list drops its foremost; a deque: IndexError."""

        def put(items: list[T], weights: list[int]) -> None:
            if items and self._builtin is deque and self._count() >= (self._max_items or maxsize):
                raise IndexError("deque already at its maximum size")
            self._close()
            for item, weight in zip(items, weights, strict=True):
                self._weights.insert(index, weight)
                self._items.insert(index, item)

        self._put([value], [self._weigh(value)], put)

    def clear(self) -> None:
        """Forget all items at once, then free them in steps. They do not count as dropped."""
        with self._lock:
            old, self._items, self._weights = self._items, self._builtin(), self._builtin()
            self._first = self._bytes = 0
        while old:  # One by one: others wait less.
            old.pop()

    def reverse(self) -> None:
        """Turn the order around."""
        with self._lock:
            self._close()
            self._items.reverse()
            self._weights.reverse()

    def _count(self) -> int:
        return len(self._items) - self._first

    def _whole(self) -> list[T]:
        with self._lock:
            return self._items[self._first :]  # type: ignore[no-any-return]

    def _plain(self) -> Any:
        return self._whole()

    # Under the lock, from here to `_set_bounds`:

    def _place(self, index: SupportsIndex) -> int:
        """Where an item stands among all places, the empty ones included."""
        at, first, end = as_index(index), self._first, len(self._items)
        at += first if at >= 0 else end
        if first <= at < end:
            return at
        raise IndexError(f"{self._builtin.__name__} index out of range")

    def _close(self) -> None:
        """Take the empty places away."""
        if self._first:
            first, self._first = self._first, 0
            del self._weights[:first], self._items[:first]

    def _take_first(self) -> T:
        # The place stays, empty: to close the gap at every drop would be slow.
        items, weights, first = self._items, self._weights, self._first
        value: T = items[first]
        self._bytes -= weights[first]
        items[first], weights[first] = None, 0
        self._first = first = first + 1
        if first > _SPARE and first > len(items) >> 1:
            self._close()
        return value

    def _take(self, at: int) -> T:
        """Take out what stands at a place; -1 is the last."""
        if at == self._first:
            return self._take_first()
        value: T = self._items[at]
        self._bytes -= self._weights[at]
        del self._weights[at], self._items[at]
        return value

    def _extend(self, items: list[T], weights: list[int]) -> None:
        all_items, all_weights = self._items, self._weights
        self._is_leftward = self._is_leftward and not items
        all_weights.extend(weights)
        all_items.extend(items)

    def _set_bounds(self, max_items: int | None, max_bytes: int | None) -> None:
        self._max_items, self._max_bytes = max_items, max_bytes
        is_free = max_items is None and max_bytes is None
        self._most_items: float = max_items or (DEFAULT_ITEMS if is_free else INFINITE)
        self._most_bytes: float = max_bytes or INFINITE

    def _bounds(self) -> tuple[int | None, int | None]:
        return self._max_items, self._max_bytes

    def _bind(self, max_items: int | None, max_bytes: int | None) -> None:
        with self._lock:
            self._set_bounds(max_items, max_bytes)
        self._let_go(None)

    def _weigh(self, item: T) -> int:
        if self._size is None:
            weight = SLOT_BYTES + size_of(item)
        else:
            weight = SLOT_BYTES + checked(self._size(item), f"the size of an item in {self.name!r}")
        return weight if weight <= SMALL else weight + INT_BYTES

    def _draw(self, values: Iterable[T], put: Put) -> None:
        """Weigh items and put them in: of an iterator, which may be endless, piece by piece."""
        if isinstance(values, _IN_MEMORY):
            items = list(values)
            self._put(items, [self._weigh(value) for value in items], put)
            return
        items, weights, held = [], [], 0
        try:
            for value in values:
                weights.append(self._weigh(value))
                items.append(value)
                held += weights[-1]
                del value
                if held >= _PIECE_BYTES or len(items) >= _PIECE:
                    piece, items, weights, held = (items, weights), [], [], 0
                    self._put(*piece, put)
                    del piece
        finally:
            self._put(items, weights[: len(items)], put)

    def _put(self, items: list[T], weights: list[int], put: Put) -> object:
        """Put in those weighed items that are not too heavy; returns what they replace."""
        if weights and max(weights) > (most := self._most_bytes):
            fit = [weight <= most for weight in weights]
            items, weights = list(compress(items, fit)), list(compress(weights, fit))
            with self._lock:
                self._refused += len(fit) - len(items)
        gone: list[tuple[T, Cause]] = []
        held = sum(weights)
        with self._lock:
            try:
                self._bytes += held
                self._unclaimed += held
                replaced = put(items, weights)
                self._added += len(items)
                if self._bytes > self._most_bytes or self._count() > self._most_items:
                    self._take_out(gone)
            except BaseException:
                self._mend()
                raise
        if self._unclaimed >= CLAIM_EVERY or (gone and self._on_drop is not None):
            self._finish(gone)
        return replaced

    def _take_out(
        self, gone: list[tuple[T, Cause]], target: int | None = None, most: int = maxsize
    ) -> int:
        """Take out what is beyond the bounds, or bytes for the budget; returns how many bytes."""
        before = self._bytes
        while len(gone) < most and (count := len(self._items) - self._first):
            cause: Cause
            if target is not None:
                if before - self._bytes >= target:
                    break
                cause = "pressure"
            elif self._bytes > self._most_bytes:
                cause = "bytes"
            elif count <= self._most_items or self._is_lifted():
                break
            else:
                cause = "items"
            if most < maxsize and before - self._bytes >= _BATCH_BYTES:
                break
            gone.append((self._take(-1) if self._is_leftward else self._take_first(), cause))
            self._dropped[cause] += 1
        return before - self._bytes

    def _is_lifted(self) -> bool:
        """Whether it was given no bound, and lives under a budget."""
        if self._max_items is not None or self._registry.meter is None:
            return False
        # The bound for when the budget has ended: what it let it have is not dropped for that.
        self._most_items = max(DEFAULT_ITEMS, self._count())
        return True

    def _finish(self, gone: list[tuple[T, Cause]]) -> None:
        """After the lock: tell of what was dropped, and ask the budget for what was taken in."""
        error, wanted = self._tell(gone), 0
        if self._unclaimed >= CLAIM_EVERY:
            with self._lock:
                claimed, self._unclaimed = self._unclaimed, 0
            meter = self._registry.meter
            if self._max_items is self._max_bytes is None:
                self._is_lifted()  # It may hold less by now.
            wanted = meter.claim(claimed) if meter is not None and claimed else 0
        if wanted > 0:
            self._let_go(wanted, first=error)
        elif error is not None:
            raise error

    def _let_go(
        self, target: int | None, until: float | None = None, first: Exception | None = None
    ) -> int:
        """Drop so many bytes, or with None what is too much; raise the first error last."""
        freed = 0
        gone: list[tuple[T, Cause]] = []

        def take() -> int:
            return self._take_out(gone, None if target is None else target - freed, _BATCH)

        while (more := self._under_lock(until, take)) is not None and gone:
            freed += more
            first = self._tell(gone, first)
        if first is not None:
            raise first
        return freed

    def _tell(
        self, gone: list[tuple[T, Cause]], first: Exception | None = None
    ) -> Exception | None:
        """Tell of what was taken out and drop it, outside the lock; returns the first error."""
        for item, cause in gone if self._on_drop is not None else ():
            try:
                self._on_drop(item, cause)  # type: ignore[misc]  # there is one
            except Exception as error:  # noqa: BLE001  # raised by the caller, at the end
                first = error if first is None else first
        gone.clear()
        return first

    def _mend(self) -> None:
        """After a signal's handler raised in the middle of a change, or a fork came there."""
        self._close()
        for longer, other in ((self._items, self._weights), (self._weights, self._items)):
            while len(longer) > len(other):
                longer.pop()
        self._bytes = sum(self._weights)
