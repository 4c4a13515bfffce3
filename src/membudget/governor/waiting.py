"""How the loop waits: for its interval, for a ring at the door, or for a hint from the kernel."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from typing import TYPE_CHECKING

from membudget.probes.kernel_files import close_own, identity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from membudget.core import Hint
    from membudget.probes.kernel_files import Identity


_CAN_POLL = hasattr(os, "eventfd") and hasattr(select, "poll")


class Doorbell:
    """Something to wait at, that any thread may ring. One thread waits.

    Uses `poll` on an eventfd and the hints' descriptors; where there is no eventfd, an ordinary
    event, and then hints are left aside.
    """

    def __init__(self) -> None:
        self._rung = threading.Event()
        self._lock = threading.RLock()
        self.is_listening = False  # Set by whoever has all hints.
        self._hints: dict[int, Hint] = {}
        self._fd: int | None = None
        self._identity: Identity = None
        self._poll: select.poll | None = None
        if _CAN_POLL:
            self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._identity = identity(self._fd)
            self._poll = select.poll()
            self._poll.register(self._fd, select.POLLIN)

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
        return self._poll is not None or not _CAN_POLL

    def ring(self) -> None:
        """Wake the waiting thread, now or at its next wait."""
        self._rung.set()
        # Under the lock, since a number just closed may be somebody else's file by now.
        with self._lock, contextlib.suppress(OSError):
            if self._fd is not None and identity(self._fd) == self._identity:
                os.eventfd_write(self._fd, 1)

    def wait(self, timeout: float) -> list[str]:
        """Wait at most `timeout` seconds; returns the names of the hints that came."""
        poll, door = self._poll, self._fd
        if poll is not None and door is not None and identity(door) != self._identity:
            # The program closed the number and may use it: wait without it from now on.
            self._fd = self._poll = poll = None
        if poll is None:
            self._rung.wait(timeout)
            self._rung.clear()
            return []
        came = []
        for fd, events in poll.poll(max(0, round(timeout * 1000))):
            if fd == door:
                with contextlib.suppress(OSError):
                    os.eventfd_read(fd)
            elif (hint := self._hints.get(fd)) is not None:
                came.append(hint.name)
                self._clear(hint, events)
        self._rung.clear()
        return came

    def close(self) -> None:
        """Give all descriptors back."""
        with self._lock:
            if self._fd is not None:
                close_own(self._fd, self._identity)
            self._fd = self._poll = None
        for hint in self._hints.values():
            with contextlib.suppress(OSError):
                hint.close()
        self._hints = {}

    def _clear(self, hint: Hint, events: int) -> None:
        try:
            hint.clear()
            is_broken = bool(events & (select.POLLNVAL | select.POLLHUP))
        except OSError:
            is_broken = True
        # A broken hint is ready for ever: waiting on would turn into spinning.
        if is_broken and self._poll is not None:
            self._poll.unregister(hint.fileno())
