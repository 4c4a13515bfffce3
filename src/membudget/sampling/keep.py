"""Keeping the ring over a restart: read once, written every quarter of an hour and at the end.

Each process has the first free one of `samples`, `samples.2` and on, as told by a lock (`flock`) on
an empty `.lock` file beside it. A file of ours that is broken is put aside, a foreign one left.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from membudget.core.native import NativeThread
from membudget.errors import ConfigError, MembudgetError
from membudget.ownership import close_own, identity, open_locked, open_own, write_whole
from membudget.sampling.form import AT_A_TIME, BEGINS, from_text, to_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.core import Sample
    from membudget.sampling.form import SampleRing

WRITTEN_EVERY = 3  # Samples between two times of writing: 15 minutes where there is one every five
_AHEAD = 60.0  # Seconds that the clock may have been set back since a sample was taken
MOST_PLACES = 64  # Processes that may share the setting
_MOST_BROKEN = 9


class Keeper:
    """Keeps a ring in a file. A chore, run by the thread that adds to the ring.

    A disk that hangs holds up nobody: files are a thread's of their own. Samples of the last `span`
    seconds count; `failed` takes the place and the error of what went wrong, on any thread;
    `recall` those of an earlier life, the newest first.
    """

    name = "history"

    def __init__(
        self,
        path: str,
        ring: SampleRing,
        span: float,
        failed: Callable[[str, BaseException], object],
        *,
        recall: Callable[[Sample], object] = lambda _sample: None,
        wall: Callable[[], float] = time.time,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._recall = path, recall
        self._ring = ring
        self._span = span
        self._failed = failed
        self._wall = wall
        self._now = now
        self._place: Place | None = None
        self._worker: NativeThread | None = None
        self._loaded: list[Sample] | None = None
        self._seen = self._opens_at = 0
        self._is_read = self._is_refused = False

    def after_sample(self) -> None:
        """One more was taken: read at the first, write at every third."""
        self._seen += 1
        if self._seen > self._opens_at and not self._is_read:
            self._work(self._read)
        elif self._is_read and self._loaded is None and self._seen % WRITTEN_EVERY == 0:
            self._work(self._write)

    def due(self, now: float) -> bool:  # noqa: ARG002  # whenever there is something
        """Whether samples were read that are not in the ring yet."""
        return self._loaded is not None

    def run(self, until: float) -> int:
        """Put them there, the newest first, as many as there is time for."""
        while loaded := self._loaded:
            self._ring.restore(loaded[-AT_A_TIME:])
            for sample in reversed(loaded[-AT_A_TIME:]):
                self._recall(sample)
            del loaded[-AT_A_TIME:]
            if self._now() >= until - 0.002:  # So many at a time may take as long.
                break
        self._loaded = self._loaded or None
        return 0

    def close(self, patience: float = 2.0) -> None:
        """Write a last time, wait so many seconds for it, and let others have the place."""
        self._join(patience)
        self.run(float("inf"))
        if self._is_read:
            self._work(self._write)
            self._join(patience)
        if (place := self._place) is not None and not self._is_busy():
            self._place = None
            place.close()

    def before_fork(self, until: float) -> None:
        """Have no thread at work in the child, as far as there is time (monotonic)."""
        self._join(until - time.monotonic())

    def after_fork_in_child(self) -> None:
        """Take a place of one's own, once this child has lived for two samples."""
        place, self._place = self._place, None
        if place is not None:
            place.close()
        self._worker = self._loaded = None
        self._is_read = False
        self._seen, self._opens_at = 0, 1

    def _is_busy(self) -> bool:
        return self._worker is not None and self._worker.is_alive()

    def _join(self, patience: float) -> None:
        if (worker := self._worker) is not None and patience > 0:
            worker.join(patience)

    def _work(self, job: Callable[[], None]) -> None:
        """Do it on a thread, unless the last job is still under way."""
        if self._is_busy() or self._is_refused:
            return

        def fenced() -> None:
            try:
                job()
            except ConfigError as error:  # What stands there will not go by itself.
                self._is_refused = True
                self._failed("history", MembudgetError(f"no history is kept: {error}"))
            except Exception as error:  # noqa: BLE001  # told; the next time may do
                self._failed("history", error)

        self._worker = NativeThread(fenced, "membudget-file")
        try:
            self._worker.start()
        except RuntimeError as error:  # No thread is to be had.
            self._worker = None
            self._failed("history", error)

    def _read(self) -> None:
        place = self._place = self._place or Place(self._path)
        samples: list[Sample] = []
        if (text := place.read()) is not None:
            try:
                samples = from_text(text, place.path)
            except ConfigError as error:
                self._failed("history", MembudgetError(f"{error}; kept as {place.put_aside()}"))
        now = self._wall()
        # After a lock that was lost, the file may hold what the ring holds.
        first = min([one.wall for one in self._ring.latest()[:1]], default=float("inf"))
        self._loaded = [
            one for one in samples if -_AHEAD <= now - one.wall <= self._span and one.wall < first
        ]
        self._is_read = True

    def _write(self) -> None:
        place = self._place
        if place is not None and place.is_ours():
            place.write(to_text(self._ring.latest()))
        else:  # Whatever is in the place that it gets now is read before it is written.
            self._place = None
            self._read()


class Place:
    """A history file that this process alone writes; a `ConfigError` where another stands there."""

    def __init__(self, path: str) -> None:
        if os.name == "nt":
            raise MembudgetError(f"{path} is not kept: this system has no flock")
        for number in range(1, MOST_PLACES + 1):
            self.path: str = path if number == 1 else f"{path}.{number}"
            with contextlib.suppress(FileNotFoundError):  # Before a lock is made beside it.
                os.close(open_own(self.path, begins=BEGINS))
            if (descriptor := open_locked(f"{self.path}.lock")) is not None:
                self._lock, self._identity = descriptor, identity(descriptor)
                return
        raise MembudgetError(f"{path} is not kept: {MOST_PLACES} processes keep one already")

    def is_ours(self) -> bool:
        """Whether the lock is still there: a program that becomes a daemon closes all it finds."""
        return self._identity is not None and identity(self._lock) == self._identity

    def read(self) -> bytes | None:
        """What the file holds, or None where there is none, or nothing in it."""
        try:
            descriptor = open_own(self.path, begins=BEGINS)
        except FileNotFoundError:
            return None
        with open(descriptor, "rb") as file:
            return file.read(64 << 20) or None  # A longer one is one that was cut short.

    def write(self, text: bytes) -> None:
        """Put this in the file's place; whoever reads sees all of it, or what was there before."""
        # Not forced onto the disk, which may take seconds: after a power cut there may be an older
        # file, or one that its checksum shows to be broken.
        write_whole(self.path, text, begins=BEGINS)

    def put_aside(self) -> str:
        """Rename a file of ours that cannot be used, so that nothing is lost; its new name."""
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
