"""What the bounded list, deque, dict and set share: bounds, bytes, drops and figures under a lock.

Items are weighed before the lock is taken, and dropped, told of and claimed from the budget after
it was given back. Under it nothing foreign runs but the keys' own `__hash__` and `__eq__` in dicts
and sets, and the comparisons of a sort.

A signal's handler or a finalizer can come between two bytecodes, use the same container and
raise. So a removal makes no call that one could come after, an addition puts in the weight before
the item, and what an exception cut short is mended by `_mend`.
"""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from membudget.bounded.containers.bounds import DEFAULT_ITEMS, KEEP, ContainerStats, items_bound
from membudget.bounded.containers.copies import attributes_of, remade
from membudget.bounded.containers.standing import Standing
from membudget.bounded.table import bytes_bound, container_name
from membudget.core import Rung
from membudget.registry import REGISTRY, Registry
from membudget.sizing import checked, size_of
from membudget.units import human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.bounded.containers.bounds import Cause
    from membudget.core import Clock

CLAIM_EVERY = 1 << 14
"""Bytes taken in between two questions to the budget, a 64th of what it looks at by itself."""

SMALL = 256
"""The largest int that CPython keeps ready made."""

INT_BYTES = 32
"""Bytes of a weight above that."""

_BATCH = 64
_BATCH_BYTES = 1 << 20
"""Items and bytes dropped between two looks at the clock: well below a millisecond."""

_INFINITE = float("inf")


class Bounded(Standing):
    """Items under a lock and within bounds, as a holder and a reclaimer.

    Any thread may call any method. `held_bytes` and `reclaimable` take no lock.

    Args:
        name: What it is called in reports and events.
        max_items: The bound in items, or None.
        max_bytes: The bound in bytes, or text such as "50MiB", or None.
        size: What an item holds, in bytes; None weighs it with `size_of`.
        on_drop: Called with what was dropped and the cause.
        registry: Where it registers and finds the meter of a running budget.
        clock: Where time comes from; None is the monotonic clock.

    Raises:
        ConfigError: An argument that cannot be used as given.
    """

    rung = Rung.MODERATE

    _slot = 0
    """Bytes that the place of an item costs."""

    _items_name = "max_items"

    def __init__(
        self,
        name: str,
        *,
        max_items: int | None,
        max_bytes: int | str | None,
        size: Callable[[Any], int] | None,
        on_drop: Callable[..., object] | None,
        registry: Registry | None,
        clock: Clock | None,
    ) -> None:
        super().__init__()
        self.name = container_name(name)
        self._size = size
        self._on_drop = on_drop
        self._registry = REGISTRY if registry is None else registry
        self._clock = clock
        self._now = time.monotonic if clock is None else clock.now
        self._bytes = self._added = self._refused = self._unclaimed = 0
        self._dropped: dict[str, int] = {"items": 0, "bytes": 0, "pressure": 0}
        self._bind(items_bound(max_items, self._items_name), bytes_bound(max_bytes))

    def __repr__(self) -> str:
        held = human_bytes(self.held_bytes())
        return f"{type(self).__name__}({self.name!r}, {self._count()} items, {held})"

    def held_bytes(self) -> int:
        """The bytes all items weigh. Cost: 0.1 µs, no lock."""
        return self._bytes

    def reclaimable(self) -> int:
        """The bytes it could let go: all it holds."""
        return self.held_bytes()

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
        self._tell(error)
        return freed

    def stats(self) -> ContainerStats:
        """The figures; reading them changes nothing."""
        with self._lock:
            return ContainerStats(
                name=self.name,
                items=self._count(),
                bytes=self.held_bytes(),
                max_items=self._max_items,
                max_bytes=self._max_bytes,
                added=self._added,
                dropped=MappingProxyType(self._dropped.copy()),
                refused=self._refused,
            )

    def resize(self, *, max_items: int | None = KEEP, max_bytes: int | str | None = KEEP) -> None:
        """Change a bound, or lift it with None; what is beyond it is dropped at once.

        Raises:
            ConfigError: A bound that is none.
            Exception: What `on_drop` raised first, after all of them were dropped.
        """
        items = max_items if max_items is KEEP else items_bound(max_items, self._items_name)
        size: Any = max_bytes if max_bytes is KEEP else bytes_bound(max_bytes)
        with self._lock:
            self._bind(
                self._max_items if items is KEEP else items,
                self._max_bytes if size is KEEP else size,
            )
        self._tell(self._let_go(None)[1])

    def _count(self) -> int:
        raise NotImplementedError

    def _take_oldest(self) -> tuple[Any, ...] | None:
        """Take an item out, and return what `on_drop` is told of it; None where there is none."""
        raise NotImplementedError

    def _bind(self, max_items: int | None, max_bytes: int | None) -> None:
        self._max_items, self._max_bytes = max_items, max_bytes
        is_free = max_items is None and max_bytes is None
        self._most_items: float = max_items or (DEFAULT_ITEMS if is_free else _INFINITE)
        self._most_bytes: float = max_bytes or _INFINITE

    def _settings(self) -> dict[str, Any]:
        """The constructor's arguments beside name and items."""
        return {
            self._items_name: self._max_items,
            "max_bytes": self._max_bytes,
            "size": self._size,
            "on_drop": self._on_drop,
            "registry": self._registry,
            "clock": self._clock,
        }

    def _like(self) -> Any:
        """An empty container of the same kind, name, bounds and attributes."""
        made = remade(type(self), self.name, self._settings())
        vars(made).update(attributes_of(self, made))
        return made

    def _remake(self) -> tuple[Any, ...]:
        """What pickle makes an empty one from, in the process's own register; its attributes."""
        settings = self._settings()
        del settings["registry"], settings["clock"]
        empty = remade(type(self), self.name, {**settings, "registry": Registry()})
        return remade, (type(self), self.name, settings), attributes_of(self, empty) or None

    def _weigh(self, item: Any) -> int:
        weight = self._slot
        if self._size is None:
            weight += size_of(item)
        else:
            weight += checked(self._size(item), f"the size of an item in {self.name!r}")
        return weight if weight <= SMALL else weight + INT_BYTES

    def _is_refused(self, weight: int) -> bool:
        """Whether a weight is more than the bound, and then count it."""
        if weight <= self._most_bytes:
            return False
        with self._lock:
            self._refused += 1
        return True

    def _excess(self) -> Cause | None:
        """Which bound is broken now. Without one, a running budget is; else so many items."""
        if self.held_bytes() > self._most_bytes:
            return "bytes"
        if self._count() <= self._most_items:
            return None
        return None if self._is_lifted() else "items"

    def _is_lifted(self) -> bool:
        """Whether it was given no bound in items, and lives under a budget.

        Then what it holds becomes the bound for when the budget has ended: what it let it have is
        not dropped for that.
        """
        if self._max_items is not None or self._registry.meter is None:
            return False
        self._most_items = max(DEFAULT_ITEMS, self._count())
        return True

    def _take_excess(self, gone: list[tuple[Any, ...]]) -> None:
        """Take out what is beyond the bounds; under the lock."""
        while (cause := self._excess()) is not None:
            taken = self._take_oldest()
            if taken is None:
                break
            self._dropped[cause] += 1
            gone.append((*taken, cause))

    def _finish(self, gone: list[tuple[Any, ...]]) -> None:
        """After the lock: tell of what was dropped, and ask the budget for what was taken in."""
        error = self._drop(gone)
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
        self._tell(error)

    def _let_go(
        self, target: int | None, until: float | None = None
    ) -> tuple[int, Exception | None]:
        """Drop so many bytes, or with None what is beyond the bounds, batch by batch."""
        freed, first = 0, None
        gone: list[tuple[Any, ...]] = []

        def take() -> None:
            nonlocal freed
            before = self.held_bytes()
            self._take_batch(gone, None if target is None else target - freed)
            freed += before - self.held_bytes()

        while self._under_lock(until, take) and gone:
            error = self._drop(gone)
            first = error if first is None else first
        return freed, first

    def _take_batch(self, gone: list[tuple[Any, ...]], target: int | None) -> None:
        before = self.held_bytes()
        while len(gone) < _BATCH and before - self.held_bytes() < _BATCH_BYTES:
            if target is None:
                cause = self._excess()
            else:
                cause = "pressure" if before - self.held_bytes() < target else None
            taken = self._take_oldest() if cause is not None else None
            if cause is None or taken is None:
                break
            self._dropped[cause] += 1
            gone.append((*taken, cause))

    def _drop(self, gone: list[tuple[Any, ...]]) -> Exception | None:
        """Tell of what was taken out and drop it, outside the lock; returns the first error."""
        first = None
        if self._on_drop is not None:
            for what in gone:
                try:
                    self._on_drop(*what)
                except Exception as error:  # noqa: BLE001  # raised by the caller, at the end
                    first = error if first is None else first
        gone.clear()
        return first

    def _tell(self, error: Exception | None) -> None:
        """Raise what `on_drop` raised, now that everything is in order."""
        if error is not None:
            raise error
