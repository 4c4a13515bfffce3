"""A dict and a set bounded in items and bytes: faces of the caches' table, in LRU order."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import ItemsView, KeysView, Mapping, MutableMapping, MutableSet, ValuesView
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, overload

from membudget.cache.cache import GovernedTable
from membudget.cache.table import K, V, bytes_bound, check_functions, container_name, entries_bound
from membudget.containers import DEFAULT_ITEMS, NO_ITEMS, Bounded, ContainerStats, T
from membudget.errors import hinted, missing
from membudget.registry import REGISTRY
from membudget.sizing import checked, size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import ClassVar, Self

    from membudget.cache.table import Cause as TableCause
    from membudget.containers import Cause
    from membudget.core import Clock
    from membudget.registry import Registry

_MISSING: Any = object()

_CAUSES: dict[TableCause, Cause] = {"entries": "items", "bytes": "bytes", "pressure": "pressure"}
"""Why a table let an entry go, in a container's words. It has no share, and nothing expires."""


class OrderedTable(Bounded, GovernedTable[K, V]):
    """A table as a bounded container: what goes first is what was unused for longest."""

    def __init__(
        self,
        max_items: int | None,
        max_bytes: int | str | None,
        given: dict[str, Any],
        *,
        weigh: Callable[[Any], int] | None,
        tell: Callable[[Any, Any, Cause], object] | None,
        replace: bool,
    ) -> None:
        registry, clock = given["registry"], given["clock"]
        self.name: str = container_name(given["name"])
        self._given = given
        self._register = REGISTRY if registry is None else registry
        self._time = time.monotonic if clock is None else clock.now
        check_functions(weigh, tell, "on_drop")
        self._on_evict = None
        if tell is not None:
            self._on_evict = lambda key, value, cause: tell(key, value, _CAUSES[cause])
        super().__init__(
            max_bytes=bytes_bound(max_bytes),
            max_entries=entries_bound(max_items, self._items_name),
            ttl=None,
            idle=None,
            policy="lru",
            size=weigh,
            listens=tell is not None,
            registry=self._register,
            now=None if clock is None else clock.now,
        )
        self.free_entries = DEFAULT_ITEMS
        self._register.enter(self, replace=replace)

    def stats(self) -> ContainerStats:
        """The figures; reading them changes nothing."""
        counts = self._counts()
        dropped = {_CAUSES[one]: counts["evictions"][one] for one in _CAUSES}
        return self._figures(counts["sets"], dropped, counts["refused"])

    def _count(self) -> int:
        return len(self)

    def _bounds(self) -> tuple[int | None, int | None]:
        return self.max_entries, self.max_bytes

    def _bind(self, max_items: int | None, max_bytes: int | None) -> None:
        self._set_bounds(max_bytes, max_items)
        self._repeat(lambda _: self._enforce())


class BoundedDict(OrderedTable[K, V], MutableMapping[K, V]):
    """A `collections.OrderedDict` that knows its bytes, keeps a bound, and shrinks when asked.

    The order is that of use: reading by `[]`, `get` or `setdefault`, and writing, make an item the
    newest; `in`, iterating and `peek` change nothing. At its bounds the oldest item goes. Any
    thread may call any method; iterating goes over a copy. A value that weighs more than
    `max_bytes`, its key included, is refused without an exception, and counted; what stood under
    its key is gone. `|` gives a plain OrderedDict; `copy` gives another of its kind, with its
    bounds and a number after its name.

    `dict(d.pairs())` makes a plain dict of it in one step; `dict(d)` and `{**d}` use each value,
    with a KeyError where it went meanwhile. Values are weighed when they come in; while a budget
    runs, those that may grow are weighed again now and then. `update`, `setdefault` and the
    constructor do not go through a subclass's `__setitem__`.

    `on_drop(key, value, cause)` is called after an item was dropped (not popped, replaced, deleted
    or cleared), in the thread that did it; what it raises reaches that once all is in order.

    Cost: 0.03 µs to read, 0.3 µs to write, and what weighing the value takes; to iterate copies all
    keys: 0.01 µs each.

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
        replace: Whether it takes the place of an earlier one of its name, which lets all go and is
            governed no more; else the later one gets a number ("prices-2"), with a warning.

    Raises:
        ConfigError: An argument that cannot be used as given.
    """

    if not TYPE_CHECKING:  # They would take it that there is every attribute.
        __getattr__ = missing

    @hinted
    def __init__(
        self,
        name: str,
        items: Mapping[K, V] | Iterable[tuple[K, V]] = NO_ITEMS,
        *,
        max_items: int | None = None,
        max_bytes: int | str | None = None,
        size: Callable[[V], int] | None = None,
        on_drop: Callable[[K, V, Cause], object] | None = None,
        registry: Registry | None = None,
        clock: Clock | None = None,
        replace: bool = False,
    ) -> None:
        super().__init__(
            max_items,
            max_bytes,
            {"name": name, "size": size, "on_drop": on_drop, "registry": registry, "clock": clock},
            weigh=size,
            tell=on_drop,
            replace=replace,
        )
        self.update(items)

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if hasattr(cls, "__missing__") and cls.__getitem__ is BoundedDict.__getitem__:
            type.__setattr__(cls, "__getitem__", _get_or_make)  # As dict has it.

    @classmethod
    def fromkeys(
        cls, keys: Iterable[K], value: Any = None, *, name: str, **settings: Any
    ) -> BoundedDict[K, Any]:
        """A dict with the same value under all keys; it needs a name, and takes any bound."""
        return cls(name, ((key, value) for key in keys), **settings)

    def __iter__(self) -> Iterator[K]:
        return iter(GovernedTable.keys(self))

    def __reversed__(self) -> Iterator[K]:
        backwards: Iterator[K] = reversed(list(self))
        return backwards

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
        """Take out the newest item, or the oldest; a KeyError where there is none."""
        pair = self._popitem(last)
        if pair is None:
            raise KeyError("dictionary is empty")
        return pair

    def move_to_end(self, key: K, last: bool = True) -> None:  # noqa: FBT001, FBT002
        """Make an item the newest, or the oldest; a KeyError where there is none."""
        if not self._move_to_end(key, last):
            raise KeyError(key)

    @overload
    def setdefault(self, key: K, default: None = None) -> V | None: ...
    @overload
    def setdefault(self, key: K, default: V) -> V: ...
    def setdefault(self, key: K, default: Any = None) -> Any:
        """The value under a key; where there is none, the default, which is then put there."""
        return self._setdefault(key, default)

    def update(self, items: Any = NO_ITEMS, /, **more: Any) -> None:
        """Put in a mapping or pairs, one by one: where an iterator raises, what came is in."""
        if hasattr(items, "keys") and not hasattr(items, "items"):
            items = ((key, items[key]) for key in items.keys())  # noqa: SIM118  # no mapping
        for some in (items, more):
            self.set_many(some)  # type: ignore[arg-type]  # names are keys

    _whole = pairs
    _take_in = update


class _Snapshot:
    """A view that looks at a copy of the moment, which is no use of what it sees. Any thread."""

    _mapping: Any

    def __reversed__(self: Any) -> Iterator[Any]:
        return iter(list(self)[::-1])

    def __repr__(self: Any) -> str:
        return f"{type(self).__name__}({list(self)!r})"


class SnapshotKeys(_Snapshot, KeysView[K]):
    """The keys of a bounded dict; `&`, `|`, `-` and `^` give plain sets."""


class SnapshotValues(_Snapshot, ValuesView[V]):
    """The values of a bounded dict."""

    def __contains__(self, value: object) -> bool:
        return value in list(self)

    def __iter__(self) -> Iterator[V]:
        return iter([value for _, value in self._mapping.pairs()])


class SnapshotItems(_Snapshot, ItemsView[K, V]):
    """The items of a bounded dict."""

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


def _in_place(name: str) -> Any:
    """An operator that takes sets only, as a set has it."""

    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        getattr(self, name)(other)
        return self

    return method


class _Absent:
    """In place of a method that a set has not."""

    def __get__(self, one: object, kind: type[Any]) -> Any:
        raise AttributeError(f"a {kind.__name__} has no keys or values, only items")


class BoundedSet(OrderedTable[T, T], MutableSet[T]):
    """A `set` that knows its bytes, keeps a bound, and shrinks when asked.

    At its bounds the item added first goes; adding one that is there changes nothing. Any thread
    may call any method; one that changes many items does so one after the other. Iterating goes
    over a copy, in the order of adding. `&`, `|`, `-`, `^` and their methods give plain sets;
    `copy` gives another of its kind, with its bounds and a number. An item heavier than
    `max_bytes` is refused as by a `BoundedDict`, and `on_drop(item, cause)` is called likewise.

    Cost: 0.6 µs for `add`, and what weighing the item takes; to iterate copies all: 0.01 µs each.

    Args:
        iterable: What to begin with. All others are as in a `BoundedDict`, of items for values.
    """

    # An item stands under itself, so that whoever walks a table's values finds it. But it is no
    # mapping, and must not be taken for one.
    keys: ClassVar[Any] = _Absent()
    values: ClassVar[Any] = keys
    items: ClassVar[Any] = keys
    __getitem__: ClassVar[None] = None  # type: ignore[assignment]
    __setitem__: ClassVar[None] = None  # type: ignore[assignment]
    __delitem__: ClassVar[None] = None  # type: ignore[assignment]

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
        def weigh(item: T) -> int:
            if size is None:
                return 0
            # Beyond what the table counts of it as a key: all of it, or less.
            return max(0, checked(size(item), f"the size of an item in {name!r}") - size_of(item))

        def tell(item: T, _: T, cause: Cause) -> None:
            on_drop(item, cause)  # type: ignore[misc]  # there is one

        super().__init__(
            max_items,
            max_bytes,
            {"name": name, "size": size, "on_drop": on_drop, "registry": registry, "clock": clock},
            weigh=weigh,
            tell=None if on_drop is None else tell,
            replace=replace,
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
        """Take an item out; a KeyError where it is not there."""
        if not self.delete(value):
            raise KeyError(value)

    def pop(self) -> T:  # type: ignore[override]  # as a set's
        """Take out the item added first; a KeyError where there is none."""
        pair = self._popitem(False)  # by place alone
        if pair is None:
            raise KeyError("pop from an empty set")
        return pair[0]

    def update(self, *others: Iterable[T]) -> None:
        """Put items in, one by one: where an iterator raises, what came is in."""
        for other in others:
            for item in other:
                BoundedSet.add(self, item)  # Not a subclass's, as with a set.

    def _take_in(self, items: list[Any]) -> None:
        self.update(items)

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

    def __eq__(self, other: object) -> bool:
        return AbstractSet.__eq__(self, other)

    __hash__ = None  # type: ignore[assignment]  # as any set

    def __and__(self, other: Any) -> Any:
        return self._common(set(other)) if isinstance(other, AbstractSet) else NotImplemented

    def __or__(self, other: Any) -> Any:
        return set(self) | set(other) if isinstance(other, AbstractSet) else NotImplemented

    def __sub__(self, other: Any) -> Any:
        return set(self) - set(other) if isinstance(other, AbstractSet) else NotImplemented

    def __xor__(self, other: Any) -> Any:
        return set(self) ^ set(other) if isinstance(other, AbstractSet) else NotImplemented

    __rand__: ClassVar[Callable[[Any, Any], Any]] = __and__
    __ror__: ClassVar[Callable[[Any, Any], Any]] = __or__
    __rxor__: ClassVar[Callable[[Any, Any], Any]] = __xor__

    def __rsub__(self, other: Any) -> Any:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        return set(other) - self._common(set(other))

    __ior__: ClassVar[Any] = _in_place("update")
    __iand__: ClassVar[Any] = _in_place("intersection_update")
    __isub__: ClassVar[Any] = _in_place("difference_update")
    __ixor__: ClassVar[Any] = _in_place("symmetric_difference_update")

    def _common(self, items: set[Any]) -> set[Any]:
        """Those that are here, by looking up the smaller of both in the other."""
        if len(items) < len(self):
            return {item for item in items if item in self}
        return items.intersection(self)

    def _whole(self) -> list[Any]:
        return list(self)
