"""A lock that comes to rest while the process forks, for what holds items under one."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from membudget.core.native import RLock

if TYPE_CHECKING:
    from collections.abc import Callable


class Locked:
    """Something with a lock of its own.

    The lock is re-entrant and the system's: foreign code that comes back in the middle of a change
    does not wait for itself, and the governor's thread does not wait for greenlets.
    """

    _now: Callable[[], float]

    def __init__(self) -> None:
        self._lock = RLock()

    def before_fork(self, until: float) -> None:
        """Take the lock, so that the child finds everything in order."""
        self._lock.acquire(timeout=max(0.0, until - time.monotonic()))

    def after_fork_in_parent(self) -> None:
        """Give the lock back where it could be had: only then is it this thread's."""
        with contextlib.suppress(RuntimeError):
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Take a new lock; mend what another thread was in the middle of."""
        try:
            self._lock.release()
        except RuntimeError:
            self._mend()
        self._lock = RLock()

    def _mend(self) -> None:
        """Bring the sums in line with what is held, after a change that was cut short."""
        raise NotImplementedError

    def _enter(self, until: float | None) -> bool:
        """Take the lock, for a time if need be; returns whether it was to be had."""
        if until is None:
            return bool(self._lock.acquire())
        left = until - self._now()
        if left <= 0:
            return False
        return bool(self._lock.acquire(timeout=min(left, threading.TIMEOUT_MAX)))
