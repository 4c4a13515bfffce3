"""A history file's place on disk: one process each, written whole, never half.

Processes of one program share the setting, so they are given files of their own: the first free one
of `samples`, `samples.2`, `samples.3` and on. What is free is told by a lock (`flock`) on an empty
file beside it, `samples.lock`, which the kernel lifts when its process ends, however it ends. So
workers never mix, and a worker that takes another's place goes on with that one's history. The
names do not grow with the number of restarts, as names made of process ids would.
"""

from __future__ import annotations

import contextlib
import os

from membudget.errors import MembudgetError
from membudget.ownership import close_own, identity, open_own, write_whole
from membudget.sampling.form import BEGINS

MOST_PLACES = 64
"""Processes that may share the setting."""

_MOST_BROKEN = 9
_LONGEST = 64 << 20


class Place:
    """One history file that this process alone writes.

    Args:
        path: The file that the setting names.

    Attributes:
        path: The file taken.

    Raises:
        ConfigError: Something that is not ours stands there; it is left as it is.
        OSError: No lock can be made there.
        MembudgetError: All places are taken, or the system has no such locks.
    """

    def __init__(self, path: str) -> None:
        try:
            from fcntl import LOCK_EX, LOCK_NB, flock  # only for those who keep a file
        except ImportError as error:
            raise MembudgetError(f"{path} is not kept: this system has no flock") from error

        for number in range(1, MOST_PLACES + 1):
            self.path = path if number == 1 else f"{path}.{number}"
            with contextlib.suppress(FileNotFoundError):  # Before a lock is made beside it.
                os.close(open_own(self.path, begins=BEGINS))
            self._lock = open_own(f"{self.path}.lock", os.O_RDWR | os.O_CREAT)
            try:
                flock(self._lock, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                os.close(self._lock)
            except OSError:
                os.close(self._lock)
                raise
            else:
                self._identity = identity(self._lock)
                return
        raise MembudgetError(f"{path} is not kept: {MOST_PLACES} processes keep one already")

    def is_ours(self) -> bool:
        """Whether the lock is still there: a program that becomes a daemon closes all it finds."""
        return self._identity is not None and identity(self._lock) == self._identity

    def read(self) -> bytes | None:
        """What the file holds, or None where there is none, or nothing in it.

        Raises:
            ConfigError: What stands there is not ours.
            OSError: It is there and cannot be read.
        """
        try:
            descriptor = open_own(self.path, begins=BEGINS)
        except FileNotFoundError:
            return None
        with open(descriptor, "rb") as file:
            return file.read(_LONGEST) or None  # A longer one is one that was cut short.

    def write(self, text: bytes) -> None:
        """Put this in the file's place; whoever reads sees all of it, or what was there before.

        It is not forced onto the disk, which may take seconds: after a power cut the file may be
        an older one, or one that its checksum shows to be broken.

        Raises:
            ConfigError: What stands there is not ours.
            OSError: It cannot be written.
        """
        write_whole(self.path, text, begins=BEGINS)

    def put_aside(self) -> str:
        """Rename a file of ours that cannot be used, so that nothing is lost; returns its new name.

        Raises:
            OSError: It cannot be renamed, or there are nine such files already.
        """
        for number in range(1, _MOST_BROKEN + 1):
            aside = f"{self.path}.broken" + (f".{number}" if number > 1 else "")
            if not os.path.lexists(aside):
                os.rename(self.path, aside)
                return aside
        raise FileExistsError(f"{self.path}.broken and {_MOST_BROKEN - 1} more are there: clean up")

    def close(self) -> None:
        """Let others have the place; in a forked child, let go of the parent's."""
        expected, self._identity = self._identity, None
        close_own(self._lock, expected)
