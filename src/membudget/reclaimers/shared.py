"""Pages that a process shares with those that it forked, or that forked it, stay shared.

A full collection writes to the header of every object that it looks at, and after a fork each such
page is then copied, by the parent as by each child: a preloading server of four workers held 194
MiB, and 240 MiB after one collection each. So

- a child freezes what it inherits, at the fork: frozen objects are not looked at. To freeze takes 8
  µs, however many. Later on it would freeze what the child made itself as well, whose cycles then
  stay for ever; and in the parent each fork would do so. What remains is garbage among what was
  inherited: a bounded amount, on pages that are mostly the parent's as well;
- a parent does not collect in full while children live, unless it has grown much since the fork.

A child whose parent is gone shares nothing any more, and is as it was.
"""

from __future__ import annotations

import atexit
import gc
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

INTERPRETERS = 1000
"""Fewer frozen objects than this are the interpreter's: Python 3.12 starts with 375."""

LOOK_EVERY = 1.0
"""Seconds between two looks whether the parent is still there."""

GROWN = 1.5
"""Times what a parent held at its last fork from which there may be more to free than to copy."""


class SharedPages:
    """Freezes what a child inherits, and undoes it where that is of no use, or as the child ends.

    A program that has frozen objects itself is left alone: it knows better. To find that out takes
    13 ns for each object that it froze.

    Args:
        own: Reads the bytes of the process now.

    Attributes:
        is_frozen: Whether this process has what it inherited frozen, by us.
    """

    name = "shared pages"

    def __init__(self, own: Callable[[], int]) -> None:
        self.is_frozen = False
        self._own = own
        self._pid = os.getpid()
        self._parent = 0
        self._has_forked = False
        self._held_at_fork: int | None = None
        self._look_at = float("-inf")

    def is_frozen_by_program(self) -> bool:
        """Whether the program has frozen objects itself. Cost: 13 ns for each."""
        return not self.is_frozen and gc.get_freeze_count() >= INTERPRETERS

    def would_be_copied(self) -> bool:
        """Whether a full collection would copy more than it may free. Cost: 3 µs, if it forked."""
        if not self._has_forked:
            return False
        if not _has_children():
            self._has_forked = False
            return False
        held = self._own()
        if self._held_at_fork is None:
            self._held_at_fork = held
        return held < GROWN * self._held_at_fork

    def due(self, now: float) -> bool:
        """Whether the parent has ended; what is held after a fork is noted by the way."""
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_EVERY
        if self._has_forked and self._held_at_fork is None:
            self._held_at_fork = self._own()
        return self.is_frozen and os.getppid() != self._parent

    def run(self, until: float) -> int:  # noqa: ARG002  # takes a microsecond
        """Have all as it was."""
        self.thaw()
        return 0

    def thaw(self) -> None:
        """Have collections look at what was inherited again; nothing happens where they do."""
        if self.is_frozen:
            self.is_frozen = False
            gc.unfreeze()
            atexit.unregister(self.thaw)

    def before_fork(self, until: float) -> None:
        """Nothing has to rest."""

    def after_fork_in_parent(self) -> None:
        """All is shared from now on."""
        self._has_forked, self._held_at_fork = True, None

    def after_fork_in_child(self) -> None:
        """Freeze."""
        self._parent, self._pid = self._pid, os.getpid()
        self._has_forked = False
        if self.is_frozen_by_program():
            return
        if not self.is_frozen:
            self.is_frozen = True
            # What ends in good order expects its last collection to find everything.
            atexit.register(self.thaw)
        gc.freeze()


def _has_children() -> bool:
    """Whether any child of this process lives, or waits to be waited for; none is waited for."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
