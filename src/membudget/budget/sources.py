"""What is read for a process: its own figures, its cgroup, its limits, and else the machine.

As a plugin it takes the settings that may change while the budget runs.

The kernel's wake-ups, and giving way where a group's limit is to be lowered below what it holds.

Cgroup v1 refuses such a limit unless enough can be taken back while it is written, and tells
nobody. What it does tell is that it looked through the group in vain. At the limit
that is nothing new; well below it, somebody wants the group smaller. Then caches give some memory
back at each attempt, until the limit fits, and do not grow meanwhile: the limit that is found a
moment later leaves them no room. v2 takes a lower limit at once, and it is read.
"""

from __future__ import annotations

import contextlib
from math import ceil

from membudget.cache.give_back import GiveBack
from membudget.core import RISE, Marks, Reclaimed
from membudget.errors import ConfigError, MembudgetError, ProbeError
from membudget.probes import allocator
from membudget.probes.cgroup import CgroupProbe, cgroup_probe
from membudget.probes.combine import capped, every, or_else, tightest, while_limited
from membudget.probes.hints import kernel_hints
from membudget.probes.process import (
    LateProcessProbe,
    ProcessProbe,
    process_probe,
    rlimit_probe,
)
from membudget.probes.system import system_probe
from membudget.reclaimers.allocators import Allocators
from membudget.units import MIB, human_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from membudget.core import Hint, Probe, Reading
    from membudget.governor.loop import Governor
    from membudget.probes.process import PortableProcessProbe
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

    name = "sources"

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
        system = every(SYSTEM_EVERY, system_probe())
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

    def join(self, governor: Governor) -> None:
        """Tell what could not be read at first; be what this governor reads until it stops."""
        self._governor = governor
        for where, failure in self.failures:
            governor.tell.failed(where, failure)

    def take_settings(self, settings: Settings) -> None:
        """Read against another limit, and judge by other marks at another pace.

        Raises:
            ConfigError: The limit is below what the process holds, or the marks do not fit it.
        """
        marks, before = settings.marks(), self._limit
        self.set_limit(settings["limit"])
        try:
            marks.check_for(self.probe().limit)
        except MembudgetError:
            self.set_limit(before)
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
        self._limit = limit
        self._own: Probe = self.process if limit is None else capped(self.process, limit)

    def _native(self) -> Reading:
        reading = self.process()
        held = allocator.in_use()
        return reading.replace(source="malloc", parts={} if held is None else {"native": held})


_SHARE = 0.2
_LEAST = 8 * MIB
"""What is given back at an attempt, of what holders hold, at least."""

_AT_LIMIT = 0.95
"""Share of the limit from which a group is looked through for its own sake."""

_STANDS_STILL = 3.0
"""Seconds after an attempt during which caches do not grow and limits are looked at."""


class WakeUps:
    """The plugin of the kernel's wake-ups, and of what they may ask for: to give way.

    Args:
        sources: What is read: its cgroup is listened to.
    """

    name = "wake-ups"

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._governor: Governor | None = None
        self._give_way: GiveWay | None = None

    def join(self, governor: Governor) -> None:
        """Wake this governor's thread, and have its holders give way."""
        self._governor = governor
        sources, malloc = self._sources, self._sources.allocators.malloc
        own = sources.process.own_bytes
        self._give_way = GiveWay(
            governor, own, lambda size: malloc.reclaim(size, 0.0), sources.look_soon
        )
        if governor.settings["cleanup.auto"]:
            governor.chores.append(self._give_way)

    def hints(self, *, is_early: bool) -> Sequence[Hint]:
        """What to wait for on a new thread; nothing early: a trigger takes the kernel 15 ms."""
        governor, give_way = self._governor, self._give_way
        if is_early or governor is None or give_way is None:
            return ()
        limit = governor.reading.limit if governor.reading is not None else None
        marks = [int(mark) for mark in governor.marks.resolved(limit)] if limit is not None else []
        return kernel_hints(self._sources.cgroup, marks, in_vain=give_way.note)


class GiveWay:
    """The chore that gives memory back, in slices, after the kernel looked for some in vain.

    Runs on the governor's thread.

    Args:
        governor: Whose holders give back, and who tells.
        own: Reads the bytes of the process now.
        trim: Makes malloc give so many bytes back.
        look: Has limits looked at by the next step.
    """

    name = "give way"

    def __init__(
        self,
        governor: Governor,
        own: Callable[[], int],
        trim: Callable[[int], object],
        look: Callable[[], object],
    ) -> None:
        self._governor, self._own, self._trim, self._look = governor, own, trim, look
        self._give_back = GiveBack(governor.registry)
        self._asked = self._left = self._before = 0
        self._began = 0.0
        self._until = float("-inf")

    def note(self, folder: str) -> None:
        """The kernel looked through this group in vain."""
        held = self._governor.registry.held_bytes()
        if not held or _is_at_limit(folder):
            return
        self._until = self._governor.clock.now() + _STANDS_STILL
        if self._left:
            return
        self._asked = self._left = min(held, max(_LEAST, int(_SHARE * held)))
        self._before, self._began = self._own(), self._governor.clock.now()

    def due(self, now: float) -> bool:
        """Whether something is to be given back, or has just been."""
        return self._left > 0 or now < self._until

    def run(self, until: float) -> int:
        """Give back for a slice; at the end malloc is trimmed, and what came of it told."""
        governor, meter = self._governor, self._governor.meter
        if governor.clock.now() < self._until:
            meter.mark = min(meter.mark, meter.used)
            self._look()
            governor.watch.nudge()
        if not self._left:
            return 0
        freed = self._give_back.reclaim(self._left, until)
        self._left -= freed
        if self._left > 0 and (freed or self._give_back.is_under_way):
            return freed
        claimed, self._left = self._asked - self._left, 0  # The last entry goes whole.
        self._trim(claimed)
        now = governor.clock.now()
        governor.tell(
            Reclaimed(
                at=now,
                by="give way to a lower limit",
                rung=None,
                asked=self._asked,
                claimed=claimed,
                measured=self._before - self._own(),
                took=now - self._began,
            )
        )
        return freed


def _is_at_limit(folder: str) -> bool:
    figures = []
    for name in ("memory.usage_in_bytes", "memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError), open(f"{folder}/{name}", "rb") as file:
            figures.append(int(file.read()))
    return len(figures) < 2 or figures[0] >= _AT_LIMIT * figures[1]  # noqa: PLR2004  # both
