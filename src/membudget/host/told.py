"""What the processes of one launch have told: what all of them see is told by one.

Ten workers under one limit see it come near in the same second, though not all at once. Whoever
sees it first notes it in a small file beside the slots, under its lock, and tells it; the others
find it there, each level for itself, since one of them may be a step behind. There is no leader
that could end or be late.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from membudget.core.native import sleep
from membudget.errors import MembudgetError
from membudget.host.identity import TOLD, claim_folder, identity_of, lock
from membudget.ownership import default_folder, open_own
from membudget.units import LONGEST_NAME, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST = 8192
"""Bytes read and written: some twenty subjects."""

_ATTEMPTS = 20
"""Tries, 1 ms apart, to have the lock, which is held for some 50 µs."""


def launch_mark(directory: str) -> str | None:
    """Where the processes launched from here, in this one's place, may note things.

    Args:
        directory: A folder, or "auto" or "none", as settings have it.

    Returns:
        A path to which a suffix is to be added, or None where there is no such place.
    """
    if directory == "none":
        return None
    try:
        folder = claim_folder(default_folder() if directory == "auto" else directory)
        return f"{folder}/{identity_of().stem}"
    except (MembudgetError, OSError):
        return None  # Each tells what it sees, then.


class Told:
    """The file of one launch.

    Args:
        mark: What `launch_mark` returned where it was launched.
        wall: Unix seconds.
    """

    def __init__(self, mark: str, wall: Callable[[], float]) -> None:
        self._path = mark + TOLD
        self._wall = wall

    def is_news(self, subject: str, seconds: float, *, again: bool = False) -> bool:
        """Whether nobody told this within so many seconds; then it is noted as told.

        True as well where it cannot be known. Cost: 60 µs.

        Args:
            subject: What is told.
            seconds: For how long it is no news to the others.
            again: Whether it is news to whoever told it.
        """
        try:
            descriptor = open_own(self._path, os.O_RDWR | os.O_CREAT)
        except (MembudgetError, OSError):
            return True
        try:
            return self._note(descriptor, one_line(subject, LONGEST_NAME), seconds, again=again)
        except (OSError, ValueError):
            return True
        finally:
            os.close(descriptor)

    def _note(self, descriptor: int, subject: str, seconds: float, *, again: bool) -> bool:
        for _ in range(_ATTEMPTS):
            if lock(descriptor):
                break
            sleep(0.001)
        else:
            return True
        now, own = self._wall(), str(os.getpid())
        notes = dict(_parsed(os.pread(descriptor, _MOST, 0).decode("utf-8", "replace")))
        who, at = notes.pop(subject, ("", 0.0))
        if who and 0 <= now - at < seconds and not (again and who == own):
            return False
        notes[subject] = (own, now)  # The newest last: what does not fit is the oldest.
        lines = [f"{name}\t{pid}\t{when!r}\n" for name, (pid, when) in notes.items()]
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, "".join(lines).encode()[-_MOST:], 0)
        return True


def _parsed(text: str) -> list[tuple[str, tuple[str, float]]]:
    notes = []
    for line in text.splitlines():
        subject, _, rest = line.partition("\t")
        pid, _, at = rest.rpartition("\t")
        try:
            notes.append((subject, (pid, float(at))))
        except ValueError:  # Cut off, or nobody's.
            continue
    return notes
