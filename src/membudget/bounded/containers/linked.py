"""What the bounded dict and the bounded set share: items in a chain."""

from __future__ import annotations

from typing import Any

from membudget.bounded.containers.chain import Chain
from membudget.bounded.containers.held import Bounded


class Linked(Bounded):
    """A bounded container whose items are links. Any thread may call any method."""

    _chain: Chain[Any, Any]

    def held_bytes(self) -> int:
        """The bytes all items weigh. Cost: 0.1 µs, no lock."""
        return self._chain.bytes

    def clear(self) -> None:
        """Forget all items at once, then free them in steps. They do not count as dropped."""
        fresh: Chain[Any, Any] = Chain()
        with self._lock:
            old, self._chain = self._chain, fresh
        old.free()

    def _count(self) -> int:
        return self._chain.count

    def _take_excess(self, gone: list[tuple[Any, ...]]) -> None:
        # As the general one, in half the time: a full dict does this at every addition.
        chain, most_items = self._chain, self._most_items
        while True:
            if chain.bytes > self._most_bytes:
                cause = "bytes"
            elif chain.count <= most_items or self._is_lifted():
                break
            else:
                cause = "items"
            taken = self._take_oldest()
            if taken is None:
                break
            self._dropped[cause] += 1
            gone.append((*taken, cause))

    def _is_over(self) -> bool:
        """Whether a bound may be broken; quicker than to say which."""
        return self._chain.bytes > self._most_bytes or self._chain.count > self._most_items

    def _mend(self) -> None:
        self._chain.mend()
