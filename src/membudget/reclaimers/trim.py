"""Giving free pages of malloc back to the kernel.

Worth its stall only for blocks above 512 bytes, which pymalloc leaves to malloc: freeing 1 GB of
2 KB strings returned 7 % by itself and 99.8 % after a trim, which took about 70 ms and held
malloc's lock meanwhile. Hence late on the ladder and at most once in ten seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.core import Rung
from membudget.reclaimers.combine import throttled

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.core import Clock, Reclaimer

EVERY = 10.0
"""Seconds at least between two trims."""


class _Trim:
    name = "malloc trim"

    def __init__(self, trim: Callable[[], bool], own: Callable[[], int], rung: Rung) -> None:
        self.rung = rung
        self._trim = trim
        self._own = own

    def reclaimable(self) -> int | None:
        """Not known: malloc's own figure of free bytes does not fall after a trim."""
        return None

    def reclaim(self, target: int, until: float) -> int:  # noqa: ARG002  # a trim cannot be cut short
        """Trim, and claim what the process shrank by."""
        before = self._own()
        self._trim()
        return max(0, before - self._own())


def trim(
    trim: Callable[[], bool],
    own: Callable[[], int],
    *,
    rung: Rung = Rung.AGGRESSIVE,
    every: float = EVERY,
    clock: Clock | None = None,
) -> Reclaimer:
    """A reclaimer that trims malloc's free pages, at most once in `every` seconds.

    Args:
        trim: Trims, returns whether anything was given back (`probes.allocator.trim`).
        own: Reads the bytes of the process now.
        rung: When it is asked.
        every: Seconds at least between two.
        clock: For tests.
    """
    return throttled(_Trim(trim, own, rung), every, clock=clock)
