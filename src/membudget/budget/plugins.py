"""The plugins of every budget: what is read, who is asked to let go, the last resort."""

from __future__ import annotations

import contextlib
import gc
import sys
from functools import partial
from math import ceil

from membudget.cache.division import Division
from membudget.cache.upkeep import GiveBack, Sweeper
from membudget.core import RISE, Level, Marks, Rung
from membudget.core.nouns import CollectorState
from membudget.errors import ConfigError, MembudgetError, ProbeError
from membudget.governor.floor import Protection
from membudget.governor.giving import Giving
from membudget.governor.status import dump
from membudget.inspection import CollectAndTrim, may_stop
from membudget.ownership import folder_lock
from membudget.probes import allocator, every, tightest
from membudget.probes.cgroup import CgroupProbe, cgroup_probe
from membudget.probes.hints import kernel_hints
from membudget.probes.process import (
    SOURCE,
    process_probe,
    rlimit_probe,
    share_of_machine,
    shared_bytes,
    system_probe,
)
from membudget.reclaimers import YOUNG, YOUNG_EVERY, Collect, CollectAbove, SharedPages, Throttled
from membudget.reclaimers.allocators import Allocators, StandardCaches
from membudget.settings import DEFAULT
from membudget.sinks import StandardError
from membudget.units import MIB, human_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    from membudget.core import Hint, Pressure, Probe, Reading, Reclaimer
    from membudget.governor import Governor
    from membudget.probes.process import PortableProcessProbe, ProcessProbe
    from membudget.reclaimers.program import PlannedExit
    from membudget.settings import Settings

LIMITS_EVERY, SYSTEM_EVERY, NATIVE_EVERY = 0.5, 1.0, 10.0  # Seconds between two readings.
_MEANWHILE = "; until then "


class Sources:
    """What is read for a process: its own figures, its cgroup and its resource limits.

    The whole system is judged only while none of these has a limit. What this machine does not let
    us read is noted, not raised.
    """

    name = "sources"

    def __init__(self, settings: Settings) -> None:
        self.cgroup: CgroupProbe | None = None
        self.failures: list[tuple[str, Exception]] = []  # What could not be read at first, and why.
        # Tells a soft limit of the process's from one that the brake has set: what to judge by.
        self.original_limit: Callable[[int], int | None] = lambda soft: soft
        self.process: ProcessProbe | PortableProcessProbe = process_probe()
        try:
            self.process.own_bytes()
        except ProbeError as error:
            self.failures.append(("process", error))
        self.allocators: Allocators = Allocators(self.process.own_bytes, allocator.purgeable())
        self.process.limit = settings["limit"]
        self._used = self._looked_at = 0
        sources: list[Probe] = [self._read_own]
        try:
            self.cgroup = cgroup_probe(own=self.process.own_bytes)
        except (ProbeError, ValueError) as error:
            self.failures.append(("cgroup", error))
        if self.cgroup is not None:
            # One without a limit costs as much to read, and may be given a limit at any time.
            sources.append(every(LIMITS_EVERY, self.cgroup, is_due=self._is_due))
        sources.append(rlimit_probe(self.process, lambda soft: self.original_limit(soft)))  # noqa: PLW0108  # set later
        if "native" in settings.marks().parts:
            sources.append(every(NATIVE_EVERY, self._native))
        system = every(SYSTEM_EVERY, system_probe())
        self.probe: Probe = tightest(*sources, otherwise=system)
        self.first: Reading | None = None  # The reading before the start.
        try:
            self.first = self.probe()
        except ProbeError as error:
            self.failures.append(("probe", error))

    def check(self, settings: Settings) -> list[str]:
        """What keeps a budget with these settings from being kept here, a sentence each.

        A ConfigError for marks that do not fit the limit that is set; with `strict`, for all of it.
        """
        marks = settings.marks()
        marks.check_for(settings["limit"])
        found = list(self._shortcomings(marks))
        if settings["strict"]:
            for what in (*(str(failure) for _, failure in self.failures), *found):
                raise ConfigError(what.partition(_MEANWHILE)[0])
        return found

    def _shortcomings(self, marks: Marks) -> Iterator[str]:
        first = self.first
        if first is None or first.limit is None:
            return
        if first.used >= first.limit:
            low = Marks().low if isinstance(marks.low, int) else marks.low
            fits = human_bytes(MIB * ceil(first.used / low / MIB))
            yield (
                f"the limit of {human_bytes(first.limit)} ({first.source}) is below what is held "
                f"already ({human_bytes(first.used)}): about {fits} would leave room to work"
                f"{_MEANWHILE}caches keep next to nothing"
            )
        try:
            marks.check_for(first.limit)
        except ConfigError as error:
            yield f"{error}{_MEANWHILE}a threshold above the next one counts as that one"

    def join(self, governor: Governor) -> None:
        """Tell what could not be read at first; be what this governor reads until it stops."""
        self._governor = governor
        for where, failure in self.failures:
            governor.tell.failed(where, failure)

    def take_settings(self, settings: Settings) -> None:
        """Read against another limit, and judge by other marks at another pace.

        A ConfigError where the limit is below what is held, or the marks do not fit it.
        """
        marks, before, limit = settings.marks(), self.process.limit, settings["limit"]
        held = self.process().used
        if limit is not None and limit <= held:
            raise ConfigError(
                f"limit {human_bytes(limit)} is below what the process holds already "
                f"({human_bytes(held)}): give it more, or restart it with this limit"
            )
        self.process.limit = limit
        try:
            marks.check_for(self.probe().limit)
        except MembudgetError:
            self.process.limit = before
            raise
        governor = self._governor
        governor.marks = marks
        governor.watch.interval = settings["monitoring.check_interval"]
        governor.floor.settle = settings["cleanup.settle"]

    def leave(self) -> None:
        """Give the descriptors back."""
        self.process.close()
        if self.cgroup is not None:
            self.cgroup.close()

    def look_soon(self) -> None:
        """Look at the limits of the cgroup at the next reading."""
        self._looked_at = -RISE
        if self.cgroup is not None:
            self.cgroup.look_soon()

    def _read_own(self) -> Reading:
        reading = self.process()
        self._used = reading.used
        return reading

    def _is_due(self, last: Reading) -> bool:
        """Whether to look: it has a limit, or the process grew much since the last look."""
        used = self._used
        self._looked_at = min(self._looked_at, used)
        if used - self._looked_at < RISE or self.cgroup is None:
            return last.limit is not None
        self._looked_at = used
        self.cgroup.look_soon()
        return True

    def _native(self) -> Reading:
        held = allocator.in_use()
        parts = {} if held is None else {"native": held}
        return self.process().replace(source="malloc", limit=None, parts=parts)


_MANY_BLOCKS = 1_000_000  # Live blocks from which frozen objects are not counted.
_SLOW = 0.002  # Seconds that asking malloc may take; once it took longer, it is not asked again.


class Reclaiming:
    """What lets go beside holders (collector, allocators), and upkeep, of one governor."""

    name = "reclaiming"

    def __init__(self, sources: Sources) -> None:
        self._own, self._allocators = sources.process.own_bytes, sources.allocators
        self._cgroup = sources.cgroup
        self._shared = SharedPages(self._own, shared_bytes)
        self._mallinfo_took = 0.0
        self._division: Division | None = None

    def join(self, governor: Governor) -> None:
        """Be asked by this governor's ladder, and do its upkeep."""
        self._governor = governor
        settings, registry, own = governor.settings, governor.registry, self._own
        allocators, cooldown = self._allocators, settings["cleanup.cooldown"]
        # One collection for all who ask, so that together they keep to the share of the time and
        # pause where nothing is found; the cooldown holds below EMERGENCY only.
        collection = Collect(
            time_share=settings["cleanup.gc_time_share"],
            own=own,
            held=registry.held_bytes,
            would_copy=self._shared.would_be_copied,
        )
        full = Throttled(collection, cooldown, lock=self._group_lock)
        last = Throttled(collection, rung=Rung.EMERGENCY)
        young = Collect(YOUNG, rung=Rung.GENTLE, cooldown=YOUNG_EVERY, own=own)
        standard = Throttled(StandardCaches(own), cooldown)
        asked: list[Reclaimer] = [young, GiveBack(registry), standard, full, last]
        for one in (*asked, *allocators.reclaimers()):
            governor.ladder.add(one)
        allocators.is_pressed = lambda: governor.pressure.level >= Level.CRITICAL
        governor.chores.append(
            Sweeper(registry, settings["caches.cleanup_interval"], governor.clock)
        )
        if not settings["cleanup.auto"]:
            return
        asked_first = partial(may_stop, collection, self._shared, lambda: governor.pressure.level)
        governor.collector = CollectAndTrim(
            governor, full, allocators.malloc, own, may_stop=asked_first, learn=collection.learn
        )
        is_asked = settings.origins["cleanup.gc_above"] != DEFAULT
        above = CollectAbove(
            settings["cleanup.gc_above"],
            own,
            governor.tell,
            full,
            partial(asked_first, is_asked=is_asked),
        )
        self._division = Division(registry, self._for_caches)
        governor.chores += [young, self._division, above]
        registry.newcomer = self._division.welcome
        registry.add(self._shared)

    def _group_lock(self) -> AbstractContextManager[bool]:
        """While it lasts, no other process under the same limit collects in full."""
        cgroup = self._cgroup
        return contextlib.nullcontext(True) if cgroup is None else folder_lock(cgroup.group.folder)

    def leave(self) -> None:
        """Freeze and divide nothing any longer; a second call does nothing."""
        registry = self._governor.registry
        self._shared.thaw()
        registry.remove(self._shared)
        if self._division is not None:
            registry.newcomer = None
            self._division.lift()

    def status(self) -> Mapping[str, Any]:
        """The collector and the allocators."""
        blocks = sys.getallocatedblocks()
        malloc = {}
        if self._mallinfo_took < _SLOW and (heap := allocator.mallinfo()) is not None:
            self._mallinfo_took = heap.took
            malloc = {"malloc_in_use": heap.in_use, "malloc_free": heap.free}
        return {
            "gc": CollectorState(
                counts=gc.get_count(),
                thresholds=gc.get_threshold(),
                collections=tuple(one["collections"] for one in gc.get_stats()),
                # Each one is counted: 13 ns, with the GIL held.
                frozen=gc.get_freeze_count() if blocks < _MANY_BLOCKS else None,
                is_enabled=gc.isenabled(),
                keeps_shared=self._shared.is_frozen,
            ),
            "allocator": {"blocks": blocks, "asked": self._allocators.rows(), **malloc},
        }

    def _for_caches(self) -> int | None:
        """Bytes for all caches together, or None where they are not bounded together."""
        governor = self._governor
        given = governor.settings["caches.size_limit"]
        if given is None or isinstance(given, int):
            return given
        limit = governor.reading.limit if governor.reading is not None else None
        return None if limit is None else int(limit * given)


_SHARE, _LEAST = 0.2, 8 * MIB  # Of what is held, given back at an attempt; and bytes at least.
_AT_LIMIT = 0.95  # Share of the limit from which a group is looked through for its own sake.
_STANDS_STILL = 3.0
"""Seconds after an attempt during which caches do not grow and limits are looked at."""


class GiveWay:
    """Has holders give memory back where others need it.

    So it is where the kernel looked through the group in vain (ADR 26), and where nothing but the
    machine sets a limit: then they have a share of it, which follows what is available.
    """

    name = "give way"

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._share: int | None = None
        self._left = self._available = 0
        self._until = float("-inf")

    def join(self, governor: Governor) -> None:
        """Wake this governor's thread, and have its holders give way."""
        self._governor = governor
        self._giving = Giving(governor, self._sources.allocators.malloc, "give way to others")
        if not governor.settings["cleanup.auto"]:
            return
        governor.chores.append(self)
        governor.followers.append(self.follow)
        first = self._sources.first
        if first is not None and self._looks_again(first) and self._share is not None:
            governor.notes.append(
                f"caches take {human_bytes(self._share)} at most, a quarter of the machine or half "
                "of what is available, since nothing else is a limit; caches.size_limit sets it"
            )

    def status(self) -> Mapping[str, Any]:
        """The share of holders, or None."""
        return {"share": self._governor.meter.share}

    def follow(self, reading: Reading, pressure: Pressure) -> None:
        """Keep holders within their share of the machine, and look whether they are."""
        meter = self._governor.meter
        if reading.source != SOURCE:
            if self._available:
                self._available, meter.share = 0, None
            return
        is_due = self._looks_again(reading)
        meter.share = self._share
        if is_due and self._share is not None and pressure.level < Level.CRITICAL:
            over = self._governor.registry.held_bytes() - self._share
            if over >= _LEAST:
                self._left = self._left or over

    def _looks_again(self, reading: Reading) -> bool:
        """Reckon with the share, where the machine was read anew: what was held then is part."""
        available = reading.parts.get("available", 0) if reading.source == SOURCE else 0
        if available == self._available:
            return False
        governor, self._available, self._share = self._governor, available, None
        if governor.settings["caches.size_limit"] is None:
            held = governor.registry.held_bytes()
            self._share = share_of_machine(reading.limit or 0, available, held)
        return True

    def hints(self, *, is_early: bool) -> Sequence[Hint]:
        """What to wait for on a new thread; nothing early: a trigger takes the kernel 15 ms."""
        if is_early:
            return ()
        governor = self._governor
        limit = governor.reading.limit if governor.reading is not None else None
        marks = [int(mark) for mark in governor.marks.resolved(limit)] if limit is not None else []
        return kernel_hints(self._sources.cgroup, marks, in_vain=self.note)

    def note(self, folder: str) -> None:
        """The kernel looked through this group in vain."""
        held, now = self._governor.registry.held_bytes(), self._governor.clock.now()
        if not held or _is_at_limit(folder):
            return
        self._until = now + _STANDS_STILL
        self._left = self._left or min(held, max(_LEAST, int(_SHARE * held)))

    def due(self, now: float) -> bool:
        """Whether something is to be given back, or has just been."""
        return self._left > 0 or now < self._until

    def run(self, until: float) -> int:
        """Give back for a slice."""
        governor, meter = self._governor, self._governor.meter
        if governor.clock.now() < self._until:
            meter.mark = min(meter.mark, meter.used)
            self._sources.look_soon()
            governor.watch.nudge()
        if not self._left:
            return 0
        freed = self._giving.run(self._left, until)
        self._left = max(0, self._left - freed) if self._giving.is_under_way else 0
        return freed


def _is_at_limit(folder: str) -> bool:
    figures = []
    for name in ("memory.usage_in_bytes", "memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError), open(f"{folder}/{name}", "rb") as file:
            figures.append(int(file.read()))
    return len(figures) < 2 or figures[0] >= _AT_LIMIT * figures[1]  # noqa: PLR2004  # both


class LastResort:
    """Protects one governor's process as the settings ask for it, and changes with them."""

    name = "last resort"

    def __init__(self) -> None:
        self._planned: PlannedExit | None = None

    def join(self, governor: Governor) -> None:
        """Protect what this governor keeps."""
        self._governor = governor
        governor.protection = self._protection(governor, governor.settings)

    def take_settings(self, settings: Settings) -> None:
        """Protect as these say, where that is not as it was: attempts are counted anew."""
        governor = self._governor
        keys = [key for key in settings.values if key.startswith("emergency.")]
        if any(settings[key] != governor.settings[key] for key in keys):
            self.leave()
            governor.protection = self._protection(governor, settings)
            governor.admission.is_shut = False

    def leave(self) -> None:
        """Let the process end as it does without us."""
        planned, self._planned = self._planned, None
        if planned is not None and not planned.has_begun:
            import atexit

            atexit.unregister(planned.end)

    def _protection(self, governor: Governor, settings: Settings) -> Protection | None:
        if not settings["emergency.protection"]:
            return None
        out, leave = StandardError(), None
        if settings["emergency.exit"]:
            import atexit  # only for those who opted in

            from membudget.reclaimers.program import PlannedExit

            self._planned = PlannedExit()
            atexit.register(self._planned.end)  # Early, so that it comes after the program's own.
            leave = self._planned.begin
        return Protection(
            lambda: governor.ladder.ask(Rung.EMERGENCY),
            governor.tell,
            most=settings["emergency.max_attempts"],
            cooldown=settings["emergency.cooldown"],
            restart_after=settings["emergency.restart_after"],
            dump=(lambda: dump(governor, out)) if settings["emergency.dump"] else None,
            leave=leave,
        )
