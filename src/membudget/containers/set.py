"""A set that keeps a bound in items and in bytes, and drops what was added first."""

from __future__ import annotations

from collections.abc import MutableSet
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, TypeVar

from membudget.cache.cache import GovernedTable
from membudget.containers.bounds import given
from membudget.containers.ordered import CAUSES, OrderedTable
from membudget.sizing import checked, size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from membudget.cache.table import Cause as TableCause
    from membudget.containers.bounds import Cause
    from membudget.core import Clock
    from membudget.registry import Registry

T = TypeVar("T")


class _Absent:
    """In place of a method that a set has not."""

    def __get__(self, one: object, kind: type[Any]) -> Any:
        raise AttributeError(f"a {kind.__name__} has no keys or values, only items")


class BoundedSet(OrderedTable[T, T], MutableSet[T]):
    """A `set` that knows its bytes, keeps a bound, and shrinks when asked.

    At its bounds the item added first goes; adding one that is there changes nothing. Any thread
    may call any method; one that changes many items does so one after the other. Iterating goes
    over a copy, in the order of adding. An item heavier than `max_bytes` is refused without an
    exception, and counted. `&`, `|`, `-`, `^` and their methods give plain sets; `copy` gives
    another of its kind, with the same name and bounds.

    `on_drop(item, cause)` is called after an item was dropped, in the thread that did it. What it
    raises reaches that thread once everything is in order. What is popped, removed or cleared was
    not dropped.

    Cost: 0.6 µs for `add`, and what weighing the item takes; to iterate, even to the first item
    only, copies all: 0.01 µs each.

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

    # An item stands under itself, so that whoever walks a table's values finds it. But it is no
    # mapping, and must not be taken for one.
    keys = values = items = _Absent()
    __getitem__ = __setitem__ = __delitem__ = None  # type: ignore[assignment]

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
        def weigh(item: T) -> int:
            """What an item holds beyond what the table counts of it as a key, all of it or less."""
            if size is None:
                return 0
            return max(0, checked(size(item), f"the size of an item in {name!r}") - size_of(item))

        def drop(item: T, _: T, cause: TableCause) -> None:
            on_drop(item, CAUSES[cause])  # type: ignore[misc]  # there is one

        super().__init__(
            name,
            max_items,
            max_bytes,
            given(size, on_drop, registry, clock),
            weigh=weigh,
            listener=None if on_drop is None else drop,
        )
        self.update(iterable)

    def __iter__(self) -> Iterator[T]:
        return iter(GovernedTable.values(self))

    def add(self, value: T) -> None:
        """Put an item in where it is not there; what is too much goes, the first added first."""
        if value not in self:
            self._setdefault(value, value)

    def discard(self, value: T) -> None:
        """Take an item out where it is there."""
        self.delete(value)

    def remove(self, value: T) -> None:
        """Take an item out.

        Raises:
            KeyError: It is not there.
        """
        if not self.delete(value):
            raise KeyError(value)

    def pop(self) -> T:  # type: ignore[override]  # as a set's
        """Take out the item added first.

        Raises:
            KeyError: There is none.
        """
        pair = self._popitem(False)  # by place alone
        if pair is None:
            raise KeyError("pop from an empty set")
        return pair[0]

    def update(self, *others: Iterable[T]) -> None:
        """Put items in, one after the other as they are drawn.

        Where an iterator raises, what came before is in.
        """
        for other in others:
            for item in other:
                BoundedSet.add(self, item)  # Not a subclass's, as with a set.

    def difference_update(self, *others: Iterable[Any]) -> None:
        """Take out all items of others."""
        for item in self._common(set().union(*others)):
            self.delete(item)

    def intersection_update(self, *others: Iterable[Any]) -> None:
        """Take out what is not in all others."""
        left = set(self).intersection(*others)
        for item in self:
            if item not in left:
                self.delete(item)

    def symmetric_difference_update(self, other: Iterable[T]) -> None:
        """Take out what is in the other, and put in what is only there."""
        fresh = [item for item in dict.fromkeys(other) if not self.delete(item)]
        self.update(fresh)

    def union(self, *others: Iterable[Any]) -> set[Any]:
        """A plain set of these items and those of others."""
        return set(self).union(*others)

    def intersection(self, *others: Iterable[Any]) -> set[T]:
        """A plain set of what is here and in all others."""
        first, *more = others or (self,)
        return self._common(set(first).intersection(*more))

    def difference(self, *others: Iterable[Any]) -> set[T]:
        """A plain set of what is here and in no other."""
        return set(self).difference(*others)

    def symmetric_difference(self, other: Iterable[Any]) -> set[Any]:
        """A plain set of what is in exactly one."""
        return set(self).symmetric_difference(other)

    def issubset(self, other: Iterable[Any]) -> bool:
        """Whether all items are in the other."""
        theirs = set(other)
        return len(self) <= len(theirs) and set(self) <= theirs

    def issuperset(self, other: Iterable[Any]) -> bool:
        """Whether all of the other's items are here."""
        return all(item in self for item in other)

    def isdisjoint(self, other: Iterable[Any]) -> bool:
        """Whether no item is in both."""
        return not any(item in self for item in other)

    __hash__ = None  # type: ignore[assignment]  # as any set

    def __and__(self, other: Any) -> Any:
        return self._common(set(other)) if isinstance(other, AbstractSet) else NotImplemented

    def __or__(self, other: Any) -> Any:
        return set(self) | set(other) if isinstance(other, AbstractSet) else NotImplemented

    def __sub__(self, other: Any) -> Any:
        return set(self) - set(other) if isinstance(other, AbstractSet) else NotImplemented

    def __xor__(self, other: Any) -> Any:
        return set(self) ^ set(other) if isinstance(other, AbstractSet) else NotImplemented

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __rsub__(self, other: Any) -> Any:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        return set(other) - self._common(set(other))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        return len(self) == len(other) and set(self) == set(other)

    def __ior__(self, other: Any) -> Any:  # sets only, as a set has it
        return self._changed(self.update, other)

    def __iand__(self, other: Any) -> Any:
        return self._changed(self.intersection_update, other)

    def __isub__(self, other: Any) -> Any:
        return self._changed(self.difference_update, other)

    def __ixor__(self, other: Any) -> Any:
        return self._changed(self.symmetric_difference_update, other)

    def _changed(self, change: Callable[[Any], None], other: Any) -> Any:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        change(other)
        return self

    def _common(self, items: set[Any]) -> set[Any]:
        """Those that are here, by looking up the smaller of both in the other."""
        if len(items) < len(self):
            return {item for item in items if item in self}
        return items.intersection(self)

    def _whole(self) -> list[Any]:
        return list(self)

    def _take_in(self, items: list[Any]) -> None:
        self.update(items)
