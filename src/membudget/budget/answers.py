"""What a running budget answers when asked through its control socket.

Each answer is made on the governor's thread, of plain values, and imports nothing.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from membudget.probes import allocator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from membudget.budget.day import Day
    from membudget.budget.foreign import ForeignCaches
    from membudget.core import Event
    from membudget.governor.brake import Brake
    from membudget.governor.loop import Governor
    from membudget.host.control import Answer
    from membudget.reclaimers.allocators import Allocators
    from membudget.sinks.ring import Ring

MOST_ROWS = 50
"""Caches told one by one; the rest is only counted."""

_MANY_BLOCKS = 1_000_000
"""Live blocks from which frozen objects are not counted."""

_SLOW = 0.002
"""Seconds that asking malloc may take; once it took longer, it is not asked again."""

_NOTHING_FOUND: Mapping[str, Any] = {"found": (), "found_count": 0, "untouched": ()}


class Answers:
    """The questions a budget knows, by command.

    Args:
        governor: Whose figures are told.
        changes: The latest changes of level.
        foreign: What was found in the program, if anybody looked.
        brake: The brake, if it was asked for.
        day: The samples and events of the latest day.
        allocators: Who can be asked to give back.
    """

    def __init__(
        self,
        governor: Governor,
        changes: Ring,
        foreign: ForeignCaches | None,
        brake: Brake | None,
        day: Day,
        *,
        allocators: Allocators,
    ) -> None:
        self._governor = governor
        self._changes = changes
        self._foreign = foreign
        self._brake = brake
        self._day = day
        self._allocators = allocators
        self._mallinfo_took = 0.0

    def by_command(self) -> Mapping[str, Answer]:
        """The answers, for a control socket."""
        return {"status": self.status, "memory": self.memory, "samples": self._day.as_answer}

    def status(self, _arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The figures of the latest reading."""
        governor, pressure = self._governor, self._governor.pressure
        return {
            "pid": os.getpid(),
            "used": pressure.used,
            "limit": pressure.limit,
            "source": pressure.source,
            "level": pressure.level.name,
            "cause": pressure.cause,
            "floor": pressure.floor,
            "elsewhere": pressure.elsewhere,
            "rate": pressure.growth,
            "seconds_left": pressure.seconds_left,
            "peak": governor.peak,
            "governed": governor.registry.held_bytes(),
            "reclaimed": governor.ladder.reclaimed,
        }

    def memory(self, _arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Everything there is to tell: parts, caches, collector, allocator, changes of level."""
        governor = self._governor
        reading = governor.reading
        return {
            **self.status({}),
            "parts": dict(reading.parts) if reading is not None else {},
            "held_free": governor.ladder.credit,
            "reserved": governor.admission.reserved,
            "attempts": governor.protection.attempts if governor.protection is not None else 0,
            "late": {"times": governor.watch.late, "latest": governor.watch.latest},
            "seconds_at": {level.name: spent for level, spent in governor.seconds_at.items()},
            "caches": self._caches(),
            "containers": self._containers(),
            "adopted": self._adopted(),
            "watched": self._watched(),
            **(self._foreign.rows(MOST_ROWS) if self._foreign is not None else _NOTHING_FOUND),
            "gc": self._collector(),
            "allocator": self._allocator(),
            "threads": threading.active_count(),
            "brake": self._brake.state.as_dict() if self._brake is not None else None,
            "leak": self._day.sampling.row(),
            "proposals": [one.as_row() for one in self._day.sampling.proposed()],
            "changes": [_told(event) for event in self._changes.latest()],
        }

    def _collector(self) -> Mapping[str, Any]:
        members: list[Any] = [*self._governor.registry.chores()]
        return {
            "counts": gc.get_count(),
            "thresholds": gc.get_threshold(),
            "collections": [one["collections"] for one in gc.get_stats()],
            # Each one is counted: 13 ns, with the GIL held.
            "frozen": gc.get_freeze_count() if sys.getallocatedblocks() < _MANY_BLOCKS else None,
            "is_enabled": gc.isenabled(),
            "keeps_shared": any(getattr(one, "is_frozen", False) is True for one in members),
        }

    def _caches(self) -> list[Mapping[str, Any]]:
        holders: list[Any] = [*self._governor.registry.holders()]
        stats: list[Mapping[str, Any]] = [
            {**(figures := holder.stats().as_dict()), "evictions": dict(figures["evictions"])}
            for holder in holders
            if hasattr(holder, "hits_per_byte") and hasattr(holder, "stats")
        ]
        stats.sort(key=lambda one: -one["bytes"])
        return stats[:MOST_ROWS]

    def _containers(self) -> list[Mapping[str, Any]]:
        """The other holders of ours."""
        holders: list[Any] = [*self._governor.registry.holders()]
        rows: list[Mapping[str, Any]] = [
            {"name": holder.name, "bytes": holder.held_bytes(), "items": len(holder)}
            for holder in holders
            if hasattr(holder, "__len__") and not hasattr(holder, "hits_per_byte")
        ]
        rows.sort(key=lambda one: -one["bytes"])
        return rows[:MOST_ROWS]

    def _adopted(self) -> list[dict[str, Any]]:
        members: list[Any] = [*self._governor.registry.reclaimers()]
        return [
            {
                "name": one.name,
                "entries": one.entries,
                "held": getattr(one, "held", None),
                "dropped": one.dropped,
            }
            for one in members
            if hasattr(one, "dropped")
        ][:MOST_ROWS]

    def _watched(self) -> list[dict[str, Any]]:
        members: list[Any] = [*self._governor.registry.chores()]
        rows = []
        for one in members:
            if hasattr(one, "trimmed"):
                # Its length is the program's own code.
                with contextlib.suppress(Exception):
                    rows.append(one.stats().as_dict())
        return rows[:MOST_ROWS]

    def _allocator(self) -> Mapping[str, Any]:
        told: dict[str, Any] = {
            "blocks": sys.getallocatedblocks(),
            "asked": self._allocators.rows(),
        }
        if self._mallinfo_took < _SLOW and (heap := allocator.mallinfo()) is not None:
            self._mallinfo_took = heap.took
            told |= {"malloc_in_use": heap.in_use, "malloc_free": heap.free}
        return told


def _told(event: Event) -> dict[str, Any]:
    """A change of level: when, from where, to where."""
    pressure = event.pressure  # type: ignore[union-attr]  # the ring keeps these alone
    return {
        "at": event.at,
        "before": event.before.name,  # type: ignore[union-attr]
        "level": pressure.level.name,
        "used": pressure.used,
        "limit": pressure.limit,
        "cause": pressure.cause,
    }
