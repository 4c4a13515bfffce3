"""The plugin of what is asked to let go beside holders (collector, allocators), and of upkeep.

The plugin of the last resort: what is tried, dumped and left, as the settings ask for it.
"""

from __future__ import annotations

import gc
import sys

from membudget.cache.division import Division
from membudget.cache.give_back import GiveBack
from membudget.cache.sweeper import Sweeper
from membudget.core import Level, Rung
from membudget.core.status import CollectorState
from membudget.governor.floor import Protection
from membudget.governor.status import dump
from membudget.inspection.collection import CollectAndTrim, MayStop
from membudget.probes import allocator
from membudget.probes.process import shared_bytes
from membudget.reclaimers.allocators import StandardCaches
from membudget.reclaimers.collect import (
    YOUNG,
    YOUNG_EVERY,
    Collect,
    CollectAbove,
    SharedPages,
    Throttled,
    YoungCollection,
)
from membudget.settings.resolve import DEFAULT
from membudget.sinks.log import StandardError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from membudget.budget.sources import Sources
    from membudget.core import Reclaimer
    from membudget.governor.loop import Governor
    from membudget.reclaimers.exit import PlannedExit
    from membudget.settings.resolve import Settings


_MANY_BLOCKS = 1_000_000
"""Live blocks from which frozen objects are not counted."""

_SLOW = 0.002
"""Seconds that asking malloc may take; once it took longer, it is not asked again."""


class Reclaiming:
    """Collections, trims and upkeep of one governor.

    Args:
        sources: Tells the process's bytes, and its allocators.
    """

    name = "reclaiming"

    def __init__(self, sources: Sources) -> None:
        self._own = sources.process.own_bytes
        self._allocators = sources.allocators
        self._shared = SharedPages(self._own, shared_bytes)
        self._mallinfo_took = 0.0
        self._governor: Governor | None = None
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
        full, last = Throttled(collection, cooldown), Throttled(collection, rung=Rung.EMERGENCY)
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
        may_stop = MayStop(collection, self._shared, lambda: governor.pressure.level)
        governor.collector = CollectAndTrim(
            full,
            allocators.malloc,
            own,
            governor.tell,
            may_stop=may_stop,
            learn=collection.learn,
            imports=governor.imports,
        )
        is_asked = settings.origins["cleanup.gc_above"] != DEFAULT
        above = CollectAbove(
            settings["cleanup.gc_above"],
            own,
            governor.tell,
            full,
            lambda: may_stop(is_asked=is_asked),
        )
        self._division = Division(registry, self._for_caches)
        governor.chores += [YoungCollection(young), self._division, above]
        registry.newcomer = self._division.welcome
        registry.add(self._shared)

    def leave(self) -> None:
        """Freeze and divide nothing any longer; a second call does nothing."""
        if self._governor is None:
            return
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
        if governor is None or (given := governor.settings["caches.size_limit"]) is None:
            return None
        if isinstance(given, int):
            return given
        limit = governor.reading.limit if governor.reading is not None else None
        return None if limit is None else int(limit * given)


class LastResort:
    """Protects one governor's process, and changes with the settings."""

    name = "last resort"

    def __init__(self) -> None:
        self._governor: Governor | None = None
        self._planned: PlannedExit | None = None

    def join(self, governor: Governor) -> None:
        """Protect what this governor keeps."""
        self._governor = governor
        governor.protection = self._protection(governor.settings)

    def take_settings(self, settings: Settings) -> None:
        """Protect as these say, where that is not as it was: attempts are counted anew."""
        governor = self._governor
        before = governor.settings if governor is not None else settings
        keys = [key for key in settings.values if key.startswith("emergency.")]
        if governor is not None and any(settings[key] != before[key] for key in keys):
            self._forget_exit()
            governor.protection = self._protection(settings)
            governor.admission.is_shut = False

    def leave(self) -> None:
        """Let the process end as it does without us."""
        self._forget_exit()

    def _protection(self, settings: Settings) -> Protection | None:
        governor = self._governor
        if governor is None or not settings["emergency.protection"]:
            return None
        out = StandardError()
        return Protection(
            governor.ladder.ask_everything,
            governor.tell,
            most=settings["emergency.max_attempts"],
            cooldown=settings["emergency.cooldown"],
            restart_after=settings["emergency.restart_after"],
            dump=(lambda: dump(governor, out)) if settings["emergency.dump"] else None,
            leave=self._planned_exit() if settings["emergency.exit"] else None,
        )

    def _planned_exit(self) -> Callable[[], object]:
        import atexit  # only for those who opted in

        from membudget.reclaimers.exit import PlannedExit

        self._planned = PlannedExit()
        atexit.register(self._planned.end)  # Early, so that it comes after the program's own.
        return self._planned.begin

    def _forget_exit(self) -> None:
        planned, self._planned = self._planned, None
        if planned is not None and not planned.has_begun:
            import atexit

            atexit.unregister(planned.end)
