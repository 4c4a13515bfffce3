"""How the loop waits: for its interval, for a ring at the door, or for a hint from the kernel."""

from __future__ import annotations

import contextlib
import os
import select
import time

from membudget.core.native import Lock, RLock, poll
from membudget.ownership import close_own, identity, kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from membudget.core import Hint
    from membudget.ownership import Identity

_RING = b"!"
_LOOK_EVERY = 1.0
"""Seconds between two looks whether the program has closed our descriptors: each look may cost a
wait for the GIL."""


class Doorbell:
    """Something to wait at, that any thread may ring. One thread waits.

    Uses `poll` on a pipe and the hints' descriptors; where there is no poll, a lock, and then
    hints are left aside. A pipe is told from all others, an eventfd would not be.
    """

    def __init__(self) -> None:
        self._quiet = Lock()
        self._quiet.acquire()
        self._lock = RLock()
        self.is_listening = False  # Set by whoever has all hints.
        self._hints: dict[int, Hint] = {}
        self._ends: tuple[int, ...] = ()
        self._identity: Identity = None
        self._poll: select.poll | None = None
        self._looked_at = time.monotonic()
        if poll is not None:
            self._ends = tuple(map(kept, os.pipe()))
            for end in self._ends:
                os.set_blocking(end, False)
            self._identity = identity(self._ends[0])
            self._poll = poll()
            self._poll.register(self._ends[0], select.POLLIN)

    def listen(self, hints: Sequence[Hint]) -> None:
        """Wait for these kernel wake-ups as well, from the waiting thread; closed with the bell."""
        for hint in hints:
            if self._poll is not None:
                self._hints[hint.fileno()] = hint
                self._poll.register(hint.fileno(), hint.events)
            else:
                hint.close()

    def is_whole(self) -> bool:
        """Whether its descriptor is still its own: a daemon closes every number it finds."""
        now = time.monotonic()
        if poll is None or now - self._looked_at < _LOOK_EVERY:
            return True
        self._looked_at = now
        return all(identity(end) == self._identity for end in self._ends)

    def ring(self) -> None:
        """Wake the waiting thread, now or at its next wait."""
        with contextlib.suppress(RuntimeError):  # It rings already.
            self._quiet.release()
        # Under the lock, since a number just closed may be somebody else's file by now.
        with self._lock, contextlib.suppress(OSError):
            if self._ends and identity(self._ends[1]) == self._identity:
                os.write(self._ends[1], _RING)

    def wait(self, timeout: float) -> list[str]:
        """Wait at most `timeout` seconds; returns the names of the hints that came."""
        if self._poll is None:
            self._quiet.acquire(timeout=timeout)
            return []
        came = []
        for fd, events in self._poll.poll(max(0, round(timeout * 1000))):
            if fd == self._ends[0]:
                self._hear(fd)
            elif (hint := self._hints.get(fd)) is not None:
                came.append(hint.name)
                self._clear(hint, events)
        self._quiet.acquire(blocking=False)
        return came

    def close_in_child(self) -> None:
        """Give all descriptors back in a forked child: whoever was ringing may not have come along.

        The lock would stay taken for ever.
        """
        self._lock = RLock()
        self.close()

    def close(self) -> None:
        """Give all descriptors back."""
        with self._lock:
            ends, self._ends, self._poll = self._ends, (), None
            for end in ends:
                close_own(end, self._identity)
        for hint in self._hints.values():
            with contextlib.suppress(OSError):
                hint.close()
        self._hints = {}

    def _hear(self, end: int) -> None:
        if identity(end) == self._identity:
            with contextlib.suppress(OSError):
                os.read(end, 4096)
        elif self._poll is not None:
            # The program closed the number and may use it: wait without it from now on.
            self._poll.unregister(end)
            self._looked_at = float("-inf")

    def _clear(self, hint: Hint, events: int) -> None:
        try:
            hint.clear()
            is_broken = bool(events & (select.POLLNVAL | select.POLLHUP))
        except OSError:
            is_broken = True
        # A broken hint is ready for ever: waiting on would turn into spinning.
        if is_broken and self._poll is not None:
            self._poll.unregister(hint.fileno())
