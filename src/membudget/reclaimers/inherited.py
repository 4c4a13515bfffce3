"""What a forked child inherits is frozen, so that no collection un-shares its pages.

A full collection writes to the header of every object that it looks at. In a forked child each
such page is then copied: four workers of a preloading server held 194 MiB together, and 240 MiB
after one collection each. Frozen objects are not looked at; to freeze takes 8 µs, however many.

It is done in the child, at the fork: later on it would freeze what the child made itself as well,
whose cycles then stay for ever; and never in the parent, for the same reason. What remains is
garbage among what was inherited: a bounded amount, on pages that are mostly the parent's as well.
A child whose parent is gone shares nothing any more, and is as it was.
"""

from __future__ import annotations

import atexit
import gc
import os

INTERPRETERS = 1000
"""Fewer frozen objects than this are the interpreter's: Python 3.12 starts with 375."""

LOOK_EVERY = 1.0
"""Seconds between two looks whether the parent is still there."""


class Inherited:
    """Freezes what a child inherits, and undoes it where that is of no use, or as the child ends.

    A program that has frozen objects itself is left alone: it knows better. To find that out takes
    13 ns for each object that it froze.

    Attributes:
        is_frozen: Whether this process has what it inherited frozen, by us.
    """

    name = "inherited"

    def __init__(self) -> None:
        self.is_frozen = False
        self._pid = os.getpid()
        self._parent = 0
        self._look_at = float("-inf")

    def is_frozen_by_program(self) -> bool:
        """Whether the program has frozen objects itself. Cost: 13 ns for each."""
        return not self.is_frozen and gc.get_freeze_count() >= INTERPRETERS

    def due(self, now: float) -> bool:
        """Whether the parent has ended."""
        if not self.is_frozen or now < self._look_at:
            return False
        self._look_at = now + LOOK_EVERY
        return os.getppid() != self._parent

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
        """Nothing changes: frozen again and again, a parent would keep all its garbage."""

    def after_fork_in_child(self) -> None:
        """Freeze."""
        self._parent, self._pid = self._pid, os.getpid()
        if self.is_frozen_by_program():
            return
        if not self.is_frozen:
            self.is_frozen = True
            # What ends in good order expects its last collection to find everything.
            atexit.register(self.thaw)
        gc.freeze()
