"""A budget with half a day of samples, whose settings would fit better."""

from collections import deque
from typing import Any

import membudget
from fakes import MIB, Recorder
from membudget.core import ProposalApplied
from membudget.registry import Registry
from sampling_scene import part, sample


class Applying:
    """A budget that half a day of samples is put into, which held little under a large limit."""

    def __init__(self, **settings: Any) -> None:
        self.recorder = Recorder()
        self.book: deque[int] = deque(range(300))
        self._lived = 0
        self.budget = membudget.start(
            "4GiB", thread=False, sinks=[self.recorder], registry=Registry(), **settings
        )
        self.budget.watch("book", self.book)
        self.budget.step()

    def live(self, used: float = 1000, **changes: Any) -> None:
        """Thirteen hours at so many MiB, of the limit as the budget found it."""
        watch, ring = self.budget.inspection._watch, self.budget.inspection.ring
        assert watch is not None
        assert ring is not None
        ring.clear()
        watch._begin()
        held = {"parts": (part("book", kind="watched deque", items=300, most_bytes=None),)}
        for number in range(self._lived, self._lived + 13 * 12):
            one = sample(number, used=round(used * MIB), rss=round(used * MIB), limit=4096 * MIB)
            ring.add(one.replace(**held | changes))
            watch.after_sample(one)
        self._lived = number + 1
        while watch.due(0.0):
            watch.run(float("inf"))

    @property
    def applied(self) -> dict[str, tuple[str, str]]:
        """What was put in force, by key: before and after."""
        return {one.key: (one.before, one.after) for one in self.recorder.of(ProposalApplied)}
