"""What `functools.lru_cache` makes: how to look into one, and how to let its oldest entries go.

An unbounded wrapper keeps one plain dict from arguments to result, in the order in which they came.
The dict has no public name; the collector's own view of the wrapper shows it. Entries taken out of
it are computed anew when asked for, as after `cache_clear`. A bounded wrapper links its entries in
a list of its own, so it can only be cleared as a whole.
"""

from __future__ import annotations

import gc
import time
from functools import _lru_cache_wrapper
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from membudget.sizing import size_of

if TYPE_CHECKING:
    from collections.abc import Callable

Wrapper: TypeAlias = "_lru_cache_wrapper[Any]"

WRAPPER: type[Any] = _lru_cache_wrapper
"""The type itself, since its name in `functools` may be replaced later."""

ENTRY = 100
"""Bytes of an entry in a dict of middling fill, beside its key and its value."""

_LEAST_BATCH, _MOST_BATCH = 1024, 65_536
_SAMPLES = 4
_NODES = 200
"""Objects looked at to weigh one entry: an estimate will do."""

_LOOK_AT_CLOCK = 16
"""Entries between two looks at the clock: freeing a large one takes 0.1 ms."""


def name_of(function: object) -> str:
    """Module and name of a function, or of the function whose results a wrapper keeps."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    return f"{module}.{name}" if module and name else type(function).__name__


def entries_of(wrapper: Wrapper) -> dict[Any, Any] | None:
    """The dict of an unbounded wrapper, or None where that is not to be seen.

    Only for unbounded ones: of a bounded wrapper the collector shows every single entry.
    """
    own = vars(wrapper)
    found = [part for part in gc.get_referents(wrapper) if type(part) is dict and part is not own]
    # A cached callable may be a dict of some kind itself; then nothing is certain.
    return found[0] if len(found) == 1 else None


class Kept:
    """The entries of one dict that is used as a cache, oldest first.

    Safe beside threads that use the dict: each step is one atomic operation of it.

    Attributes:
        entries: The dict, or None where it is not known.
        weight: Bytes of an average entry, or None before one was weighed.
        dropped: Entries let go so far.
        counted: Bytes it holds as last reckoned.
    """

    __slots__ = ("counted", "dropped", "entries", "weight")

    def __init__(self, entries: dict[Any, Any] | None = None) -> None:
        self.entries = entries
        self.weight: int | None = None
        self.dropped = 0
        self.counted = 0

    def recount(self) -> int:
        """Reckon what it holds; returns by how much that differs from the last time."""
        before = self.counted
        self.counted = len(self.entries or ()) * (self.weight or 0)
        return self.counted - before

    def weigh_newest(self) -> int:
        """The bytes of the newest entry, about; the average follows it. 0 where there is none."""
        if not self.entries:
            return 0
        weight = _weigh(self.entries, next(reversed(self.entries)))
        self.weight = weight if self.weight is None else self.weight + (weight - self.weight) // 8
        return weight

    def drop(self, target: int, until: float, now: Callable[[], float] = time.monotonic) -> int:
        """Let the oldest entries go; returns the bytes they are believed to have held.

        Args:
            target: Bytes wanted.
            until: Monotonic time by which to return.
            now: Where time comes from.
        """
        entries, freed = self.entries, 0
        while entries and freed < target and now() < until:
            # In large batches: the front of a dict that lost much is skipped anew each time.
            size = min(_MOST_BATCH, max(_LEAST_BATCH, len(entries) >> 4))
            batch = list(islice(entries, size))
            samples = batch[:: max(1, len(batch) // _SAMPLES)]
            weight = sum(_weigh(entries, key) for key in samples) // len(samples)
            self.weight = weight
            for number, key in enumerate(batch):
                if number % _LOOK_AT_CLOCK == 0 and (freed >= target or now() >= until):
                    break
                entries.pop(key, None)
                self.dropped += 1
                freed += weight
        return freed


def _weigh(entries: dict[Any, Any], key: Any) -> int:
    return size_of(key, nodes=_NODES) + size_of(entries.get(key), nodes=_NODES) + ENTRY
