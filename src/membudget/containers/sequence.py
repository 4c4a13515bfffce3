"""What the bounded list and the bounded deque share: items in order, each with its weight.

Items are weighed before the lock is taken, and dropped, told of and claimed from the budget after
it was given back. Under it nothing foreign runs but the comparisons of a sort.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import MutableSequence
from operator import eq, ge, gt, le, lt, ne
from sys import maxsize
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from membudget.cache.lock import ForkLock
from membudget.cache.table import bytes_bound, container_name
from membudget.containers.bounds import (
    DEFAULT_ITEMS,
    Bounded,
    ContainerStats,
    given,
    items_bound,
    stats_of,
)
from membudget.registry import REGISTRY
from membudget.sizing import checked, size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    from membudget.containers.bounds import Cause
    from membudget.core import Clock
    from membudget.registry import Registry

T = TypeVar("T")

SLOT_BYTES = 16
"""Bytes that a place costs: a pointer to the item and one to its weight."""

SMALL, INT_BYTES = 256, 32
"""The largest int that CPython keeps ready made, and the bytes of a weight above that."""

CLAIM_EVERY = 1 << 14
"""Bytes taken in between two questions to the budget, a 64th of what it looks at by itself."""

PIECE, PIECE_BYTES = 1024, 1 << 16
"""Items, and bytes, of what comes one by one that are put in at a time: so much waits outside."""

_BATCH, _BATCH_BYTES = 64, 1 << 20
"""Items and bytes dropped between two looks at the clock: well below a millisecond."""

_IN_MEMORY = (list, tuple, deque, set, frozenset, dict, Bounded)

_INFINITE = float("inf")


def _comparison(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def method(self: BoundedSequence[Any], other: Any) -> Any:
        theirs = self._comparable(other)
        return NotImplemented if theirs is None else compare(self._plain(), theirs)

    return method


class BoundedSequence(Bounded, ForkLock, MutableSequence[T], Generic[T]):
    """Items in order within bounds, as far as a list and a deque are alike.

    Any thread may call any method. Looking for an item compares outside the lock. Args and Raises
    are the list's.
    """

    _builtin: type[Any]

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
        super().__init__()
        self.name = container_name(name)
        self._given = given(size, on_drop, registry, clock)
        self._size, self._on_drop = size, on_drop
        self._registry = REGISTRY if registry is None else registry
        self._now = time.monotonic if clock is None else clock.now
        self._items, self._weights = self._builtin(), self._builtin()
        self._first = 0  # So many places at the front are empty.
        self._is_leftward = False  # The last came in there, so the right end gives way.
        self._bytes = self._added = self._refused = self._unclaimed = 0
        self._dropped: dict[str, int] = {"items": 0, "bytes": 0, "pressure": 0}
        self._set_bounds(items_bound(max_items, self._items_name), bytes_bound(max_bytes))
        self._registry.add(self)
        self.extend(iterable)

    def held_bytes(self) -> int:
        """The bytes all items weigh. Cost: 0.1 µs, no lock."""
        return self._bytes

    def reclaim(self, target: int, until: float) -> int:
        """Drop at least `target` bytes, the oldest items first.

        Args:
            target: Bytes.
            until: Monotonic time to stop at; overrun by less than 1 ms, or by one large item.

        Returns:
            Bytes dropped.

        Raises:
            Exception: What `on_drop` raised first, after all of them were dropped.
        """
        freed, error = self._let_go(target, until)
        if error is not None:
            raise error
        return freed

    def stats(self) -> ContainerStats:
        """The figures; reading them changes nothing."""
        with self._lock:
            return stats_of(self, self._added, self._dropped.copy(), self._refused)

    def __contains__(self, value: object) -> bool:
        return value in self._plain()

    def __iter__(self) -> Iterator[T]:
        return iter(self._plain())

    def __reversed__(self) -> Iterator[T]:
        return iter(self._plain().__reversed__())

    __eq__, __ne__ = _comparison(eq), _comparison(ne)
    __lt__, __le__ = _comparison(lt), _comparison(le)
    __gt__, __ge__ = _comparison(gt), _comparison(ge)
    __hash__ = None  # type: ignore[assignment]  # as any list

    def __add__(self, other: Any) -> Any:
        theirs = self._comparable(other)
        return NotImplemented if theirs is None else self._plain() + theirs

    def __radd__(self, other: Any) -> Any:
        theirs = self._comparable(other)
        return NotImplemented if theirs is None else theirs + self._plain()

    def __mul__(self, times: int) -> Any:
        return self._plain() * times

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Self:
        items = self._whole()
        if times <= 0:
            self.clear()
        for _ in range(times - 1):
            self.extend(items)
        return self

    def index(self, value: Any, start: int = 0, stop: int = maxsize) -> int:
        """Where the first item equal to a value stands.

        Raises:
            ValueError: There is none.
        """
        return int(self._plain().index(value, start, stop))

    def remove(self, value: T) -> None:
        """Take out the first item equal to a value.

        Raises:
            ValueError: There is none.
        """
        while True:
            seen = self._plain()
            item = seen[seen.index(value)]
            with self._lock:  # Where it stands now: another thread may have changed something.
                for at, one in enumerate(self._plain()):
                    if one is item:
                        self._take_at(at)
                        return

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
        gone: list[tuple[T, str]] = []
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
        """Take in items at the end: at once where they are in memory, else in pieces.

        Where an iterator raises, what came before is in.
        """
        self._draw(values, self._extend)

    def clear(self) -> None:
        """Forget all items at once, then free them in steps. They do not count as dropped."""
        with self._lock:
            old, self._items, self._weights = self._items, self._builtin(), self._builtin()
            self._first = self._bytes = 0
        while old:  # One by one: others wait less.
            old.pop()

    def _count(self) -> int:
        return len(self._items) - self._first

    def _plain(self) -> Any:
        """The items as the builtin, copied under the lock."""
        raise NotImplementedError

    def _whole(self) -> list[Any]:
        return list(self._plain())

    def _comparable(self, other: object) -> Any:
        """The items of another as the builtin; None where it is of another kind."""
        if isinstance(other, BoundedSequence) and other._builtin is self._builtin:  # noqa: SLF001
            return other._plain()  # noqa: SLF001  # one of our own
        return other if isinstance(other, self._builtin) else None

    def _take_at(self, index: int) -> T:
        """Take one item out; under the lock."""
        raise NotImplementedError

    def _take_oldest(self) -> T:
        """Take out the item that goes first; under the lock, and there is one."""
        raise NotImplementedError

    def _bounds(self) -> tuple[int | None, int | None]:
        return self._max_items, self._max_bytes

    def _bind(self, max_items: int | None, max_bytes: int | None) -> None:
        with self._lock:
            self._set_bounds(max_items, max_bytes)
        error = self._let_go(None)[1]
        if error is not None:
            raise error

    def _set_bounds(self, max_items: int | None, max_bytes: int | None) -> None:
        self._max_items, self._max_bytes = max_items, max_bytes
        is_free = max_items is None and max_bytes is None
        self._most_items: float = max_items or (DEFAULT_ITEMS if is_free else _INFINITE)
        self._most_bytes: float = max_bytes or _INFINITE

    def _weigh(self, item: T) -> int:
        if self._size is None:
            weight = SLOT_BYTES + size_of(item)
        else:
            weight = SLOT_BYTES + checked(self._size(item), f"the size of an item in {self.name!r}")
        return weight if weight <= SMALL else weight + INT_BYTES

    def _is_refused(self, weight: int) -> bool:
        """Whether a weight is more than the bound, and then count it."""
        if weight <= self._most_bytes:
            return False
        with self._lock:
            self._refused += 1
        return True

    def _draw(self, values: Iterable[T], put: Callable[[list[T], list[int]], object]) -> None:
        """Weigh items and put them in.

        All at once, or of an iterator, which may be endless, so many that hardly any waits outside
        the bounds.
        """
        is_whole = isinstance(values, _IN_MEMORY)
        items: list[T] = []
        weights: list[int] = []
        held = 0
        try:
            for value in list(values) if is_whole else values:
                weight = self._weigh(value)
                items.append(value)
                weights.append(weight)
                held += weight
                if not is_whole and (held >= PIECE_BYTES or len(items) >= PIECE):
                    full = items, weights
                    items, weights, held = [], [], 0
                    self._put(*full, put)
                    del full
                del value
        except BaseException:
            if not is_whole and items:
                self._put(items, weights, put)
            raise
        self._put(items, weights, put)

    def _take_in(self, items: list[T]) -> None:
        self.extend(items)

    def _put(
        self, items: list[T], weights: list[int], put: Callable[[list[T], list[int]], object]
    ) -> object:
        """Put in those weighed items that are not too heavy; returns what they replace."""
        if weights and max(weights) > self._most_bytes:
            fit = [not self._is_refused(weight) for weight in weights]
            items = [item for item, fits in zip(items, fit, strict=True) if fits]
            weights = [weight for weight, fits in zip(weights, fit, strict=True) if fits]
        gone: list[tuple[T, str]] = []
        held = sum(weights)
        with self._lock:
            try:
                self._bytes += held
                self._unclaimed += held
                self._added += len(items)
                replaced = put(items, weights)
                self._take_out(gone)
            except BaseException:
                self._mend()
                raise
        self._finish(gone)
        return replaced

    def _extend(self, items: list[T], weights: list[int]) -> None:
        all_items, all_weights = self._items, self._weights
        self._is_leftward = self._is_leftward and not items
        all_weights.extend(weights)
        all_items.extend(items)

    def _take_out(
        self, gone: list[tuple[T, str]], target: int | None = None, most: int = maxsize
    ) -> int:
        """Take out what is beyond the bounds, or bytes for the budget; returns how many bytes."""
        before = self._bytes
        while len(gone) < most and (count := len(self._items) - self._first):
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
            gone.append((self._take_oldest(), cause))
            self._dropped[cause] += 1
        return before - self._bytes

    def _is_lifted(self) -> bool:
        """Whether it was given no bound in items, and lives under a budget.

        Then what it holds becomes the bound for when the budget has ended: what it let it have is
        not dropped for that.
        """
        if self._max_items is not None or self._registry.meter is None:
            return False
        self._most_items = max(DEFAULT_ITEMS, self._count())
        return True

    def _finish(self, gone: list[tuple[T, str]]) -> None:
        """After the lock: tell of what was dropped, and ask the budget for what was taken in."""
        error = self._tell(gone)
        if self._unclaimed >= CLAIM_EVERY:
            with self._lock:
                claimed, self._unclaimed = self._unclaimed, 0
            meter = self._registry.meter
            if self._max_items is self._max_bytes is None:
                self._is_lifted()  # It may hold less by now.
            wanted = meter.claim(claimed) if meter is not None and claimed else 0
            if wanted > 0:
                later = self._let_go(wanted)[1]
                error = later if error is None else error
        if error is not None:
            raise error

    def _let_go(
        self, target: int | None, until: float | None = None
    ) -> tuple[int, Exception | None]:
        """Drop so many bytes, or with None what is beyond the bounds, batch by batch."""
        freed, first = 0, None
        gone: list[tuple[T, str]] = []

        def take() -> None:
            nonlocal freed
            freed += self._take_out(gone, None if target is None else target - freed, _BATCH)

        while self._under_lock(until, take) and gone:
            error = self._tell(gone)
            first = error if first is None else first
        return freed, first

    def _tell(self, gone: list[tuple[T, str]]) -> Exception | None:
        """Tell of what was taken out and drop it, outside the lock; returns the first error."""
        first, tell = None, self._on_drop
        if tell is not None:
            for item, cause in gone:
                try:
                    tell(item, cause)  # type: ignore[arg-type]  # it is one
                except Exception as error:  # noqa: BLE001  # raised by the caller, at the end
                    first = error if first is None else first
        gone.clear()
        return first

    def _mend(self) -> None:
        """After a signal's handler raised in the middle of a change, or a fork came there."""
        items, weights = self._items, self._weights
        del self._items[len(weights) :], self._weights[len(items) :]
        self._bytes = sum(weights)
