"""One lock for what several threads use, also around forks."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from membudget.core.native import RLock

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Locked:
    """Something under a lock that a thread may take again, which is at rest while forks happen.

    Args:
        now: Monotonic seconds.
    """

    __slots__ = ("_lock", "_now")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = RLock()

    def before_fork(self, until: float) -> None:
        """Take the lock, so that the child finds everything in order."""
        self._lock.acquire(timeout=max(0.0, until - time.monotonic()))

    def after_fork_in_parent(self) -> None:
        """Give the lock back where it could be had: only then is it this thread's."""
        with contextlib.suppress(RuntimeError):
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Take a new lock; forget all where another thread was in the middle of a change."""
        try:
            self._lock.release()
        except RuntimeError:
            self._forget()
        self._lock = RLock()

    def _forget(self) -> None:
        """Begin anew: another thread was in the middle of a change."""
        raise NotImplementedError

    def _under_lock(self, action: Callable[[], T], until: float | None) -> T | None:
        """What an action under the lock returns; None where the lock was not to be had in time."""
        if until is None:
            # By `with`: a signal handler that raises must not leave the lock held.
            with self._lock:
                return action()
        left = until - self._now()
        if left <= 0 or not self._lock.acquire(timeout=min(left, threading.TIMEOUT_MAX)):
            return None
        try:
            return action()
        finally:
            self._lock.release()
