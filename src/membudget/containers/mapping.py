"""A dict that keeps a bound in items and in bytes, and drops what was longest unused."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import ItemsView, KeysView, Mapping, MutableMapping, ValuesView
from typing import TYPE_CHECKING, Any, overload

from membudget.cache.cache import GovernedTable
from membudget.cache.table import K, V
from membudget.containers.bounds import given
from membudget.containers.ordered import CAUSES, OrderedTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    from membudget.cache.table import Cause as TableCause
    from membudget.containers.bounds import Cause
    from membudget.core import Clock
    from membudget.registry import Registry

_MISSING: Any = object()


class BoundedDict(OrderedTable[K, V], MutableMapping[K, V]):
    """A `collections.OrderedDict` that knows its bytes, keeps a bound, and shrinks when asked.

    The order is that of use: reading by `[]`, `get` or `setdefault`, and writing, make an item the
    newest; `in`, iterating and `peek` change nothing. At its bounds the oldest item goes. Any
    thread may call any method; iterating goes over a copy. A value that weighs more than
    `max_bytes`, its key included, is refused without an exception, and counted; what stood under
    its key is gone. `|` gives a plain OrderedDict; `copy` gives another of its kind, with the same
    name and bounds.

    Where other threads use it, `dict(d.pairs())` makes a plain dict of it in one step; `dict(d)`
    and `{**d}` ask for keys first and then for each value, which is a use of it and a KeyError
    where it went meanwhile. Values are weighed when they come in; while a budget runs, those that
    may grow are weighed again now and then. `update`, `setdefault` and the constructor do not go
    through a subclass's `__setitem__`.

    `on_drop(key, value, cause)` is called after an item was dropped, in the thread that did it.
    What it raises reaches that thread once everything is in order. What is popped, replaced,
    deleted or cleared was not dropped.

    Cost: that of a `Cache`: 0.03 µs to read, 0.3 µs to write, and what weighing the value takes. To
    iterate, even to the first key only, copies all keys: 0.01 µs each.

    Args:
        name: What it is called in reports, events and settings.
        items: A mapping or pairs to begin with.
        max_items: The bound in items.
        max_bytes: The bound in bytes, or text such as "50MiB". With neither, it lives under the
            running budget; while there is none, on 10,000 items, or what the last one let it have.
        size: What a value holds, in bytes; None weighs it with `size_of`.
        on_drop: Called with key, value and the cause: "items", "bytes" or "pressure".
        registry: Where it registers and finds the budget; None is the process's own.
        clock: Where time comes from; None is the monotonic clock.

    Raises:
        ConfigError: An argument that cannot be used as given.
    """

    def __init__(
        self,
        name: str,
        items: Mapping[K, V] | Iterable[tuple[K, V]] = (),
        *,
        max_items: int | None = None,
        max_bytes: int | str | None = None,
        size: Callable[[V], int] | None = None,
        on_drop: Callable[[K, V, Cause], object] | None = None,
        registry: Registry | None = None,
        clock: Clock | None = None,
    ) -> None:
        def drop(key: K, value: V, cause: TableCause) -> None:
            on_drop(key, value, CAUSES[cause])  # type: ignore[misc]  # there is one

        super().__init__(
            name,
            max_items,
            max_bytes,
            given(size, on_drop, registry, clock),
            weigh=size,
            listener=None if on_drop is None else drop,
        )
        self.update(items)

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if hasattr(cls, "__missing__") and cls.__getitem__ is BoundedDict.__getitem__:
            cls.__getitem__ = _get_or_make  # type: ignore[method-assign]  # as dict has it

    @classmethod
    def fromkeys(
        cls, keys: Iterable[K], value: Any = None, *, name: str, **settings: Any
    ) -> BoundedDict[K, Any]:
        """A dict with the same value under all keys; it needs a name, and takes any bound."""
        return cls(name, ((key, value) for key in keys), **settings)

    def __iter__(self) -> Iterator[K]:
        return iter(GovernedTable.keys(self))

    def __reversed__(self) -> Iterator[K]:
        return reversed(list(self))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, BoundedDict):
            return self.pairs() == other.pairs()
        if isinstance(other, OrderedDict):  # These are the same in one order only.
            return self.pairs() == list(other.items())
        return dict(self.pairs()) == dict(other) if isinstance(other, Mapping) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as any dict

    def __or__(self, other: Any) -> Any:
        if not isinstance(other, Mapping):
            return NotImplemented
        return OrderedDict(self.pairs()) | OrderedDict(other.items())

    def __ror__(self, other: Any) -> Any:
        return other | OrderedDict(self.pairs()) if isinstance(other, dict) else NotImplemented

    def __ior__(self, other: Any) -> Self:
        self.update(other)
        return self

    def pairs(self) -> list[tuple[K, V]]:
        """Keys and values at one moment, longest unused first. Changes nothing."""
        return GovernedTable.items(self)

    def keys(self) -> SnapshotKeys[K]:  # type: ignore[override]  # a table gives a list
        """The keys, longest unused first; iterating goes over a copy."""
        return SnapshotKeys(self)

    def values(self) -> SnapshotValues[V]:  # type: ignore[override]
        """The values, longest unused first; iterating goes over a copy and changes nothing."""
        return SnapshotValues(self)

    def items(self) -> SnapshotItems[K, V]:  # type: ignore[override]
        """Keys and values, longest unused first; iterating goes over a copy, changing nothing."""
        return SnapshotItems(self)

    def popitem(self, last: bool = True) -> tuple[K, V]:  # noqa: FBT001, FBT002  # as OrderedDict's
        """Take out the newest item, or the oldest.

        Raises:
            KeyError: There is none.
        """
        pair = self._popitem(last)
        if pair is None:
            raise KeyError("dictionary is empty")
        return pair

    def move_to_end(self, key: K, last: bool = True) -> None:  # noqa: FBT001, FBT002
        """Make an item the newest, or the oldest.

        Raises:
            KeyError: There is none.
        """
        if not self._move_to_end(key, last):
            raise KeyError(key)

    @overload
    def setdefault(self, key: K, default: None = None) -> V | None: ...
    @overload
    def setdefault(self, key: K, default: V) -> V: ...
    def setdefault(self, key: K, default: Any = None) -> Any:
        """The value under a key; where there is none, the default, which is then put there."""
        return self._setdefault(key, default)

    def update(self, items: Any = (), /, **more: Any) -> None:
        """Put in a mapping or pairs, one after the other as they are drawn.

        Where an iterator raises, what came before is in.
        """
        if hasattr(items, "keys") and not hasattr(items, "items"):
            items = ((key, items[key]) for key in items.keys())  # noqa: SIM118  # no mapping
        for some in (items, more):
            self.set_many(some)  # type: ignore[arg-type]  # names are keys

    def _whole(self) -> list[Any]:
        return self.pairs()

    def _take_in(self, items: list[Any]) -> None:
        self.set_many(items)


class _Snapshot:
    """A view that looks at a copy of the moment. Any thread may use it."""

    _mapping: Any

    def __iter__(self) -> Iterator[Any]:
        yield from self._mapping

    def __reversed__(self) -> Iterator[Any]:
        return iter(list(self)[::-1])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)!r})"


class SnapshotKeys(_Snapshot, KeysView[K]):
    """The keys of a bounded dict; `&`, `|`, `-` and `^` give plain sets."""


class SnapshotValues(_Snapshot, ValuesView[V]):
    """The values of a bounded dict. Looking at them is no use of them."""

    def __contains__(self, value: object) -> bool:
        return value in list(self)

    def __iter__(self) -> Iterator[V]:
        return iter([value for _, value in self._mapping.pairs()])


class SnapshotItems(_Snapshot, ItemsView[K, V]):
    """The items of a bounded dict. Looking at them is no use of them."""

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, tuple) or len(item) != 2:  # noqa: PLR2004  # a key and a value
            return False
        value = self._mapping.peek(item[0], _MISSING)
        return value is not _MISSING and bool(value is item[1] or value == item[1])

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return iter(self._mapping.pairs())


def _get_or_make(one: Any, key: Any) -> Any:
    value = one.get(key, _MISSING)
    return type(one).__missing__(one, key) if value is _MISSING else value
