"""The kernel's wake-ups, and giving way where a group's limit is to be lowered below what it holds.

Cgroup v1 refuses such a limit unless enough can be taken back while it is written, and tells
nobody. What it does tell is that it looked through the group in vain (`ReclaimHint`). At the limit
that is nothing new; well below it, somebody wants the group smaller. Then caches give some memory
back at each attempt, until the limit fits, and do not grow meanwhile: the limit that is found a
moment later leaves them no room. v2 takes a lower limit at once, and it is read.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from membudget.bounded.give_back import GiveBack
from membudget.core import Reclaimed
from membudget.probes.hints import kernel_hints
from membudget.units import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from membudget.budget.sources import Sources
    from membudget.core import Hint
    from membudget.governor.loop import Governor

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
        return kernel_hints(self._sources.cgroup, marks, in_vain=give_way.note)[0]


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
