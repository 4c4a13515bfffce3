"""The files in a shared folder: what they are called, how they are opened and locked safely.

Others may look, sweep and end at any moment, so each step holds by itself: no link is followed,
nothing is waited for, and a path is only believed while it leads to the file at hand.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from membudget.core.native import sleep
from membudget.errors import ControlError
from membudget.probes.kernel_files import identity

if TYPE_CHECKING:
    from membudget.probes.kernel_files import Identity as FileIdentity

SLOT = ".slot"
SOCKET = ".sock"
TOLD, UNREACHED = ".told", ".unreached"
"""What is noted by the processes of one launch: see `host.told` and the shim."""

_CAREFUL = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_ATTEMPTS = 50
"""Tries, 1 ms apart, to lock an own file while others look whether its owner lives."""


def identity_at(path: str) -> FileIdentity:
    """Which file stands at a path, links not followed, or None."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def open_to_read(path: str) -> int:
    """A descriptor to read by.

    Raises:
        OSError: There is none, it is a link, or this user may not read it.
    """
    return os.open(path, os.O_RDONLY | _CAREFUL)


def open_to_change(path: str) -> int:
    """A descriptor to read and write by, of a file that is made where missing.

    Raises:
        OSError: It is a link, or this user may not write it.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | _CAREFUL, 0o600)


def make_locked(path: str) -> int:
    """A descriptor of the file at a path, made where missing, with the owner's lock on it.

    Raises:
        OSError: It cannot be made.
        ControlError: Another holds it.
    """
    for _ in range(_ATTEMPTS):
        descriptor = open_to_change(path)
        # Between opening and locking, a sweeper may have taken it for a dead one's.
        if lock(descriptor) and identity_at(path) == identity(descriptor):
            return descriptor
        os.close(descriptor)
        sleep(0.001)
    raise ControlError(
        f"{path} is held already: a process tells its figures once; stop() its other budget"
    )


def lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take a file's lock if it is free at once; it goes with the descriptor."""
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
