"""One program of the corpus with a census in it: looks four times, then prints what it found.

python bench/culprits/worker.py CORPUS '{"cls": "ListAppend", "seed": 1, "rate": 10}' [--window]
"""

from __future__ import annotations

import gc
import inspect
import json
import os
import sys
import time
from typing import Any

from membudget.core.native import in_one_go
from membudget.heap import Freed
from membudget.heap.taker import CensusTaker
from membudget.heap.window import LATE, SETTLING, Window
from membudget.leaks.culprit import ranking
from membudget.trend import theil_sen

APART = 1.5
"""Scaled hours between looks."""

LOOKS = 4


class Watch:
    """Looks at a program at certain of its scaled hours, from within its own sampling."""

    def __init__(self, program: Any, *, has_window: bool) -> None:
        self.program = program
        start = getattr(program, "onset_h", 0.0) + 0.5
        apart = 5.0 if program.kind == "real_aio_server" else APART
        self.due = [start + apart * look for look in range(LOOKS)]
        self.censuses: list[Any] = []
        self.rss: list[tuple[float, float]] = []
        self.hour = 0.0
        self.garbage: Any = None
        self.collected = 0.0
        self.times: list[float] = []
        self.has_window = has_window
        self.window: Window | None = None
        self.lines: Any = ()

    def sampled(self, hour: float, rss_kb: int) -> None:
        """Called with each sample of the program."""
        self.hour = hour
        if self.censuses:
            self.rss.append((hour, rss_kb * 1024.0))
        if self.window is not None and self.times and hour >= self.times[0]:
            self.times.pop(0)
            self.window.mark()
        if self.due and hour >= self.due[0]:
            self.due.pop(0)
            self.look()

    def look(self) -> None:
        """Take a census in slices; after the last one, say what was found and end."""
        if not self.due and self.window is not None:
            self.lines = self.window.end()
        taker = CensusTaker(self.censuses[-1] if self.censuses else None)
        while (census := taker.step(time.monotonic() + 0.005)) is None:
            pass
        self.censuses.append(census.replace(at=self.hour * 3600))
        if not gc.isenabled():  # A verdict collects before it accuses.
            self.collect()
        if len(self.censuses) == LOOKS - 1 and self.has_window:
            self.window = Window(1.0)
            left = self.due[0] - self.hour
            self.times = [self.hour + share * left for share in (SETTLING, LATE)]
        if not self.due:
            self.tell()

    def collect(self) -> None:
        """One full collection, as a budget makes it, and what it freed since the one before."""
        watched, before, heap = Freed(), sys.getallocatedblocks(), _malloc()
        objects = gc.collect()
        freed = 64 * max(0, before - sys.getallocatedblocks()) + max(0, heap - _malloc())
        over = (self.hour - self.collected) * 3600
        self.garbage = watched.told(objects, freed).replace(over=over)
        self.collected = self.hour

    def tell(self) -> None:
        """Print one line of JSON and leave the process."""
        every = max(1, len(self.rss) // 120)
        hours, used = zip(*self.rss[::every], strict=True)
        growth = theil_sen(hours, used)
        found = in_one_go(ranking(self.censuses, growth, garbage=self.garbage))
        own = type(self.program)
        leaking = next((one for one in own.__mro__ if "leak" in vars(one)), own)
        source, first = inspect.getsourcelines(leaking)
        print(
            json.dumps(
                {
                    "growth": growth,
                    "found": [one.as_dict() for one in found],
                    "lines": [one.as_dict() for one in self.lines],
                    "source": [inspect.getsourcefile(type(self.program)), first, len(source)],
                    "objects": self.censuses[-1].objects,
                    "took": self.censuses[-1].took,
                    "longest": self.censuses[-1].longest_slice,
                }
            )
        )
        sys.stdout.flush()
        os._exit(0)


def _malloc() -> int:
    from membudget.probes.allocator import (
        mallinfo,
    )  # a program is not to begin with more than it had

    info = mallinfo()
    return info.in_use if info is not None else 0


def main() -> None:
    """Run the program until the last look."""
    corpus, settings = sys.argv[1], json.loads(sys.argv[2])
    sys.path.insert(0, corpus)
    import harness
    import programs_public

    program = getattr(programs_public, settings.pop("cls"))(**settings)
    watch = Watch(program, has_window="--window" in sys.argv)
    before = harness.Program.sample

    def sample(self: Any, hour: float, load: float, requests: int) -> list[int]:
        row: list[int] = before(self, hour, load, requests)
        watch.sampled(hour, row[1])
        return row

    harness.Program.sample = sample
    program.run(os.devnull)


if __name__ == "__main__":
    main()
