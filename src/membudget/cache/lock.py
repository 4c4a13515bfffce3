"""A lock that comes to rest while the process forks, for what holds items under one."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

from membudget.core.native import RLock

if TYPE_CHECKING:
    from collections.abc import Callable

_INFINITE = float("inf")


class ForkLock:
    """Something with a lock of its own.

    The lock is re-entrant and the system's: foreign code that comes back in the middle of a change
    does not wait for itself, and the governor's thread does not wait for greenlets.
    """

    __slots__ = ("_lock",)

    _now: Callable[[], float]

    def __init__(self) -> None:
        self._lock = RLock()

    def __reduce__(self) -> Any:
        """Refuse to be copied or pickled, where a class does not say how.

        Raises:
            TypeError: Always; two that share items and a lock would each count the bytes.
        """
        kind = type(self).__name__
        raise TypeError(
            f"a {kind} can be neither copied nor pickled: make another {kind}, and put in what it "
            "is to hold"
        )

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

    def _under_lock(self, until: float | None, work: Callable[[], object]) -> bool:
        """Do something under the lock where it is to be had in time; returns whether it was done.

        An exception from a signal's handler may come after any call, so also between taking the
        lock and saying so: then it is given back all the same. Where it is not this thread's, to
        give it back is refused.

        Args:
            until: Monotonic time to wait until; None waits as long as it takes.
            work: What to do.
        """
        lock = self._lock
        if until is None or until == _INFINITE:
            with lock:
                work()
            return True
        left = until - self._now()
        if left <= 0:
            return False
        try:
            # Where this thread has it already, this cannot fail.
            is_had = bool(lock.acquire(timeout=min(left, threading.TIMEOUT_MAX)))
            if is_had:
                work()
            return is_had
        finally:
            try:  # noqa: SIM105  # suppress() would be a call that could be cut short after
                lock.release()
            except RuntimeError:
                pass
