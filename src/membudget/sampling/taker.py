"""Taking one sample: everything that may explain memory later, in at most 2 ms.

Nothing is changed by looking, nothing is imported, no lock of the program is waited for. What
cannot be told is left out, and why is told once.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from typing import TYPE_CHECKING, Any, TypeVar

from membudget.core import Record
from membudget.core.sample import Sample
from membudget.sampling import process

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.core import Reading
    from membudget.core.sample import PartSample

QUICK = 0.002
"""Seconds that asking the C allocator may take at each sample; a slower one is asked hourly. They
are the thread's own: one that had to wait for a busy machine is not slow."""

SELDOM = 3600.0

_FOREIGN = (Exception, SystemExit, GeneratorExit)

T = TypeVar("T")


def _nothing() -> None:
    return None


class Sources(Record):
    """The functions that a taker asks beside the process itself.

    Attributes:
        malloc: Bytes in use by the C allocator, or None.
        system: Share of the system's memory in use and the bytes it has left, or None.
        parts: The registered parts, and what bounded ones hold.
        governed: Bytes that all holders count.
        efficiency: The share that full collections freed since it was last asked, or None.
        requests: Requests served so far, or None.
    """

    malloc: Callable[[], int | None] = _nothing
    system: Callable[[], tuple[float, int] | None] = _nothing
    parts: Callable[[], tuple[tuple[PartSample, ...], int]] = lambda: ((), 0)
    governed: Callable[[], int] = lambda: 0
    efficiency: Callable[[], float | None] = _nothing
    requests: Callable[[], int | None] = _nothing


class Taker:
    """Takes samples of this process, on one thread. A forked child needs one of its own.

    Args:
        sources: What is asked beside the process.
        failed: Takes the place and the error of a source that raised, the first time.
        wall: Unix seconds.
        spent: Seconds of processor time of this thread.
    """

    def __init__(
        self,
        sources: Sources,
        failed: Callable[[str, BaseException], object],
        wall: Callable[[], float] = time.time,
        spent: Callable[[], float] = time.thread_time,
    ) -> None:
        self._sources = sources
        self._failed = failed
        self._wall = wall
        self._spent = spent
        self._told: set[str] = set()
        self._malloc_at = float("-inf")
        self._pid = os.getpid()
        self._began = process.began()

    def take(self, reading: Reading) -> Sample:
        """A sample, beside a reading just taken. Cost: 0.2 to 0.5 ms, see `process` and `parts`."""
        sources, ask, parts_of = self._sources, self._ask, reading.parts.get
        share, available = ask("system", sources.system) or (None, None)
        parts, explained = ask("parts", sources.parts) or ((), 0)
        stats: list[Any] = gc.get_stats()
        return Sample(
            at=reading.at,
            wall=self._wall(),
            used=reading.used,
            rss=parts_of("rss", reading.used),
            limit=reading.limit,
            file=parts_of("cgroup_file", parts_of("file")),
            system_share=share,
            system_available=available,
            cpu=time.process_time(),
            blocks=sys.getallocatedblocks(),
            malloc=self._malloc(reading.at),
            gc_runs=tuple(one["collections"] for one in stats),
            gc_thresholds=gc.get_threshold(),
            gc_enabled=gc.isenabled(),
            gc_efficiency=ask("gc", sources.efficiency),
            uncollectable=len(gc.garbage),
            threads=process.threads(),
            tasks=ask("tasks", process.tasks),
            fds=process.open_files(),
            children=ask("children", process.children),
            governed=ask("governed", sources.governed) or 0,
            explained=explained,
            parts=parts,
            requests=_count(ask("requests", sources.requests)),
            pid=self._pid,
            began=self._began,
        )

    def _malloc(self, now: float) -> int | None:
        """Bytes in use by the C allocator, where it is time to ask."""
        if now < self._malloc_at:
            return None
        began = self._spent()
        in_use = self._ask("malloc", self._sources.malloc)
        if self._spent() - began >= QUICK:
            self._malloc_at = now + SELDOM
        return in_use

    def _ask(self, name: str, source: Callable[[], T]) -> T | None:
        try:
            return source()
        except _FOREIGN as error:  # foreign code, or a system that is not as expected
            if name not in self._told:
                self._told.add(name)
                self._failed(f"sample {name}", error)
            return None


def _count(value: object) -> int | None:
    """What the program counts, where it is a count: a history file takes nothing else back."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return None
    return value
