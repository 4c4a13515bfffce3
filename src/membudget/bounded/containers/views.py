"""What `keys()`, `values()` and `items()` of a bounded dict give: views that look at copies."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import ItemsView, KeysView, Mapping, MutableMapping, ValuesView
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Self

    class Snapshotted(Protocol):
        """A mapping that can be copied without changing the order of use."""

        def pairs(self) -> list[tuple[Any, Any]]:
            """Keys and values now."""


K = TypeVar("K")
V = TypeVar("V")


class SnapshotKeys(KeysView[K], Generic[K]):
    """The keys of a bounded dict. Any thread may use it; `&`, `|`, `-` and `^` give plain sets."""

    _mapping: Any

    def __init__(self, mapping: Snapshotted) -> None:
        super().__init__(mapping)  # type: ignore[arg-type]  # not only a Mapping's

    def __iter__(self) -> Iterator[K]:
        return iter(self._mapping)

    def __reversed__(self) -> Iterator[K]:
        return iter(list(reversed(self._mapping)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)!r})"


class SnapshotValues(ValuesView[V], Generic[V]):
    """The values of a bounded dict. Looking at them is no use of them. Any thread may."""

    _mapping: Any

    def __init__(self, mapping: Snapshotted) -> None:
        super().__init__(mapping)  # type: ignore[arg-type]  # not only a Mapping's

    def __contains__(self, value: object) -> bool:
        return value in list(self)

    def __iter__(self) -> Iterator[V]:
        return iter([value for _, value in self._mapping.pairs()])

    def __reversed__(self) -> Iterator[V]:
        return iter(list(self)[::-1])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)!r})"


class SnapshotItems(ItemsView[K, V], Generic[K, V]):
    """The items of a bounded dict. Looking at them is no use of them. Any thread may."""

    _mapping: Any

    def __init__(self, mapping: Snapshotted) -> None:
        super().__init__(mapping)  # type: ignore[arg-type]  # not only a Mapping's

    @classmethod
    def _from_iterable(cls, items: Iterable[Any]) -> set[Any]:
        return set(items)

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, tuple) or len(item) != 2:  # noqa: PLR2004  # a key and a value
            return False
        missing = object()
        value = self._mapping.peek(item[0], missing)
        return value is not missing and bool(value is item[1] or value == item[1])

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return iter(self._mapping.pairs())

    def __reversed__(self) -> Iterator[tuple[K, V]]:
        return iter(list(self)[::-1])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)!r})"


class Ordered(MutableMapping[K, V], Generic[K, V]):
    """A mapping with an order, which looking does not change: its views, operators, comparisons."""

    def pairs(self) -> list[tuple[K, V]]:
        """Keys and values now."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        if isinstance(other, (OrderedDict, Ordered)):  # These are the same in one order only.
            return self.pairs() == (
                other.pairs() if isinstance(other, Ordered) else list(other.items())
            )
        return dict(self.pairs()) == dict(other)

    __hash__ = None  # type: ignore[assignment]  # as any dict

    def __or__(self, other: Any) -> Any:
        return (
            OrderedDict(self.pairs()) | dict(other)
            if isinstance(other, Mapping)
            else NotImplemented
        )

    def __ror__(self, other: Any) -> Any:
        return other | OrderedDict(self.pairs()) if isinstance(other, dict) else NotImplemented

    def __ior__(self, other: Any) -> Self:
        self.update(other)
        return self

    def keys(self) -> SnapshotKeys[K]:
        """The keys, longest unused first; iterating goes over a copy."""
        return SnapshotKeys(self)

    def values(self) -> SnapshotValues[V]:
        """The values, longest unused first; iterating goes over a copy and changes nothing."""
        return SnapshotValues(self)

    def items(self) -> SnapshotItems[K, V]:
        """Keys and values, longest unused first; iterating goes over a copy, changing nothing."""
        return SnapshotItems(self)


def pairs_of(items: Any) -> Any:
    """What a dict can be updated with, as pairs: in a list where they are in memory already."""
    if isinstance(items, Ordered):
        return items.pairs()
    if isinstance(items, dict):
        return list(items.items())
    if isinstance(items, Mapping):
        return items.items()
    if hasattr(items, "keys"):
        return ((key, items[key]) for key in items.keys())  # noqa: SIM118  # no mapping
    return items
