"""What is written down before the last resort: who holds how much, and what every thread does."""

from __future__ import annotations

import faulthandler
import os
from typing import TYPE_CHECKING

from membudget.units import human_bytes

if TYPE_CHECKING:
    from membudget.governor.loop import Governor

STDERR = 2
_MOST_HOLDERS = 20


def dump(governor: Governor, fd: int = STDERR) -> None:
    """Write the state to a descriptor, with as little allocation as can be.

    Args:
        governor: Whose process is written down.
        fd: An open descriptor.
    """
    pressure = governor.pressure
    reading = governor.reading
    lines = [f"state at {pressure.level.name}: used {human_bytes(pressure.used)}"]
    if pressure.limit is not None:
        lines[0] += f" of {human_bytes(pressure.limit)} ({pressure.source})"
    if reading is not None:
        lines += [f"  {name}: {human_bytes(size)}" for name, size in reading.parts.items()]
    holders = [(holder.held_bytes(), holder.name) for holder in governor.registry.holders()]
    holders.sort(reverse=True)
    lines += [f"  holds {human_bytes(size)}: {name}" for size, name in holders[:_MOST_HOLDERS]]
    os.write(fd, "".join(f"membudget: {line}\n" for line in lines).encode())
    faulthandler.dump_traceback(fd, all_threads=True)
