"""How a governed process stands, and what is written down of it before the last resort."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys

from membudget.core.native import poll
from membudget.core.nouns import AdoptedRow, ContainerRow, LateWakes, Status
from membudget.core.wire import plain
from membudget.governor.telling import FOREIGN, name_of
from membudget.ownership import kept
from membudget.sinks import STDERR, StandardError
from membudget.units import LONGEST_NAME, human_bytes, one_line, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from membudget.core import Command
    from membudget.governor import Governor
    from membudget.registry import Registry

_NOBODY_TELLS: dict[str, Any] = {
    "found": (),
    "found_count": 0,
    "untouched": (),
    "brake": None,
    "leak": None,
    "proposals": (),
}
"""What is told where no plugin tells it."""

MOST_ROWS = 50  # Rows told of a section; the rest is only counted.


def status_of(governor: Governor) -> Status:
    """The figures of the latest reading. Imports nothing. Cost: 20 µs."""
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
        is_resting=governor.is_resting,
        held_free=governor.ladder.credit,
        reserved=governor.meter.reserved,
        attempts=protection.attempts if protection is not None else 0,
        transients=governor.transients.state(),
        late=LateWakes(times=governor.watch.late, latest=governor.watch.latest),
        parts=dict(reading.parts) if reading is not None else {},
        seconds_at={level.name: spent for level, spent in governor.seconds_at.items()},
        changes=tuple(governor.news.changes),
    )


def full_status(governor: Governor) -> Status:
    """The same with every section."""
    import json  # the control socket, which asks for this, has it already

    told: dict[str, Any] = {**_of_holders(governor.registry), **_NOBODY_TELLS}
    # Only the first where nobody has loaded what lists them.
    threading = sys.modules.get("threading")
    told["threads"] = 1 if threading is None else threading.active_count()
    for plugin in governor.plugins:
        if (tell := getattr(plugin, "status", None)) is not None:
            try:
                # What cannot be written down is to be missing alone, not all of the answer.
                told |= json.loads(json.dumps(plain(tell())))
            except FOREIGN as error:  # a plugin may be foreign code: it is fenced
                governor.tell.failed(f"status of {name_of(plugin)}", error)
    return status_of(governor).replace(sections=told)


def _of_holders(registry: Registry) -> dict[str, Any]:
    """What registered caches, containers and adopted caches hold, the largest first."""
    holders: list[Any] = [*registry.holders()]
    caches = [one.stats() for one in holders if hasattr(one, "evict_together")]
    containers = [
        ContainerRow(name=one.name, items=len(one), bytes=one.held_bytes())
        for one in holders
        if hasattr(one, "__len__") and not hasattr(one, "evict_together")
    ]
    reclaimers: list[Any] = [*registry.reclaimers()]
    adopted = [
        AdoptedRow(
            name=one.name, entries=one.entries, held=getattr(one, "held", None), dropped=one.dropped
        )
        for one in reclaimers
        if hasattr(one, "dropped")
    ]
    chores: list[Any] = [*registry.chores()]
    watched = []
    for one in chores:
        if hasattr(one, "trimmed"):
            with contextlib.suppress(Exception):  # Its length is the program's own code.
                watched.append(one.stats())
    return {
        "caches": sorted(caches, key=lambda one: -one.bytes)[:MOST_ROWS],
        "containers": sorted(containers, key=lambda one: -one.bytes)[:MOST_ROWS],
        "adopted": adopted[:MOST_ROWS],
        "watched": watched[:MOST_ROWS],
    }


def commands_of(governor: Governor) -> dict[str, Command]:
    """What a governor may be asked for, by the command's name: its own, and its plugins'."""
    commands: dict[str, Command] = {
        "status": lambda _: status_of(governor).as_answer(),
        "memory": lambda _: full_status(governor).as_answer(),
    }
    for plugin in governor.plugins:
        commands |= governor.plugins.ask(plugin, "commands") or {}
    return commands


_MOST_HOLDERS = 20
_ENOUGH = 1 << 16  # Bytes of stacks that are told: what a pipe of Linux holds.


def dump(governor: Governor, out: StandardError | None = None) -> None:
    """Write the state to standard error (as it was at the start, given `out`), and never wait."""
    out = out or StandardError()
    for line in _state(governor):
        out.write(f"membudget: {printable(line)}")
    if poll is not None:
        for line in _stacks():
            out.write(line)
    elif out.is_in_place():
        faulthandler.dump_traceback(STDERR, all_threads=True)


def _state(governor: Governor) -> Iterator[str]:
    pressure, reading, limit = governor.pressure, governor.reading, ""
    if pressure.limit is not None:
        limit = f" of {human_bytes(pressure.limit)} ({pressure.source})"
    yield f"state at {pressure.level.name}: used {human_bytes(pressure.used)}{limit}"
    for name, size in reading.parts.items() if reading is not None else ():
        yield f"  {name}: {human_bytes(size)}"
    holders = [(holder.held_bytes(), holder.name) for holder in governor.registry.holders()]
    for size, name in sorted(holders, reverse=True)[:_MOST_HOLDERS]:
        yield f"  holds {human_bytes(size)}: {one_line(name, LONGEST_NAME)}"


def _stacks() -> list[str]:
    """What every thread does, by way of a pipe of our own: faulthandler keeps the GIL and waits."""
    source, target = map(kept, os.pipe())
    try:
        os.set_blocking(target, False)
        os.set_blocking(source, False)
        faulthandler.dump_traceback(target, all_threads=True)
        return os.read(source, _ENOUGH).decode("utf-8", "replace").splitlines()
    finally:
        os.close(target)
        os.close(source)
