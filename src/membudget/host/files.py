"""The files in a shared folder: what they are called, how they are opened and locked safely.

Others may look, sweep and end at any moment, so each step holds by itself: no link is followed,
nothing is waited for, and a path is only believed while it leads to the file at hand.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from typing import TYPE_CHECKING

from membudget.core.native import sleep
from membudget.errors import ControlError
from membudget.ownership import identity, open_own

if TYPE_CHECKING:
    from membudget.ownership import Identity as FileIdentity

SLOT = ".slot"
SOCKET = ".sock"
TOLD, UNREACHED = ".told", ".unreached"
"""What is noted by the processes of one launch: see `host.told` and the shim."""

_ATTEMPTS = 50
"""Tries, 1 ms apart, to lock an own file while others look whether its owner lives."""


def identity_at(path: str) -> FileIdentity:
    """Which file stands at a path, links not followed, or None."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def make_locked(path: str, begins: bytes) -> int:
    """A descriptor of the file at a path, made where missing, with the owner's lock on it.

    Args:
        path: The file.
        begins: What a file of ours begins with.

    Raises:
        ConfigError: What stands there is not ours.
        OSError: It cannot be made.
        ControlError: Another holds it.
    """
    for _ in range(_ATTEMPTS):
        descriptor = open_own(path, os.O_RDWR | os.O_CREAT, begins=begins)
        # Between opening and locking, a sweeper may have taken it for a dead one's.
        if lock(descriptor) and identity_at(path) == identity(descriptor):
            return descriptor
        os.close(descriptor)
        sleep(0.001)
    raise ControlError(
        f"{path} is held already: a process tells its figures once; stop() its other budget"
    )


def remove_socket(path: str) -> int:
    """Remove what is at a path, if it is a socket; returns how many are gone: 1 or 0."""
    with contextlib.suppress(OSError):
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)
            return 1
    return 0


def lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take a file's lock if it is free at once; it goes with the descriptor."""
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
