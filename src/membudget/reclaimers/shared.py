"""Pages that a process shares with those that it forked, or that forked it, stay shared.

A full collection writes to the header of every object that it looks at, and after a fork each such
page is then copied, by the parent as by each child: a preloading server of four workers held 194
MiB, and 240 MiB after one collection each. So

- a child freezes what it inherits, at the fork: frozen objects are not looked at. To freeze takes 8
  µs, however many. Later on it would freeze what the child made itself as well, whose cycles then
  stay for ever; and in the parent each fork would do so. What remains is garbage among what was
  inherited: a bounded amount, on pages that are mostly the parent's as well;
- a parent does not collect in full while children live, unless it has grown much since the fork.

A child that shares little any more is as it was: its parent is gone and left no other children, or
has let go of what it had. The kernel tells, in 2.5 ms and 10 ms more for each GB. It is asked once
the parent is gone, and before each full collection of the interpreter's or the program's: what a
child took over and replaced would else stay for good, and fill the room twice.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

INTERPRETERS = 1000
"""Fewer frozen objects than this are the interpreter's: Python 3.12 starts with 375."""

LOOK_EVERY = 1.0
"""Seconds between two looks whether the parent is still there."""

ASK_EVERY = 60.0
"""The same, once the parent is gone, whether others still share what it left."""

LITTLE = 1 / 4
"""Share of what was inherited below which the pages still shared are no reason to keep garbage."""

_ASK_SHARE = 0.01
"""Share of the time that asking the kernel may take."""

_FULL = 2
GROWN = 1.5
"""Times what a parent held at its last fork from which there may be more to free than to copy."""


class SharedPages:
    """Freezes what a child inherits, and undoes it where that is of no use, or as the child ends.

    A program that has frozen objects itself is left alone: it knows better. To find that out takes
    13 ns for each object that it froze.

    Args:
        own: Reads the bytes of the process now.
        shared: Reads the bytes that it shares with other processes, or None where that is not
            known.

    Attributes:
        is_frozen: Whether this process has what it inherited frozen, by us.
    """

    name = "shared pages"

    def __init__(
        self, own: Callable[[], int], shared: Callable[[], int | None] = lambda: None
    ) -> None:
        self.is_frozen = False
        self._own = own
        self._shared = shared
        self._inherited = 0
        self._is_following = False
        self._ask_at = float("-inf")
        self._pid = os.getpid()
        self._parent = 0
        self._has_forked = False
        self._look_at = float("-inf")

    def is_frozen_by_program(self) -> bool:
        """Whether the program has frozen objects itself. Cost: 13 ns for each."""
        return not self.is_frozen and gc.get_freeze_count() >= INTERPRETERS

    def would_be_copied(self) -> bool:
        """Whether a full collection would copy more than it may free. Cost: 3 µs, if it forked."""
        if not self._has_forked:
            return False
        if not has_children():
            self._has_forked = False
            return False
        return self._own() < GROWN * self._inherited

    def due(self, now: float) -> bool:
        """Whether the parent has ended."""
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_EVERY
        if not self.is_frozen:
            return self._is_following
        if os.getppid() == self._parent:
            return False
        if self._shares_little(is_known=False):
            return True
        self._look_at = now + ASK_EVERY
        return False

    def run(self, until: float) -> int:  # noqa: ARG002  # takes a microsecond
        """Have all as it was."""
        self.thaw()
        return 0

    def thaw(self) -> None:
        """Have collections look at what was inherited again; nothing happens where they do."""
        self._unfreeze()
        if self._is_following:
            self._is_following = False
            atexit.unregister(self.thaw)
            while self._before_collection in gc.callbacks:
                gc.callbacks.remove(self._before_collection)

    def _unfreeze(self) -> None:
        if self.is_frozen:
            self.is_frozen = False
            gc.unfreeze()

    def _before_collection(self, phase: str, info: dict[str, int]) -> None:
        """A full collection begins, on any thread: it is to find what only this process holds.

        We stay in the list, which the interpreter goes through at this moment.
        """
        if phase == "start" and info["generation"] == _FULL and self.is_frozen:
            with contextlib.suppress(Exception):  # What fails here the interpreter would print.
                if self._shares_little(is_known=True):
                    self._unfreeze()

    def _shares_little(self, *, is_known: bool) -> bool:
        """Whether next to nothing would be copied any more.

        Args:
            is_known: Whether that must be known; else it is also true where nobody can tell.
        """
        began = time.monotonic()
        if began < self._ask_at:
            return False
        shared = self._shared()
        self._ask_at = began + (time.monotonic() - began) / _ASK_SHARE
        return not is_known if shared is None else shared < LITTLE * self._inherited

    def before_fork(self, until: float) -> None:  # noqa: ARG002  # nothing has to rest
        """Note what the child will inherit."""
        self._inherited = self._own()

    def after_fork_in_parent(self) -> None:
        """All is shared from now on."""
        self._has_forked = True

    def after_fork_in_child(self) -> None:
        """Freeze."""
        self._parent, self._pid = self._pid, os.getpid()
        self._has_forked = False
        if self.is_frozen_by_program():
            return
        self.is_frozen = True
        self._ask_at = float("-inf")
        if not self._is_following:
            self._is_following = True
            # What ends in good order expects its last collection to find everything.
            atexit.register(self.thaw)
            gc.callbacks.append(self._before_collection)
        gc.freeze()


def has_children() -> bool:
    """Whether any child of this process lives, or waits to be waited for; none is waited for."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
