"""What a set can be compared and combined with: the result is plain.

Where the other is smaller, its items are looked up; else, or where all of this set is in the
result, it is done on a copy.
"""

from __future__ import annotations

from collections.abc import MutableSet
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")


class SetAlgebra(MutableSet[T]):
    """The operators of `set` and the methods behind them.

    Operators take sets of any kind on either side, methods any iterables. What changes the set
    itself is left to `update`, `intersection_update` and the like.
    """

    __hash__ = None  # type: ignore[assignment]  # as any set

    def _held(self, items: set[Any]) -> set[Any]:
        """Those items that are here, at one moment."""
        raise NotImplementedError

    def _common(self, items: set[Any]) -> set[Any]:
        """The same, by looking up the smaller of both in the other."""
        return self._held(items) if len(items) < len(self) else items.intersection(set(self))

    def _has_all(self, items: set[Any]) -> bool:
        return len(items) <= len(self) and len(self._held(items)) == len(items)

    def update(self, *others: Iterable[T]) -> None:
        """Put items in."""
        raise NotImplementedError

    def intersection_update(self, *others: Iterable[Any]) -> None:
        """Take out what is not in all others."""
        raise NotImplementedError

    def difference_update(self, *others: Iterable[Any]) -> None:
        """Take out all items of others."""
        raise NotImplementedError

    def symmetric_difference_update(self, other: Iterable[T]) -> None:
        """Take out what is in the other, and put in what is only there."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        return len(self) == len(other) and set(self) == set(other)

    def __le__(self, other: Any) -> bool:
        return self.issubset(other) if isinstance(other, AbstractSet) else NotImplemented

    def __lt__(self, other: Any) -> bool:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        return len(self) < len(other) and set(self) < set(other)

    def __ge__(self, other: Any) -> bool:
        return self.issuperset(other) if isinstance(other, AbstractSet) else NotImplemented

    def __gt__(self, other: Any) -> bool:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        return len(self) > len(other) and self._has_all(set(other))

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
        theirs = set(other)
        return theirs - self._common(theirs)

    def __ior__(self, other: Any) -> Any:
        return self._changed(other, self.update)

    def __iand__(self, other: Any) -> Any:
        return self._changed(other, self.intersection_update)

    def __isub__(self, other: Any) -> Any:
        return self._changed(other, self.difference_update)

    def __ixor__(self, other: Any) -> Any:
        return self._changed(other, self.symmetric_difference_update)

    def _changed(self, other: Any, change: Callable[[Any], None]) -> Any:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        change(other)
        return self

    def union(self, *others: Iterable[Any]) -> set[Any]:
        """A plain set of these items and those of others."""
        return set(self).union(*others)

    def intersection(self, *others: Iterable[Any]) -> set[T]:
        """A plain set of what is here and in all others."""
        if not others:
            return set(self)
        return self._common(set(others[0]).intersection(*others[1:]))

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
        return self._has_all(set(other))

    def isdisjoint(self, other: Iterable[Any]) -> bool:
        """Whether no item is in both."""
        return not self._common(set(other))
