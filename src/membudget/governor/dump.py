"""What is written down before the last resort: who holds how much, and what every thread does."""

from __future__ import annotations

import faulthandler
import os
from typing import TYPE_CHECKING

from membudget.core.native import poll
from membudget.ownership import kept
from membudget.sinks.log import STDERR, StandardError
from membudget.units import LONGEST_NAME, human_bytes, one_line, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from membudget.governor.loop import Governor

_MOST_HOLDERS = 20
_ENOUGH = 1 << 16
"""Bytes of stacks that are told: what a pipe of Linux holds."""


def dump(governor: Governor, out: StandardError | None = None) -> None:
    """Write the state to standard error, with as little allocation as can be; never waits.

    Args:
        governor: Whose process is written down.
        out: Standard error as it was at the start; None takes it as it is.

    Raises:
        OSError: No descriptors are left for the stacks; the rest is written.
    """
    out = out or StandardError()
    for line in _state(governor):
        out.write(f"membudget: {printable(line)}")
    if poll is not None:
        for line in _stacks():
            out.write(line)
    elif out.is_in_place():
        faulthandler.dump_traceback(STDERR, all_threads=True)


def _state(governor: Governor) -> Iterator[str]:
    pressure = governor.pressure
    reading = governor.reading
    limit = ""
    if pressure.limit is not None:
        limit = f" of {human_bytes(pressure.limit)} ({pressure.source})"
    yield f"state at {pressure.level.name}: used {human_bytes(pressure.used)}{limit}"
    if reading is not None:
        for name, size in reading.parts.items():
            yield f"  {name}: {human_bytes(size)}"
    holders = [(holder.held_bytes(), holder.name) for holder in governor.registry.holders()]
    holders.sort(reverse=True)
    for size, name in holders[:_MOST_HOLDERS]:
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
