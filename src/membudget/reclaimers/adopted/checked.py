"""A function whose unbounded cache is looked after by the thread that fills it.

A cache that grows at full speed takes 400 MB in 0.2 s, before the loop's thread has looked a second
time. So the function behind an unbounded functools cache is replaced by an object that pays
attention before each call, that is on each miss, as our own caches do on each insert: every so many
misses it weighs the newest entry, claims what came since, and drops what is due from the front of
the same cache.

The object is called through a property: the interpreter asks for `__call__`, our check runs and
ends, and what it returns is the function itself. So no frame of ours is on the stack while the
program's function runs: tracebacks show nothing, and on 3.13 recursion goes as deep as before. On
3.11 and 3.12 it would go a third less deep. There a `partial` stands in between, which counts for
nothing and can be turned to the function itself: at the first miss, where that comes back to
itself, and its cache is left to the loop.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from membudget.reclaimers.adopted import recursion
from membudget.reclaimers.adopted.wrappers import ENTRY

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.reclaimers.adopted.wrappers import Kept

_MOST_BETWEEN = 256
"""Misses between two looks at most, however small the entries: they may grow."""

_PER_LOOK = 256 << 10
"""Bytes between two looks, as far as the newest entry tells."""

_PATIENCE = 0.02
"""Seconds that one call may spend dropping."""


class Checked:
    """Stands before a function and looks after its cache.

    Args:
        function: What is called on a miss.
        kept: The cache's entries.
        claim: Takes the bytes that came and returns the bytes to drop, as a meter does.
    """

    __slots__ = ("_between", "_claim", "_function", "_is_busy", "_kept", "_left", "_way")

    def __init__(
        self, function: Callable[..., Any], kept: Kept, claim: Callable[[Kept, int], int]
    ) -> None:
        self._function = function
        self._kept = kept
        self._claim = claim
        self._left = self._between = 1
        self._is_busy = False
        self._way: partial[Any] | None = None

    def way(self) -> Callable[..., Any]:
        """What a cache should call: this, by a way around it where recursion matters."""
        if not recursion.MATTERS:
            return self
        self._way = partial(self)
        return self._way

    @property
    def __call__(self) -> Callable[..., Any]:
        """The function; on the way to it the cache is looked after. Cost: 0.1 µs a miss."""
        self._left -= 1
        if self._left <= 0 and not self._is_busy:
            self._look()
        return self._function

    def _look(self) -> None:
        # A destructor that calls the cached function again must not come back here.
        self._is_busy = True
        try:
            if self._way is not None:
                way, self._way = self._way, None
                if recursion.comes_back(self._function):
                    # The way keeps this object no longer.
                    way.__setstate__((self._function, (), {}, None))  # type: ignore[attr-defined]  # what pickle calls
                    return
            came, newest = self._between, self._kept.weigh_newest()
            self._between = max(1, min(2 * came, _MOST_BETWEEN, _PER_LOOK // max(newest, ENTRY)))
            due = self._claim(self._kept, came * newest)
            if due > 0:
                self._kept.drop(due, time.monotonic() + _PATIENCE)
        except Exception:  # noqa: BLE001  # the program called its own function, not ours
            self._between = _MOST_BETWEEN
        finally:
            self._left = self._between
            self._is_busy = False
