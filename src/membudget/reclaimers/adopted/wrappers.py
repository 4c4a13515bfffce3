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
from membudget.units import found_name

if TYPE_CHECKING:
    from collections.abc import Callable

Wrapper: TypeAlias = "_lru_cache_wrapper[Any]"

WRAPPER: type[Any] = _lru_cache_wrapper
"""The type itself, since its name in `functools` may be replaced later."""

FEWEST = 64
"""Entries that an unbounded cache keeps in any case: a handful often holds the one database engine
or settings object of a program, and a second one would be worse than the bytes."""

_STAYING_BYTES = 16 << 20
"""Bytes from which even a handful is more than engines and settings."""

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
    return found_name(f"{module}.{name}") if module and name else type(function).__name__


def entries_of(wrapper: Wrapper | None) -> dict[Any, Any] | None:
    """The dict of an unbounded wrapper, or None where that is not to be seen.

    Only for unbounded ones: of a bounded wrapper the collector shows every single entry.
    """
    if wrapper is None:
        return None
    own = vars(wrapper)
    found = [part for part in gc.get_referents(wrapper) if type(part) is dict and part is not own]
    # A cached callable may be a dict of some kind itself; then nothing is certain.
    return found[0] if len(found) == 1 else None


class Kept:
    """The entries of one dict that is used as a cache, oldest first.

    The dict is looked up anew each time: a reference of ours would keep alive what a collection
    frees, wherever an entry leads back to its own cache. Safe beside threads that use the dict:
    each step is one atomic operation of it.

    Args:
        find: Returns the dict, or None where there is none (any more).
        fewest: Entries that stay.

    Attributes:
        weight: Bytes of an average entry, or None before one was weighed.
        dropped: Entries let go so far.
        counted: Bytes it holds as last reckoned.
    """

    __slots__ = ("_fewest", "_find", "counted", "dropped", "weight")

    def __init__(
        self, find: Callable[[], dict[Any, Any] | None] = lambda: None, fewest: int = 0
    ) -> None:
        self.follow(find, fewest)
        self.weight: int | None = None
        self.dropped = 0
        self.counted = 0

    def follow(self, find: Callable[[], dict[Any, Any] | None], fewest: int) -> None:
        """Look here from now on."""
        self._find, self._fewest = find, fewest

    def recount(self) -> int:
        """Reckon what it holds; returns by how much that differs from the last time."""
        before = self.counted
        self.counted = len(self._find() or ()) * (self.weight or 0)
        return self.counted - before

    def weigh_newest(self) -> int:
        """The bytes of the newest entry, about; the average follows it. 0 where there is none."""
        entries = self._find()
        if not entries:
            return 0
        weight = _weigh(entries, next(reversed(entries)))
        self.weight = weight if self.weight is None else self.weight + (weight - self.weight) // 8
        return weight

    def drop(self, target: int, until: float, now: Callable[[], float] = time.monotonic) -> int:
        """Let the oldest entries go; returns the bytes they are believed to have held.

        Args:
            target: Bytes wanted.
            until: Monotonic time by which to return.
            now: Where time comes from.
        """
        entries, freed = self._find() or {}, 0
        while len(entries) > (fewest := self.staying()) and freed < target and now() < until:
            # In large batches: the front of a dict that lost much is skipped anew each time.
            size = min(_MOST_BATCH, max(_LEAST_BATCH, len(entries) >> 4))
            batch = list(islice(entries, min(size, len(entries) - fewest)))
            samples = batch[:: max(1, len(batch) // _SAMPLES)]
            weight = sum(_weigh(entries, key) for key in samples) // len(samples)
            self.weight = weight
            for number, key in enumerate(batch):
                if freed >= target or (number % _LOOK_AT_CLOCK == 0 and now() >= until):
                    break
                entries.pop(key, None)
                self.dropped += 1
                freed += weight
        return freed

    def staying(self) -> int:
        """How many entries stay in any case."""
        return min(self._fewest, _STAYING_BYTES // max(1, self.weight or 1))


def _weigh(entries: dict[Any, Any], key: Any) -> int:
    return size_of(key, nodes=_NODES) + size_of(entries.get(key), nodes=_NODES) + ENTRY
