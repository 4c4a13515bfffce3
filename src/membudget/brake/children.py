"""Children and the brake: a limit set on this process is inherited, and they must not be bound.

A child gets its parent's limits at the fork and keeps them through exec. Most are caught before
that: `os.fork` by its hooks, subprocess and its like by audit events. What raises none (the
children of multiprocessing's spawn and forkserver) is found among the children, once a second.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from membudget.brake.limit import least
from membudget.probes.kernel_files import children_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from membudget.brake.limit import DataLimits

_EVERY = 1.0
_SHARE = 0.001
"""Seconds between two looks at the children, and the share of the time they may take."""


class Children:
    """Gives children that were born with a limit of ours the old one.

    Args:
        limits: Theirs and ours.
        proc: Where /proc is.
        now: Monotonic seconds.
    """

    def __init__(
        self,
        limits: DataLimits,
        proc: str = "/proc",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._proc = proc
        self._now = now
        self._known: frozenset[int] = frozenset()
        self._due = float("-inf")

    def look(self, ours: Collection[int], old: int | None) -> None:
        """Look for new children, if a look is due.

        Cost: 10 µs a thread and 3 µs a new child, at most a thousandth of the time.

        Args:
            ours: The limits that were ever set by us while they may have been born.
            old: The limit to give back.
        """
        began = self._now()
        if began < self._due:
            return
        children = frozenset(children_of("self", self._proc))
        for pid in children - self._known:
            self._release(pid, ours, old)
        self._known = children
        now = self._now()
        self._due = now + max(_EVERY, (now - began) / _SHARE)

    def _release(self, pid: int, ours: Collection[int], old: int | None) -> None:
        # It may have ended, or belong to another user: then it is not ours to help.
        with contextlib.suppress(OSError, ValueError):
            soft, hard = self._limits.get(pid)
            if soft is not None and soft in ours:
                self._limits.set(least(old, hard), hard, pid)
                for grandchild in children_of(pid, self._proc):
                    self._release(grandchild, ours, old)
