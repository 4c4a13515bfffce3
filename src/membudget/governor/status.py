"""How a governed process stands: the governor's own figures, its holders' and its plugins'."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any

from membudget.core.status import AdoptedRow, ContainerRow, LateWakes, LevelChange, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from membudget.core import Command, Level
    from membudget.governor.loop import Governor

_NOTHING_FOUND: Mapping[str, Any] = {"found": (), "found_count": 0, "untouched": ()}
"""What is told of foreign caches where nobody looks for any."""

MOST_ROWS = 50
"""Rows told of a section; the rest is only counted."""


def status_of(governor: Governor) -> Status:
    """The figures of the latest reading, and all that a section tells. Imports nothing.

    Cost: 20 µs, and what the sections take.
    """
    pressure, reading, protection = governor.pressure, governor.reading, governor.protection
    return Status(
        pid=os.getpid(),
        used=pressure.used,
        limit=pressure.limit,
        source=pressure.source,
        level=pressure.level.name,
        cause=pressure.cause,
        floor=pressure.floor,
        elsewhere=pressure.elsewhere,
        rate=pressure.growth,
        seconds_left=pressure.seconds_left,
        peak=governor.peak,
        governed=governor.registry.held_bytes(),
        reclaimed=governor.ladder.reclaimed,
        held_free=governor.ladder.credit,
        reserved=governor.admission.reserved,
        attempts=protection.attempts if protection is not None else 0,
        late=LateWakes(times=governor.watch.late, latest=governor.watch.latest),
        parts=dict(reading.parts) if reading is not None else {},
        seconds_at={level.name: spent for level, spent in governor.seconds_at.items()},
        changes=tuple(governor.changes),
    )


def full_status(governor: Governor) -> Status:
    """The same with every section."""
    sections: dict[str, Any] = {
        **_of_holders(governor),
        **_NOTHING_FOUND,
        "threads": threading.active_count(),
        **_of_plugins(governor),
    }
    return status_of(governor).replace(sections=sections)


def change_of(pressure: Any, before: Level, at: float) -> LevelChange:
    """A change of level as it is kept."""
    return LevelChange(
        at=at,
        before=before.name,
        level=pressure.level.name,
        used=pressure.used,
        limit=pressure.limit,
        cause=pressure.cause,
    )


def _of_plugins(governor: Governor) -> Mapping[str, Any]:
    told: dict[str, Any] = {}
    for plugin in governor.plugins:
        tell = getattr(plugin, "status", None)
        if tell is None:
            continue
        try:
            told |= tell()
        except Exception as error:  # noqa: BLE001  # a plugin may be foreign code: it is fenced
            governor.tell.failed(f"status of {plugin.name}", error)
    return told


def _of_holders(governor: Governor) -> Mapping[str, Any]:
    """What registered caches, containers and adopted caches hold, the largest first."""
    registry = governor.registry
    holders: list[Any] = [*registry.holders()]
    caches = [
        one.stats() for one in holders if hasattr(one, "hits_per_byte") and hasattr(one, "stats")
    ]
    containers = [
        ContainerRow(name=one.name, items=len(one), bytes=one.held_bytes())
        for one in holders
        if hasattr(one, "__len__") and not hasattr(one, "hits_per_byte")
    ]
    reclaimers: list[Any] = [*registry.reclaimers()]
    adopted = [
        AdoptedRow(
            name=one.name, entries=one.entries, held=getattr(one, "held", None), dropped=one.dropped
        )
        for one in reclaimers
        if hasattr(one, "dropped")
    ]
    return {
        "caches": _largest(caches),
        "containers": _largest(containers),
        "adopted": adopted[:MOST_ROWS],
        "watched": list(_watched(registry.chores()))[:MOST_ROWS],
    }


def _watched(chores: Iterable[Any]) -> Iterable[Any]:
    for one in chores:
        if hasattr(one, "trimmed"):
            # Its length is the program's own code.
            with contextlib.suppress(Exception):
                yield one.stats()


def _largest(rows: list[Any]) -> list[Any]:
    return sorted(rows, key=lambda one: -one.bytes)[:MOST_ROWS]


def commands_of(governor: Governor) -> dict[str, Command]:
    """What a governor may be asked for, by the command's name: its own, and its plugins'."""
    commands: dict[str, Command] = {
        "status": lambda _: status_of(governor).as_answer(),
        "memory": lambda _: full_status(governor).as_answer(),
    }
    for plugin in governor.plugins:
        if (of_plugin := getattr(plugin, "commands", None)) is not None:
            commands |= of_plugin()
    return commands
