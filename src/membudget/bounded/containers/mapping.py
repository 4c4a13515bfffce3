"""A dict that keeps a bound in items and in bytes, and drops what was longest unused."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar, overload

from membudget.bounded.containers.chain import LINK_BYTES, Chain
from membudget.bounded.containers.held import CLAIM_EVERY, INT_BYTES, SMALL
from membudget.bounded.containers.linked import Linked
from membudget.bounded.containers.pieces import take_in
from membudget.bounded.containers.views import Ordered, pairs_of
from membudget.sizing import checked, size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Self

    from membudget.bounded.containers.bounds import Cause
    from membudget.core import Clock
    from membudget.registry import Registry

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")

_MISSING: Any = object()


class BoundedDict(Linked, Ordered[K, V]):
    """A `collections.OrderedDict` that knows its bytes, keeps a bound, and shrinks when asked.

    The order is that of use: reading by `[]`, `get` or `setdefault`, and writing, make an item the
    newest; `in`, iterating and `peek` change nothing. At its bounds the oldest item goes. Any
    thread may call any method, and each is done as a whole; iterating goes over a copy. A value
    that weighs more than `max_bytes`, its key included, is refused without an exception, and
    counted; what stood under its key is gone. `|` gives a plain OrderedDict; `copy` gives another
    of its kind, with the same name and bounds.

    Whoever needs a plain dict of it beside other threads takes `dict(d.pairs())`, which is one
    step; `dict(d)` and `{**d}` ask for keys first and then for each value, which is a use of it and
    a KeyError where it went meanwhile. Values are weighed when they come in: one that grows later,
    as the list in `d.setdefault(key, []).append(item)`, has to be put in again to be counted.
    `update`, `setdefault` and the constructor do not go through a subclass's `__setitem__`.

    `on_drop(key, value, cause)` is called after an item was dropped, outside the lock, in the
    thread that did it. What it raises reaches that thread once everything is in order. What is
    popped, replaced, deleted or cleared was not dropped.

    Cost: 0.4 µs to read, 1 to 2.5 µs to write, and what weighing the value takes. To iterate, even
    to the first key only, copies all keys: 0.05 to 0.1 µs each.

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
        super().__init__(
            name,
            max_items=max_items,
            max_bytes=max_bytes,
            size=size,
            on_drop=on_drop,
            registry=registry,
            clock=clock,
        )
        self._chain: Chain[K, V] = Chain()
        self._registry.add(self)
        self.update(items)

    @classmethod
    def fromkeys(
        cls, keys: Iterable[K], value: Any = None, *, name: str, **settings: Any
    ) -> BoundedDict[K, Any]:
        """A dict with the same value under all keys; it needs a name, and takes any bound."""
        return cls(name, ((key, value) for key in keys), **settings)

    def __len__(self) -> int:
        return self._chain.count

    def __contains__(self, key: object) -> bool:
        with self._lock:
            return self._chain.get(key) is not None

    def __iter__(self) -> Iterator[K]:
        with self._lock:
            return iter([link.key for link in self._chain.links()])

    def __reversed__(self) -> Iterator[K]:
        return reversed(list(self))

    def __getitem__(self, key: K) -> V:
        value: V = self.get(key, _MISSING)
        if value is not _MISSING:
            return value
        missing = getattr(type(self), "__missing__", None)  # As dict has it.
        if missing is None:
            raise KeyError(key)
        return missing(self, key)  # type: ignore[no-any-return]

    def __setitem__(self, key: K, value: V) -> None:
        weight = self._weigh_pair(key, value)
        gone: list[tuple[Any, ...]] = []
        with self._lock:
            replaced = self._set(key, value, weight)
            if self._is_over():
                self._take_excess(gone)
            unclaimed = self._unclaimed
        del replaced  # A finalizer may do anything, so it goes outside the lock.
        if unclaimed >= CLAIM_EVERY or (gone and self._on_drop is not None):
            self._finish(gone)

    def __delitem__(self, key: K) -> None:
        self.pop(key)

    def __copy__(self) -> Self:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        memo[id(self)] = made = self._like()
        made.update(copy.deepcopy(self.pairs(), memo))
        return made  # type: ignore[no-any-return]

    def __reduce__(self) -> tuple[Any, ...]:
        return *self._remake(), None, iter(self.pairs())

    def copy(self) -> Self:
        """A dict of the same name and bounds with the same items in the same order."""
        made = self._like()
        with self._lock:
            links = self._chain.links()
            pairs = [(link.key, link.value) for link in links]
            weights = [link.weight for link in links]
        made._store(pairs, weights)  # noqa: SLF001  # one of our own
        return made  # type: ignore[no-any-return]

    def pairs(self) -> list[tuple[K, V]]:
        """Keys and values now, longest unused first. Changes nothing."""
        with self._lock:
            return [(link.key, link.value) for link in self._chain.links()]

    @overload
    def get(self, key: K, default: None = None) -> V | None: ...
    @overload
    def get(self, key: K, default: D) -> V | D: ...
    def get(self, key: K, default: Any = None) -> Any:
        """The value under a key, which is now the newest; else the default."""
        with self._lock:
            link = self._chain.get(key)
            if link is None:
                return default
            self._chain.renew(link)
            return link.value

    @overload
    def peek(self, key: K, default: None = None) -> V | None: ...
    @overload
    def peek(self, key: K, default: D) -> V | D: ...
    def peek(self, key: K, default: Any = None) -> Any:
        """The value under a key, else the default; changes nothing."""
        with self._lock:
            link = self._chain.get(key)
            return default if link is None else link.value

    @overload
    def pop(self, key: K) -> V: ...
    @overload
    def pop(self, key: K, default: D) -> V | D: ...
    def pop(self, key: K, default: Any = _MISSING) -> Any:
        """Take a value out and return it, else the default.

        Raises:
            KeyError: There is none, and no default is given.
        """
        with self._lock:
            link = self._chain.take(key)
        if link is not None:
            return link.value
        if default is _MISSING:
            raise KeyError(key)
        return default

    def popitem(self, last: bool = True) -> tuple[K, V]:  # noqa: FBT001, FBT002  # as OrderedDict's
        """Take out the newest item, or the oldest.

        Raises:
            KeyError: There is none.
        """
        with self._lock:
            link = self._chain.take_end(newest=last)
        if link is None:
            raise KeyError("dictionary is empty")
        return link.key, link.value

    def move_to_end(self, key: K, last: bool = True) -> None:  # noqa: FBT001, FBT002
        """Make an item the newest, or the oldest.

        Raises:
            KeyError: There is none.
        """
        with self._lock:
            link = self._chain.get(key)
            if link is None:
                raise KeyError(key)
            if last:
                self._chain.renew(link)
            else:
                self._chain.age(link)

    @overload
    def setdefault(self, key: K, default: None = None) -> V | None: ...
    @overload
    def setdefault(self, key: K, default: V) -> V: ...
    def setdefault(self, key: K, default: Any = None) -> Any:
        """The value under a key; where there is none, the default, which is then put there."""
        weight = self._weigh_pair(key, default)
        gone: list[tuple[Any, ...]] = []
        with self._lock:
            link = self._chain.get(key)
            if link is None:
                self._set(key, default, weight)
                self._take_excess(gone)
            else:
                default = link.value
                self._chain.renew(link)
        self._finish(gone)
        return default

    def update(self, items: Any = (), /, **more: Any) -> None:
        """Put in a mapping or pairs: a dict, list or tuple at once, all else in pieces.

        Where an iterator raises, what came before is in.
        """
        pairs = pairs_of(items)
        if isinstance(pairs, (list, tuple)):
            pairs = [(key, value) for key, value in pairs]  # each may be any two
            self._store(pairs, [self._weigh_pair(key, value) for key, value in pairs])
        else:
            each = ((key, value) for key, value in pairs)
            take_in(each, lambda pair: self._weigh_pair(*pair), self._store)
        if more:
            self.update(more)

    def _weigh_pair(self, key: K, value: V) -> int:
        weight = size_of(key) + LINK_BYTES
        if self._size is None:
            weight += size_of(value)
        else:
            weight += checked(self._size(value), f"the size of a value in {self.name!r}")
        return weight if weight <= SMALL else weight + INT_BYTES

    def _store(self, pairs: list[tuple[K, V]], weights: list[int]) -> None:
        """Put in weighed items, all at once."""
        gone: list[tuple[Any, ...]] = []
        replaced = []
        with self._lock:
            for (key, value), weight in zip(pairs, weights, strict=True):
                replaced.append(self._set(key, value, weight))
            if self._is_over():
                self._take_excess(gone)
            unclaimed = self._unclaimed
        del replaced  # Finalizers may do anything, so they go outside the lock.
        if unclaimed >= CLAIM_EVERY or gone:
            self._finish(gone)

    def _set(self, key: K, value: V, weight: int) -> object:
        """Put in one item, or refuse it; returns what it replaced. Under the lock."""
        if weight > self._most_bytes:
            self._refused += 1
            return self._chain.take(key)
        replaced = self._chain.put(key, value, weight)
        self._added += 1
        self._unclaimed += weight
        return replaced

    def _take_oldest(self) -> tuple[K, V] | None:
        link = self._chain.take_end()
        return None if link is None else (link.key, link.value)
