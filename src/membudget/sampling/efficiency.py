"""How much full collections are worth: the share of what they looked at that they freed.

CPython tells a collection's callbacks how many objects it freed, and from 3.15 on how many it
looked at (GH-140638), which then is the share. Before, a list of all objects would tell, at the
price of a second collection. So the live blocks of Python's own allocator are counted before and
after each full collection, which takes a walk over its pools, about 0.1 ms for a million dicts,
whose collection takes a thousand times that: the share freed is the fall over what there was. It is
a share of blocks, not of objects: an object with its dict and its strings has several, and what
lies beyond 512 bytes has none. Blocks that fell without a single object collected were free lists,
and count as nothing.
"""

from __future__ import annotations

import gc
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FULL = 2


class Efficiency:
    """Listens to the collector between `begin` and `end`.

    Collections of any generation cost about 2 µs more meanwhile, most of it for the interpreter,
    which makes a dict for whoever listens. The callback runs on whichever thread collects; none of
    them runs at the same time as another. A forked child goes on listening, with counts of its own
    after `forget`.

    Args:
        learn: Told of each full collection: the seconds of its thread, and the live blocks before.
    """

    __slots__ = ("_before", "_began", "_freed", "_learn", "_looked")

    def __init__(self, learn: Callable[[float, int], object] | None = None) -> None:
        self._learn = learn
        self._began = 0.0
        self._before: int | None = None
        self._freed = self._looked = 0

    def begin(self) -> None:
        """Listen; a second call does nothing."""
        if self._note not in gc.callbacks:
            gc.callbacks.append(self._note)

    def end(self) -> None:
        """Listen no longer; a second call does nothing."""
        while self._note in gc.callbacks:
            gc.callbacks.remove(self._note)

    def forget(self) -> None:
        """Know nothing, as in a forked child."""
        self._before = None
        self._freed = self._looked = 0

    def take(self) -> float | None:
        """The share freed since the last call, 0 to 1; None where no full collection ran."""
        freed, looked = self._freed, self._looked
        self._freed = self._looked = 0
        return min(1.0, freed / looked) if looked else None

    def _note(self, phase: str, told: Mapping[str, Any]) -> None:
        if told["generation"] != FULL:
            return
        if phase == "start":
            self._before, self._began = sys.getallocatedblocks(), time.thread_time()
        elif self._before is not None:
            before, self._before = self._before, None
            if self._learn is not None:
                self._learn(time.thread_time() - self._began, before)
            collected = told["collected"]
            if (candidates := told.get("candidates")) is not None:
                self._freed, self._looked = self._freed + collected, self._looked + candidates
                return
            # Each of them was a block at least, whatever others have allocated meanwhile.
            fell = max(before - sys.getallocatedblocks(), collected) if collected else 0
            self._freed += fell
            self._looked += max(before, fell, 1)
