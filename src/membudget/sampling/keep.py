"""Keeping the ring over a restart: read once, written every quarter of an hour and at the end.

A process that is killed loses the samples since it last wrote, three of them at most. Files are
read and written on a thread that lives only for that, so that a disk that hangs holds up nobody.
A file of ours that cannot be used (broken, cut short, of another version) is told and put aside
under another name; what is not ours is told once and left as it is, and no history is kept. Samples
older than the ring is long are left out. Samples of an earlier process keep its number and the time
when it began, which is how a restart is known.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from membudget.core.native import NativeThread
from membudget.errors import ConfigError, MembudgetError
from membudget.sampling.form import from_text, to_text
from membudget.sampling.place import Place
from membudget.sampling.ring import AT_A_TIME

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.core import Sample
    from membudget.sampling.ring import SampleRing

_LONGEST_STEP = 0.002
"""Seconds that putting back so many at a time may take: a slice ends while there is time for one
more."""

WRITTEN_EVERY = 3
"""Samples between two times of writing: 15 minutes where there is one every five."""

PATIENCE = 2.0
"""Seconds that the end waits for the disk."""

_AHEAD = 60.0
"""Seconds that the clock may have been set back since a sample was taken."""


class Keeper:
    """Keeps a ring in a file. A chore, run by the thread that adds to the ring.

    Args:
        path: The file; other processes with the same setting get names of their own, see `place`.
        ring: What is kept.
        span: Seconds of history that count.
        failed: Takes the place and the error of what went wrong; any thread calls it.
        wall: Unix seconds.
        now: Monotonic seconds, as `run` is given them.
    """

    name = "history"

    def __init__(
        self,
        path: str,
        ring: SampleRing,
        span: float,
        failed: Callable[[str, BaseException], object],
        *,
        wall: Callable[[], float] = time.time,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
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

    @property
    def path(self) -> str | None:
        """The file that this process has, or None as long as it has none."""
        return self._place.path if self._place is not None else None

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
            del loaded[-AT_A_TIME:]
            if self._now() >= until - _LONGEST_STEP:
                break
        self._loaded = self._loaded or None
        return 0

    def close(self, patience: float = PATIENCE) -> None:
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
        self._worker = NativeThread(lambda: self._fenced(job), "membudget-file")
        try:
            self._worker.start()
        except RuntimeError as error:  # No thread is to be had.
            self._worker = None
            self._failed("history", error)

    def _fenced(self, job: Callable[[], None]) -> None:
        try:
            job()
        except ConfigError as error:  # Something else stands there, which will not go by itself.
            self._is_refused = True
            self._failed("history", MembudgetError(f"no history is kept: {error}"))
        except Exception as error:  # noqa: BLE001  # told; the next time may do
            self._failed("history", error)

    def _read(self) -> None:
        if self._place is None:
            self._place = Place(self._path)
        place = self._place
        text = place.read()
        samples: list[Sample] = []
        if text is not None:
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
