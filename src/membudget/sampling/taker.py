"""Taking one sample: everything that may explain memory later, in at most 2 ms.

Nothing is changed by looking, nothing is imported, no lock of the program is waited for. What
cannot be told is left out, and why is told once.

How much full collections are worth is the share of what they looked at that they freed. CPython
tells a collection's callbacks how many objects it freed, and from 3.15 on how many it looked at
(GH-140638), which then is the share. Before, a list of all objects would tell, at the price of a
second collection. So the live blocks of Python's own allocator are counted before and after each
full collection, which takes a walk over its pools, about 0.1 ms for a million dicts, whose
collection takes a thousand times that: the share freed is the fall over what there was. It is a
share of blocks, not of objects: an object with its dict and its strings has several, and what lies
beyond 512 bytes has none. Blocks that fell without a single object collected were free lists, and
count as nothing.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from typing import TYPE_CHECKING, Any, TypeVar

from membudget.core import Record
from membudget.core.nouns import PartSample, Sample
from membudget.sampling import process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from membudget.core import Reading
    from membudget.registry import Registry

QUICK = 0.002
"""Seconds that asking the C allocator may take at each sample; a slower one is asked hourly. They
are the thread's own: one that had to wait for a busy machine is not slow."""

SELDOM = 3600.0

_FOREIGN = (Exception, SystemExit, GeneratorExit)

MOST_PARTS = 32
"""Parts kept of a sample, the largest; what bounded ones hold counts for all of them."""

FULL = 2
"""The generation of full collections."""

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


class Parts:
    """Asks the holders of a register, and the containers watched, how they stand.

    A part of ours answers through `as_part`, which takes no lock and changes nothing, or through
    `as_parts` for several; a holder of the program's own promises its name and its bytes, and is
    asked no more than that. One that raises is left out and told once.

    Args:
        registry: Where they are.
        failed: Takes the place and the error of one that raised.
    """

    def __init__(self, registry: Registry, failed: Callable[[str, BaseException], object]) -> None:
        self._registry = registry
        self._failed = failed
        self._told: set[str] = set()

    def take(self) -> tuple[tuple[PartSample, ...], int]:
        """The largest parts, and the bytes of all that have a bound. Cost: 2 µs a part."""
        found: list[PartSample] = []
        # Some are both, and containers may not be hashed; watched ones are chores alone.
        members: dict[int, Any] = {id(one): one for one in self._registry.holders()}
        members |= {id(one): one for one in self._registry.chores() if hasattr(one, "as_part")}
        for member in members.values():
            try:
                found += _asked(member)
            except _FOREIGN as error:  # a holder may be foreign code
                self._tell_once(member, error)
        explained = sum(_explained(part) for part in found if part.is_bounded)
        if len(found) > MOST_PARTS:
            found.sort(key=lambda part: -(part.bytes or 0))
        return tuple(found[:MOST_PARTS]), explained

    def _tell_once(self, member: Any, error: BaseException) -> None:
        where = f"part {type(member).__name__}"
        if where not in self._told and len(self._told) < MOST_PARTS:
            self._told.add(where)
            self._failed(where, error)


def _asked(member: Any) -> list[PartSample]:
    if (several := getattr(member, "as_parts", None)) is not None:
        return list(several())
    if (ask := getattr(member, "as_part", None)) is not None:
        return [ask()]
    held = int(member.held_bytes())
    return [PartSample(name=str(member.name), kind=type(member).__name__, bytes=held)]


def _explained(part: PartSample) -> int:
    """What it holds within its bounds: beyond them its growth has no end that it told."""
    held = part.bytes or 0
    if part.most_bytes is not None:
        held = min(held, part.most_bytes)
    if part.most_items is not None and part.items is not None and part.items > part.most_items:
        held = held * part.most_items // part.items
    return held


class Efficiency:
    """Listens to the collector between `begin` and `end`.

    Collections of any generation cost about 2 µs more meanwhile, most of it for the interpreter,
    which makes a dict for whoever listens. The callback runs on whichever thread collects; none of
    them runs at the same time as another. A forked child goes on listening, with counts of its own
    after `forget`.

    Args:
        learn: Told of each full collection: the seconds of its thread, and the live blocks before.
    """

    __slots__ = ("_before", "_began", "_freed", "_learn", "_looked")

    def __init__(self, learn: Callable[[float, int], object] | None = None) -> None:
        self._learn = learn
        self._began = 0.0
        self._before: int | None = None
        self._freed = self._looked = 0

    def begin(self) -> None:
        """Listen; a second call does nothing."""
        if self._note not in gc.callbacks:
            gc.callbacks.append(self._note)

    def end(self) -> None:
        """Listen no longer; a second call does nothing."""
        while self._note in gc.callbacks:
            gc.callbacks.remove(self._note)

    def forget(self) -> None:
        """Know nothing, as in a forked child."""
        self._before = None
        self._freed = self._looked = 0

    def take(self) -> float | None:
        """The share freed since the last call, 0 to 1; None where no full collection ran."""
        freed, looked = self._freed, self._looked
        self._freed = self._looked = 0
        return min(1.0, freed / looked) if looked else None

    def _note(self, phase: str, told: Mapping[str, Any]) -> None:
        if told["generation"] != FULL:
            return
        if phase == "start":
            self._before, self._began = sys.getallocatedblocks(), time.thread_time()
        elif self._before is not None:
            before, self._before = self._before, None
            if self._learn is not None:
                self._learn(time.thread_time() - self._began, before)
            collected = told["collected"]
            if (candidates := told.get("candidates")) is not None:
                self._freed, self._looked = self._freed + collected, self._looked + candidates
                return
            # Each of them was a block at least, whatever others have allocated meanwhile.
            fell = max(before - sys.getallocatedblocks(), collected) if collected else 0
            self._freed += fell
            self._looked += max(before, fell, 1)
