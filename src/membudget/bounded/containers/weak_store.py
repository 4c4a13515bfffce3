"""Where a weak cache's values are found, and how those that died are swept."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from membudget.bounded.containers.chain import LINK_BYTES
from membudget.bounded.containers.index import Index
from membudget.bounded.containers.strong import Kept, Ref, Strong, strong_bound
from membudget.bounded.lock import ForkLock
from membudget.bounded.table import bytes_bound, container_name
from membudget.core import Rung
from membudget.errors import ConfigError
from membudget.registry import REGISTRY
from membudget.sizing import checked, size_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.core import Clock
    from membudget.registry import Registry

MISSING: Any = object()
"""Instead of a value that is not there."""

_BATCH = 64
_TIDY_EVERY = 16
SWEPT_AT_A_TIME = 64
"""Values that died whose entries one operation sweeps at most."""


class WeakStore(ForkLock):
    """References to values by key, and a strong part; as a holder, a reclaimer and a chore.

    Any thread may call any method. Args and Raises are the weak cache's.
    """

    rung = Rung.MODERATE

    def __init__(
        self,
        name: str,
        *,
        strong: int,
        max_bytes: int | str | None,
        size: Callable[[Any], int] | None,
        registry: Registry | None,
        clock: Clock | None,
    ) -> None:
        super().__init__()
        self.name = container_name(name)
        self._strong = Strong(strong_bound(strong), bytes_bound(max_bytes))
        self._size = size
        self._registry = REGISTRY if registry is None else registry
        self._now = time.monotonic if clock is None else clock.now
        self._entries: Index[Any, Ref | Kept] = Index()
        self._forgotten = 0
        self._dead: deque[Ref] = deque()
        self._index_bytes = 0
        self._hits = self._misses = self._sets = self._died = 0

    def held_bytes(self) -> int:
        """The bytes of the values it keeps alive, of all keys and references. No lock."""
        return self._strong.chain.bytes + self._index_bytes

    def reclaimable(self) -> int:
        """The bytes it could let go: the values that it keeps alive."""
        return self._strong.chain.bytes

    def reclaim(self, target: int, until: float) -> int:
        """Stop keeping at least `target` bytes alive, the longest unused values first.

        Args:
            target: Bytes.
            until: Monotonic time to stop at; overrun by less than 1 ms, or by one large value.

        Returns:
            Bytes let go: where the program itself holds a value, its memory stays.
        """
        freed, strong = 0, self._strong
        gone: list[Any] = []

        def release() -> None:
            nonlocal freed
            before = self.held_bytes()
            while len(gone) < _BATCH and freed + before - self.held_bytes() < target:
                link = strong.release()
                if link is None:
                    break
                gone.append(self._released([link]))
            freed += before - self.held_bytes()

        while freed < target and strong.chain.count and self._under_lock(until, release):
            gone.clear()
        return freed

    def due(self, _now: float) -> bool:
        """Whether values have died whose entries are still there. Cost: 0.1 µs."""
        return bool(self._dead)

    def run(self, until: float) -> int:
        """Forget the entries of values that have died; returns the bytes."""
        freed = 0

        def sweep() -> None:
            nonlocal freed
            before = self._index_bytes
            self._sweep(SWEPT_AT_A_TIME)
            freed += max(0, before - self._index_bytes)

        while self._dead and self._under_lock(until, sweep):
            pass
        return freed

    def _weigh(self, value: Any) -> int | None:
        """The bytes of a value, where it may have to be kept alive."""
        if not self._strong.is_on():
            return None
        if self._size is None:
            return size_of(value) + LINK_BYTES
        return checked(self._size(value), f"the size of a value in {self.name!r}") + LINK_BYTES

    def _refer(self, value: Any) -> Ref | Kept:
        try:
            return Ref(value, self._dead.append)
        except TypeError:
            if self._strong.is_on():
                return Kept(value)
            kind = type(value).__qualname__
            raise ConfigError(
                f"{self.name!r} cannot tell when a value of type {kind} is no longer held, since "
                f"{kind} allows no weak references: give the cache strong= or max_bytes= to keep "
                "such values alive, or put the value into an object of a class of your own"
            ) from None

    def _value(self, entry: Ref | Kept) -> Any:
        if isinstance(entry, Kept):
            return entry.value
        value = entry()
        return MISSING if value is None else value

    def _hold(self, entry: Ref | Kept, value: Any) -> list[Any]:
        """Keep a value alive where it is to be; returns what goes for it. Under the lock."""
        return self._released(self._strong.hold(entry, value))

    def _released(self, links: list[Any]) -> list[Any]:
        """What goes with values no longer kept alive: those found in no other way."""
        kept = [link.key for link in links if type(self._entries.get(link.key)) is Kept]
        return [links, [self._forget(key) for key in kept]] if links else links

    def _forget(self, key: Any) -> object:
        """Take out an entry and what is kept alive of it; under the lock."""
        entry = self._entries.pop(key)
        if entry is not None:
            self._index_bytes -= entry.index
            self._forgotten = forgotten = self._forgotten + 1
            if not forgotten % _TIDY_EVERY:
                self._entries.tidy()
        return entry, self._strong.chain.take(key)

    def _sweep(self, most: int | None = None) -> None:
        """Forget values that have died, so many at most; under the lock."""
        dead, swept = self._dead, 0
        while dead and swept != most:
            swept += 1
            ref = dead.popleft()
            # Under its key there may be another by now.
            if self._entries.get(ref.key) is ref:
                self._forget(ref.key)
                self._died += 1

    def _mend(self) -> None:
        self._index_bytes = sum([entry.index for entry in self._entries.values()])
        self._strong.chain.mend()
