"""What a set can be compared and combined with: each time on a copy, and the result is plain."""

from __future__ import annotations

from collections.abc import MutableSet
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")


class SetAlgebra(MutableSet[T]):
    """The operators of `set` and the methods behind them, over a copy made by iterating.

    Operators take sets of any kind on either side, methods any iterables. What changes the set
    itself is left to `update`, `intersection_update` and the like.
    """

    __hash__ = None  # type: ignore[assignment]  # as any set

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
        return set(self) == set(other) if isinstance(other, AbstractSet) else NotImplemented

    def __le__(self, other: Any) -> bool:
        return set(self) <= set(other) if isinstance(other, AbstractSet) else NotImplemented

    def __lt__(self, other: Any) -> bool:
        return set(self) < set(other) if isinstance(other, AbstractSet) else NotImplemented

    def __ge__(self, other: Any) -> bool:
        return set(self) >= set(other) if isinstance(other, AbstractSet) else NotImplemented

    def __gt__(self, other: Any) -> bool:
        return set(self) > set(other) if isinstance(other, AbstractSet) else NotImplemented

    def __and__(self, other: Any) -> Any:
        return set(self) & set(other) if isinstance(other, AbstractSet) else NotImplemented

    def __or__(self, other: Any) -> Any:
        return set(self) | set(other) if isinstance(other, AbstractSet) else NotImplemented

    def __sub__(self, other: Any) -> Any:
        return set(self) - set(other) if isinstance(other, AbstractSet) else NotImplemented

    def __xor__(self, other: Any) -> Any:
        return set(self) ^ set(other) if isinstance(other, AbstractSet) else NotImplemented

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __rsub__(self, other: Any) -> Any:
        return set(other) - set(self) if isinstance(other, AbstractSet) else NotImplemented

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
        return set(self).intersection(*others)

    def difference(self, *others: Iterable[Any]) -> set[T]:
        """A plain set of what is here and in no other."""
        return set(self).difference(*others)

    def symmetric_difference(self, other: Iterable[Any]) -> set[Any]:
        """A plain set of what is in exactly one."""
        return set(self).symmetric_difference(other)

    def issubset(self, other: Iterable[Any]) -> bool:
        """Whether all items are in the other."""
        return set(self).issubset(other)

    def issuperset(self, other: Iterable[Any]) -> bool:
        """Whether all of the other's items are here."""
        return set(self).issuperset(other)

    def isdisjoint(self, other: Iterable[Any]) -> bool:
        """Whether no item is in both."""
        return set(self).isdisjoint(other)
