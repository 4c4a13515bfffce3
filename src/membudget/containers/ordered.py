"""What the bounded dict and the bounded set share: the table of the caches, in LRU order.

A table registers nothing and tells nothing by itself; what makes it a container is here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from membudget.cache.cache import GovernedTable
from membudget.cache.table import K, V, bytes_bound, container_name
from membudget.containers.bounds import (
    DEFAULT_ITEMS,
    Bounded,
    ContainerStats,
    items_bound,
    stats_of,
)
from membudget.registry import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.cache.table import Cause as TableCause
    from membudget.containers.bounds import Cause

CAUSES: dict[TableCause, Cause] = {"entries": "items", "bytes": "bytes", "pressure": "pressure"}
"""Why a table let an entry go, in a container's words. It has no share, and nothing expires."""


class OrderedTable(Bounded, GovernedTable[K, V]):
    """A table as a bounded container: what goes first is what was unused for longest.

    Args:
        options: What `given` made of the constructor's other arguments.
        weigh: Called with a value for what it holds, in bytes; None weighs it.
        listener: Called with key, value and the table's cause; None where nobody listens.
    """

    def __init__(
        self,
        name: str,
        max_items: int | None,
        max_bytes: int | str | None,
        options: dict[str, Any],
        *,
        weigh: Callable[[Any], int] | None,
        listener: Callable[[Any, Any, Any], object] | None,
    ) -> None:
        registry, clock = options["registry"], options["clock"]
        self.name = container_name(name)
        self._given = options
        self._register = REGISTRY if registry is None else registry
        self._time = time.monotonic if clock is None else clock.now
        self._on_evict = listener
        super().__init__(
            max_bytes=bytes_bound(max_bytes),
            max_entries=items_bound(max_items, self._items_name),
            ttl=None,
            idle=None,
            policy="lru",
            size=weigh,
            listens=listener is not None,
            registry=self._register,
            now=None if clock is None else clock.now,
        )
        self.free_entries = DEFAULT_ITEMS
        self._register.add(self)

    def stats(self) -> ContainerStats:
        """The figures; reading them changes nothing."""
        counts = self._counts()
        dropped = {CAUSES[one]: counts["evictions"][one] for one in CAUSES}
        return stats_of(self, counts["sets"], dropped, counts["refused"])

    def _count(self) -> int:
        return len(self)

    def _bounds(self) -> tuple[int | None, int | None]:
        return self.max_entries, self.max_bytes

    def _bind(self, max_items: int | None, max_bytes: int | None) -> None:
        self._set_bounds(max_bytes, max_items)
        self._repeat(lambda _: self._enforce())
