"""Containers bounded in items and bytes: what those with a lock share, and those but metrics."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping  # noqa: TC003  # `get_type_hints` asks for it
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from membudget.cache.table import ForkLock, bytes_bound, container_name, entries_bound
from membudget.core import PartSample, Record, Rung
from membudget.registry import REGISTRY, Registry
from membudget.units import human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Generic, Self, TypedDict

    from typing_extensions import TypeVar

    from membudget.core import Clock, Holder

    K = TypeVar("K", default=Any)
    V = TypeVar("V", default=Any)
    T = TypeVar("T", default=Any)
else:
    from typing import TypeVar

    K, V, T = TypeVar("K"), TypeVar("V"), TypeVar("T")

Cause: TypeAlias = Literal["items", "bytes", "pressure"]
"""Why an item was dropped: the container's own bounds, or the budget."""

if TYPE_CHECKING:

    class ItemOptions(TypedDict, Generic[T], total=False):
        """What a list and a set take besides name, items and register."""

        max_items: int | None
        max_bytes: int | str | None
        size: Callable[[T], int] | None
        on_drop: Callable[[T, Cause], object] | None
        replace: bool
        clock: Clock | None

    class DequeOptions(TypedDict, Generic[T], total=False):
        """The same of a deque."""

        maxlen: int | None
        max_bytes: int | str | None
        size: Callable[[T], int] | None
        on_drop: Callable[[T, Cause], object] | None
        replace: bool
        clock: Clock | None

    class DictOptions(TypedDict, Generic[K, V], total=False):
        """The same of a dict."""

        max_items: int | None
        max_bytes: int | str | None
        size: Callable[[V], int] | None
        on_drop: Callable[[K, V, Cause], object] | None
        replace: bool
        clock: Clock | None


DEFAULT_ITEMS = 10_000  # The bound of a container that was given none, where no budget runs.
KEEP: Any = object()  # For a bound that stays as it is.
NO_ITEMS: Any = ()  # Yet; pyright takes a bare () to mean that there never are any.
INFINITE = float("inf")


class ContainerStats(Record):
    """A bounded container's figures since it was made, in items but for the bytes.

    `bytes` is what they weigh, each with its place in the container. `dropped` counts by what those
    made room for: "items" and "bytes" are the container's own bounds, "pressure" is the budget.
    `refused` were heavier than `max_bytes`, or than a budget has room for.
    """

    name: str
    items: int
    bytes: int
    max_items: int | None
    max_bytes: int | None
    added: int
    dropped: Mapping[str, int]
    refused: int


class Holding(ForkLock):
    """What holds items under a lock of its own, and asks the budget for what it takes in."""

    rung = Rung.MODERATE

    if TYPE_CHECKING:
        reclaim: Callable[[int, float], int]

    def __init__(self, name: str, registry: Registry | None, clock: Clock | None) -> None:
        super().__init__()
        self.name: str = container_name(name)
        self._registry = REGISTRY if registry is None else registry
        self._now = time.monotonic if clock is None else clock.now

    def _claim(self, taken_in: int) -> None:
        meter = self._registry.meter
        wanted = meter.claim(taken_in) if meter is not None and taken_in > 0 else 0
        if wanted > 0:
            self.reclaim(wanted, INFINITE)


class Bounded:
    """A list, deque, dict or set within bounds, as a holder and a reclaimer."""

    __slots__ = ()

    rung = Rung.MODERATE

    name: str
    _given: dict[str, Any]
    """The constructor's arguments beside items and bounds: a copy is made with them."""

    _items_name = "max_items"

    if TYPE_CHECKING:  # What each kind has of its own.
        held_bytes: Callable[[], int]
        _count: Callable[[], int]
        _bounds: Callable[[], tuple[int | None, int | None]]
        _bind: Callable[[int | None, int | None], None]
        _whole: Callable[[], list[Any]]
        _take_in: Callable[[list[Any]], object]

    def reclaimable(self) -> int:
        """The bytes it could let go: all it holds."""
        return self.held_bytes()

    def resize(self, *, max_items: int | None = KEEP, max_bytes: int | str | None = KEEP) -> None:
        """Change a bound, or lift it with None; what is beyond it is dropped at once.

        Raises a ConfigError for a bound that is none; what `on_drop` raised first, in the end.
        """
        items, size = self._bounds()
        items = items if max_items is KEEP else entries_bound(max_items, self._items_name)
        self._bind(items, size if max_bytes is KEEP else bytes_bound(max_bytes))

    def as_part(self) -> PartSample:
        """Items, bytes and bounds, for a sample. No lock; cost: 1 µs."""
        return part_of(self, self._count(), *self._bounds())

    def copy(self) -> Self:
        """The same items in order in one more of its kind and bounds, with a number to its name."""
        made = self._like()
        made._take_in(self._whole())  # noqa: SLF001  # one of our own
        return made

    def __copy__(self) -> Self:
        return self.copy()  # Maybe a subclass's, like what `_take_in` calls.

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        memo[id(self)] = made = self._like()
        made._take_in(copy.deepcopy(self._whole(), memo))  # noqa: SLF001  # one of our own
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        settings = {**self._settings(), "registry": Registry()}
        attributes = _attributes_of(self, _remade(type(self), settings))
        del settings["registry"], settings["clock"]  # Those of the process that reads it.
        return _remade, (type(self), settings), (self._whole(), attributes)

    def __setstate__(self, state: tuple[list[Any], dict[str, Any]]) -> None:
        items, attributes = state
        vars(self).update(attributes)
        self._take_in(items)

    def __repr__(self) -> str:
        held = human_bytes(self.held_bytes())
        return f"{type(self).__name__}({self.name!r}, {self._count()} items, {held})"

    def _figures(self, added: int, dropped: dict[Any, int], refused: int) -> ContainerStats:
        items, size = self._bounds()
        return ContainerStats(
            name=self.name,
            items=self._count(),
            bytes=self.held_bytes(),
            max_items=items,
            max_bytes=size,
            added=added,
            dropped=MappingProxyType(dropped),
            refused=refused,
        )

    def _settings(self) -> dict[str, Any]:
        items, size = self._bounds()
        return {**self._given, self._items_name: items, "max_bytes": size, "replace": None}

    def _like(self) -> Self:
        """An empty one of the same kind, name, bounds and attributes."""
        made: Self = _remade(type(self), self._settings())
        vars(made).update(_attributes_of(self, made))
        return made


def part_of(
    holder: Holder,
    items: int,
    most_items: int | None,
    most_bytes: int | None,
    ttl: float | None = None,
) -> PartSample:
    """How a container stands, for a sample."""
    return PartSample(
        name=holder.name,
        kind=type(holder).__name__,
        items=items,
        bytes=holder.held_bytes(),
        most_items=most_items,
        most_bytes=most_bytes,
        ttl=ttl,
    )


def _remade(kind: Any, settings: dict[str, Any]) -> Any:
    """An empty container; as with the builtins, a subclass's own constructor is not called."""
    made: Any = kind.__new__(kind)
    ours: Any = next(one for one in kind.__mro__ if one.__module__.startswith(f"{__package__}."))
    ours.__init__(made, **settings)
    return made


def _attributes_of(one: Any, empty: Any) -> dict[str, Any]:
    """The attributes that a subclass gave a container, which an empty one has not."""
    return {name: value for name, value in vars(one).items() if name not in vars(empty)}
