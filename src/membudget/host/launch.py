"""What the processes of one launch know of each other: what was told, and who looks after whom.

Whoever sees the limit first notes it in a file beside the slots, under its lock; there is no leader
that could end or be late. A process that only waits for others that it started and that are
governed themselves rests; that is judged anew at each look by what it does.
"""

from __future__ import annotations

import os
import time

from membudget.core import RISE
from membudget.core.native import sleep
from membudget.errors import MembudgetError, ProbeError
from membudget.governor.telling import FOREIGN
from membudget.governor.watch import AT_EASE, BUSY
from membudget.host import SLOT, TOLD, parent_of, parse_stem
from membudget.host.slot import is_alive
from membudget.ownership import lock, open_own
from membudget.reclaimers import has_children
from membudget.units import LONGEST_NAME, one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from membudget.core import Pressure
    from membudget.governor import Governor

LIGHT = 32 << 20  # Bytes held alone that are no loss: an interpreter with a framework.
_ASK_HEAVY_AFTER = 60.0  # Seconds until one that held more is asked again, which takes 10 ms a GB.
_MOST = 8192  # Bytes read and written: some twenty subjects.
_ATTEMPTS = 20  # Tries, 1 ms apart, to have the lock, which is held for some 50 µs.


class Told:
    """The file of one launch; `mark` is what `launch_mark` returned where it was launched."""

    def __init__(self, mark: str, wall: Callable[[], float]) -> None:
        self._path = mark + TOLD
        self._wall = wall

    def is_news(self, subject: str, seconds: float, *, again: bool = False) -> bool:
        """Whether nobody told this within so many seconds, or it cannot be known; then it is noted.

        With `again` it is news to whoever told it. Cost: 60 µs.
        """
        try:
            descriptor = open_own(self._path, os.O_RDWR | os.O_CREAT)
        except (MembudgetError, OSError):
            return True
        try:
            for _ in range(_ATTEMPTS):
                if lock(descriptor):
                    return self._note(
                        descriptor, one_line(subject, LONGEST_NAME), seconds, again=again
                    )
                sleep(0.001)
        except (OSError, ValueError):
            return True
        finally:
            os.close(descriptor)
        return True

    def _note(self, descriptor: int, subject: str, seconds: float, *, again: bool) -> bool:
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


def _parsed(text: str) -> Iterator[tuple[str, tuple[str, float]]]:
    for line in text.splitlines():
        subject, _, rest = line.partition("\t")
        pid, _, at = rest.rpartition("\t")
        try:
            yield subject, (pid, float(at))
        except ValueError:  # Cut off, or nobody's.
            continue


class Supervising:
    """Says at each step whether the governor of this process rests. One thread calls it.

    `own` and `shared` read its bytes, and those that others have as well (None: not known).
    """

    name = "supervising"

    def __init__(
        self,
        own: Callable[[], int],
        shared: Callable[[], int | None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._governor: Governor | None = None
        self._own = own
        self._shared = shared
        self._now = now
        self._pid = self._held_then = 0
        self._spent = self._looked_at = self._look_at = 0.0
        self._rests = False

    def join(self, governor: Governor) -> None:
        """Let this governor rest."""
        self._governor = governor
        governor.rests = self

    def __call__(self, pressure: Pressure) -> bool:
        """Whether it rests from now on; what cannot be told is governed. Cost: 5 µs."""
        try:
            # Others can do nothing about a limit of this process's own.
            return self._may_rest(is_pressed=bool(pressure.level and not pressure.elsewhere))
        except FOREIGN:  # What holds memory is foreign code.
            return False

    def _may_rest(self, *, is_pressed: bool) -> bool:
        now, held = self._now(), self._own()
        is_new = self._pid != os.getpid() or held - self._held_then >= RISE
        if is_new or is_pressed or self._holds():
            self._pid, self._rests = os.getpid(), False
            self._held_then, self._spent = held, time.process_time()
            self._looked_at, self._look_at = now, now + AT_EASE
        elif now >= self._look_at:
            spent, before = time.process_time(), self._spent
            is_calm = spent - before <= BUSY * (now - self._looked_at)
            self._looked_at, self._look_at, self._spent = now, now + AT_EASE, spent
            self._rests = (
                is_calm and self._has_governed() and (self._rests or self._is_light(now, held))
            )
        return self._rests

    def _holds(self) -> bool:
        if self._governor is None:
            return True
        registry = self._governor.registry
        return registry.held_bytes() > 0 or any(
            one.reclaimable() != 0 for one in registry.reclaimers()
        )

    def _is_light(self, now: float, held: int) -> bool:
        """Whether what it holds is little, or mostly those that it forked have it as well."""
        if held < LIGHT or held - (self._shared() or 0) < LIGHT:
            return True
        self._look_at = now + _ASK_HEAVY_AFTER
        return False

    def _has_governed(self) -> bool:
        """Whether a process that this one started, or one of those did, has a living slot."""
        if not has_children():
            return False
        place = self._governor.plugins.member("place") if self._governor is not None else None
        folder, _, name = (place or "").rpartition("/")
        own = parse_stem(name.removesuffix(SLOT))
        if own is None:
            return False
        for entry in os.listdir(folder):
            one = parse_stem(entry.removesuffix(SLOT)) if entry.endswith(SLOT) else None
            if one is None or (one.boot, one.namespace) != (own.boot, own.namespace):
                continue
            if _descends(one.pid, own.pid) and is_alive(f"{folder}/{entry}"):
                return True
        return False


def _descends(pid: int, ancestor: int) -> bool:
    try:
        while pid > 1:
            pid = parent_of(pid)
            if pid == ancestor:
                return True
    except ProbeError:  # It ended meanwhile.
        pass
    return False
