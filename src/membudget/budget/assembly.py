"""Which sources are read and which reclaimers asked, for given settings."""

from __future__ import annotations

import time
from math import ceil
from typing import TYPE_CHECKING

from membudget.bounded.division import Division
from membudget.bounded.give_back import GiveBack
from membudget.bounded.sweeper import Sweeper
from membudget.budget.collecting import CollectAndTrim, MayStop
from membudget.budget.give_way import GiveWay
from membudget.core import RISE, Level, Marks, Rung
from membudget.errors import ConfigError, MembudgetError, ProbeError
from membudget.governor.dump import dump
from membudget.governor.loop import Governor
from membudget.governor.protection import Protection
from membudget.probes import allocator
from membudget.probes.cgroup import CgroupProbe, cgroup_probe
from membudget.probes.combine import capped, every, made_late, or_else, tightest, while_limited
from membudget.probes.elsewhere import where_held
from membudget.probes.hints import kernel_hints
from membudget.probes.process import (
    LateProcessProbe,
    ProcessProbe,
    process_probe,
    rlimit_probe,
    shared_bytes,
)
from membudget.probes.system import system_probe
from membudget.reclaimers.adopted.standard import StandardCaches
from membudget.reclaimers.allocators import Allocators
from membudget.reclaimers.collect import YOUNG, YOUNG_EVERY, Collect, CollectAbove, YoungCollection
from membudget.reclaimers.combine import at_rung, throttled
from membudget.reclaimers.exit import PlannedExit
from membudget.reclaimers.shared import SharedPages
from membudget.settings.resolve import DEFAULT
from membudget.sinks.log import StandardError
from membudget.units import MIB, human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from membudget.budget.sampling import Sampling
    from membudget.core import Clock, Hint, Probe, Reading, Reclaimer, Sink
    from membudget.host.presence import Presence
    from membudget.probes.portable import PortableProcessProbe
    from membudget.registry import Registry
    from membudget.settings.resolve import Settings

LIMITS_EVERY = 0.5
SYSTEM_EVERY = 1.0
NATIVE_EVERY = 10.0
"""Seconds between two readings of the slower sources."""

_MEANWHILE = "; until then "


class Sources:
    """What is read for a process: its own figures, its cgroup and its resource limits.

    The whole system is judged only while none of these has a limit: other people's programs are
    no reason to empty the caches of one that keeps its own.

    Nothing is raised for what this machine does not let us read: that is noted.

    Args:
        settings: `limit` caps the process's own figure; marks on `native` bring malloc's.

    Attributes:
        allocators: Who hands memory out below Python, and can be asked to give it back.
        failures: What could not be read at first, and why.
        original_limit: Tells a soft limit of the process's from one that the brake has set: what
            to judge by, or None.
    """

    def __init__(self, settings: Settings) -> None:
        self.process: ProcessProbe | PortableProcessProbe | LateProcessProbe
        self.cgroup: CgroupProbe | None = None
        self.failures: list[tuple[str, Exception]] = []
        self.original_limit: Callable[[int], int | None] = lambda soft: soft
        try:
            self.process = process_probe()
        except ProbeError as error:
            self.failures.append(("process", error))
            self.process = LateProcessProbe()
        self.allocators = Allocators(self.process.own_bytes, allocator.purgeable())
        self._cap(settings["limit"])
        self._used = self._looked_at = 0
        sources: list[Probe] = [self._read_own]
        try:
            self.cgroup = cgroup_probe(own=self.process.own_bytes)
        except (ProbeError, ValueError) as error:
            self.failures.append(("cgroup", error))
        limits = rlimit_probe(self.process, lambda soft: self.original_limit(soft))  # noqa: PLW0108  # set later
        if self.cgroup is not None:
            sources.append(while_limited(self.cgroup, LIMITS_EVERY, is_due=self._has_risen))
        if limits is not None:
            sources.append(limits)
        if "native" in settings.marks().parts:
            sources.append(every(NATIVE_EVERY, self._native))
        system = every(SYSTEM_EVERY, made_late(system_probe))
        self.probe: Probe = or_else(tightest(*sources), system)
        self._first: Reading | None = None
        try:
            self._first = self.probe()
        except ProbeError as error:
            self.failures.append(("probe", error))

    def check(self, settings: Settings) -> list[str]:
        """What keeps a budget with these settings from being kept here, a sentence each.

        Raises:
            ConfigError: Marks that do not fit the limit that is set; with `strict`, whatever else.
        """
        marks = settings.marks()
        marks.check_for(settings["limit"])
        found = list(self._shortcomings(marks))
        if settings["strict"]:
            for what in (*(str(failure) for _, failure in self.failures), *found):
                raise ConfigError(what.partition(_MEANWHILE)[0])
        return found

    def _shortcomings(self, marks: Marks) -> Iterator[str]:
        first = self._first
        if first is None or first.limit is None:
            return
        if first.used >= first.limit:
            low = Marks().low if isinstance(marks.low, int) else marks.low
            fits = human_bytes(MIB * ceil(first.used / low / MIB))
            yield (
                f"the limit of {human_bytes(first.limit)} ({first.source}) is below what is held "
                f"already ({human_bytes(first.used)}): about {fits} would leave room to work"
                f"{_MEANWHILE}what can shrink keeps a working set at most"
            )
        try:
            marks.check_for(first.limit)
        except ConfigError as error:
            yield f"{error}{_MEANWHILE}a mark above the next one counts as that one"

    def set_limit(self, limit: int | None) -> None:
        """Cap the process's own figure from the next reading on; None caps it no more.

        Raises:
            ConfigError: The process holds as much already.
        """
        held = self.process().used
        if limit is not None and limit <= held:
            raise ConfigError(
                f"limit {human_bytes(limit)} is below what the process holds already "
                f"({human_bytes(held)}): give it more, or restart it with this limit"
            )
        self._cap(limit)

    def close(self) -> None:
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
        reading = self._own()
        self._used = reading.used
        return reading

    def _has_risen(self) -> bool:
        """Whether the process grew much since its limits were looked at; then they are, anew."""
        self._looked_at = min(self._looked_at, self._used)
        if self._used - self._looked_at < RISE or self.cgroup is None:
            return False
        self._looked_at = self._used
        self.cgroup.look_soon()
        return True

    def _cap(self, limit: int | None) -> None:
        self._own: Probe = self.process if limit is None else capped(self.process, limit)

    def _native(self) -> Reading:
        reading = self.process()
        held = allocator.in_use()
        return reading.replace(source="malloc", parts={} if held is None else {"native": held})


def build_governor(
    settings: Settings,
    sources: Sources,
    registry: Registry,
    *,
    ladder: Iterable[Reclaimer] = (),
    sinks: Iterable[Sink] = (),
    presence: Presence | None = None,
    sampling: Sampling | None = None,
    clock: Clock | None = None,
) -> Governor:
    """A governor for these settings and sources, not yet started.

    Args:
        settings: What holds.
        sources: What is read.
        registry: Whose holders are governed.
        ladder: Reclaimers asked before the standing ones.
        sinks: Takers of events.
        presence: Where the figures are written and questions come in, once the thread listens.
        sampling: Takes the samples.
        clock: Where the governor's time comes from.
    """
    own = sources.process.own_bytes
    share, cooldown = settings["cleanup.gc_time_share"], settings["cleanup.cooldown"]
    # One collection for all who ask, so that together they keep to the share of the time and pause
    # where nothing is found; the cooldown holds below EMERGENCY only.
    shared = SharedPages(own, shared_bytes)
    collection = Collect(
        time_share=share, own=own, held=registry.held_bytes, would_copy=shared.would_be_copied
    )
    full, last = throttled(collection, cooldown), at_rung(collection, Rung.EMERGENCY)
    young = Collect(YOUNG, rung=Rung.GENTLE, cooldown=YOUNG_EVERY, own=own)
    standard = throttled(StandardCaches(own), cooldown)

    allocators = sources.allocators
    malloc = allocators.malloc

    def hints(is_early: bool) -> Sequence[Hint]:  # noqa: FBT001  # a function type's only argument
        if is_early:
            # A program that forks often is still to be found: its thread is young each time.
            return _findable(presence, governor, []) if presence and presence.is_due else ()
        limit = governor.reading.limit if governor.reading is not None else None
        marks = [int(mark) for mark in governor.marks.resolved(limit)] if limit is not None else []
        failures: list[Exception] = []
        findable = _findable(presence, governor, failures)
        for failure in failures:
            governor.tell.failed("control socket", failure)
        found, _ = kernel_hints(sources.cgroup, marks, in_vain=give_way.note)
        return [*found, *findable]

    def reopen() -> None:
        if presence is not None:
            presence.abandon_in_child()
        if sampling is not None:
            sampling.begin_in_child()

    governor = Governor(
        sources.probe,
        settings.marks(),
        [*ladder, young, GiveBack(registry), standard, full, last, *allocators.reclaimers()],
        sinks,
        chores=[
            Sweeper(registry, settings["caches.cleanup_interval"], clock),
            *([YoungCollection(young)] if settings["cleanup.auto"] else ()),
        ],
        registry=registry,
        own=own,
        hints=hints,
        reopen=reopen,
        settle=settings["cleanup.settle"],
        snapshot_interval=settings["monitoring.snapshot_interval"],
        window=settings["monitoring.pressure_window"],
        interval=settings["monitoring.check_interval"],
        is_active=settings["cleanup.auto"],
        protection=lambda owner: protection(settings, owner),
        explain=where_held,
        take=sampling.take if sampling is not None else None,
        clock=clock,
    )
    allocators.is_pressed = lambda: governor.pressure.level >= Level.CRITICAL
    may_stop = MayStop(collection, shared, lambda: governor.pressure.level)
    may_collect = settings["cleanup.auto"]
    if sampling is not None:
        check = CollectAndTrim(full, malloc, own, governor.tell, may_stop=may_stop)
        sampling.attach(governor, check if may_collect else None, collection.learn)
    give_way = GiveWay(governor, own, lambda size: malloc.reclaim(size, 0.0), sources.look_soon)
    if may_collect:
        governor.chores.append(give_way)
        divide_among_caches(governor, settings)
        is_asked = settings.origins["cleanup.gc_above"] != DEFAULT
        governor.chores.append(
            CollectAbove(
                settings["cleanup.gc_above"],
                own,
                governor.tell,
                full,
                lambda: may_stop(is_asked=is_asked),
            )
        )
        registry.add(shared)
        governor.at_stop += [shared.thaw, lambda: registry.remove(shared)]
    return governor


def divide_among_caches(governor: Governor, settings: Settings) -> None:
    """Let one budget for all caches be divided among them while the governor runs."""
    registry, given = governor.registry, settings["caches.size_limit"]

    def whole() -> int | None:
        if given is None or isinstance(given, int):
            return given
        reading = governor.reading
        limit = reading.limit if reading is not None else None
        return None if limit is None else int(limit * given)

    division = Division(registry, whole)
    governor.chores.append(division)
    registry.newcomer = division.welcome

    def end() -> None:
        registry.newcomer = None
        division.lift()

    governor.at_stop.append(end)


def protection(settings: Settings, owner: Governor) -> Protection | None:
    """The last resort that these settings ask for, if any."""
    if not settings["emergency.protection"]:
        return None
    leave, out = None, StandardError()
    if settings["emergency.exit"]:
        import atexit  # only for those who opted in

        planned = PlannedExit()
        atexit.register(planned.end)  # Early, so that it comes after the program's own.
        leave = planned.begin

        def forget() -> None:
            if not planned.has_begun:
                atexit.unregister(planned.end)

        owner.at_stop.append(forget)
    return Protection(
        owner.ladder.ask_everything,
        owner.tell,
        most=settings["emergency.max_attempts"],
        cooldown=settings["emergency.cooldown"],
        restart_after=settings["emergency.restart_after"],
        dump=(lambda: dump(owner, out)) if settings["emergency.dump"] else None,
        leave=leave,
    )


def publish(presence: Presence, governor: Governor) -> None:
    """Write the latest judgement into the process's slot. Cost: 3 µs."""
    pressure = governor.pressure
    presence.write(
        used=pressure.used,
        limit=pressure.limit,
        source=pressure.source,
        level=pressure.level.name,
        growth=pressure.growth,
        seconds_left=pressure.seconds_left,
        peak=governor.peak,
        governed=governor.registry.held_bytes(),
        reclaimed=governor.ladder.reclaimed,
        is_resting=governor.is_resting,
        wall=time.time(),
    )


def _findable(
    presence: Presence | None, governor: Governor, failures: list[Exception]
) -> Sequence[Hint]:
    """The control socket, where it can be had: a budget is kept without one as well."""
    if presence is None:
        return ()
    try:
        hint = presence.open()
    except (MembudgetError, OSError) as error:
        failures.append(error)
        return ()
    publish(presence, governor)  # Its slot gets its first figures now, not after an interval.
    return (hint,)
