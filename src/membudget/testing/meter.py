"""Live blocks and malloc in use, once a round, in storage that was there before."""

from __future__ import annotations

import gc
import sys
from array import array
from typing import TYPE_CHECKING

from membudget.probes.allocator import mallinfo
from membudget.testing.result import Series

if TYPE_CHECKING:
    from collections.abc import Callable

SLOW = 0.05
"""Seconds that asking malloc may take; where it walks a fragmented heap for longer, it is left."""


class RoundMeter:
    """The figures of one series of rounds.

    Cost of a look: a full collection, which looks only at what was made since the check began (all
    before is frozen meanwhile), then 1 to 100 µs.

    Args:
        calls: In each round.
        rounds: How many there will be, at most.
    """

    def __init__(self, calls: int, rounds: int) -> None:
        self.calls = calls
        self._blocks = array("q", bytes(8 * (rounds + 1)))
        self._malloc = array("q", bytes(8 * (rounds + 1)))
        self._at = 0
        info = mallinfo()  # Also loads what asking needs, before anything is counted.
        self._ask: Callable[[], int | None] = (
            _malloc_in_use if info is not None and info.took < SLOW else _unknown
        )
        self._has_malloc = self._ask is _malloc_in_use
        self.look()
        self._at = 0  # The first look was for what looking itself sets up.

    def look(self) -> None:
        """Collect garbage, then write down where things stand."""
        gc.collect()
        _forget()
        self._malloc[self._at] = self._ask() or 0
        self._blocks[self._at] = sys.getallocatedblocks()
        self._at += 1

    @property
    def blocks(self) -> tuple[int, ...]:
        """Growth of live blocks by rounds so far."""
        return _deltas(self._blocks, self._at)

    @property
    def malloc(self) -> tuple[int, ...] | None:
        """Growth of malloc's bytes in use by rounds so far, or None where it cannot be asked."""
        return _deltas(self._malloc, self._at) if self._has_malloc else None

    def series(self) -> Series:
        """The rounds so far as a record."""
        return Series(calls=self.calls, blocks=self.blocks, malloc=self.malloc)


_forget: Callable[[], object] = getattr(
    sys, "_clear_internal_caches", getattr(sys, "_clear_type_cache", list)
)
"""Empties the interpreter's cache of attributes, up to 4096 names that it keeps alive.

Where C code looks an attribute up under a name made for the occasion, each such name stays in
there: opening a text file "leaked" a string a call for the first hundreds of calls. refleak.py
empties it, too. The one of all caches is there from 3.13 on.
"""


def _deltas(marks: array[int], count: int) -> tuple[int, ...]:
    return tuple(marks[i + 1] - marks[i] for i in range(count - 1))


def _malloc_in_use() -> int | None:
    info = mallinfo()
    return info.in_use if info is not None else None


def _unknown() -> None:
    return None
