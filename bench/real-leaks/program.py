"""One load under a budget whose samples are five minutes apart by its own clock.

    PYTHONPATH=FOLDER_OF_THE_PACKAGE python bench/real-leaks/program.py refused 180

After each turn of the load it steps the budget until a sample was taken; looks at what grows are a
scaled hour apart. Prints one JSON object: when which confidence was told, the verdict that stood
last, and the culprits with their chains.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import loads

import membudget

SECONDS = 0.02
STEP = 300.0


class ScaledTaker:
    """A census that is dated by the scaled clock, as the rate is that it is to explain."""

    def __init__(self, taker: Any, now: Any) -> None:
        """Wrap a taker; `now` gives scaled seconds."""
        self._taker = taker
        self._now = now

    def step(self, until: float) -> Any:
        """Work until then."""
        census = self._taker.step(until)
        return None if census is None else census.replace(at=self._now())


class Watched:
    """A budget, and what it told in so many samples."""

    def __init__(self, samples: int) -> None:
        """Start it."""
        self.samples = samples
        self.taken = self.asked = 0
        self.events: list[Any] = []
        self.told: list[dict[str, Any]] = []
        self.budget = membudget.start(
            "2GiB",
            sinks=[self.events.append],
            thread=False,
            monitoring={"snapshot_interval": SECONDS, "history_size": 288},
            leaks={"census_every": 1e6},
            cleanup={"cooldown": 0.001},
        )
        self._began = time.time()
        self.budget.inspection.wall = self._wall

    def seconds(self) -> float:
        """Scaled seconds since the first turn."""
        return self.taken * STEP

    def _wall(self) -> float:
        """Unix time by the scaled clock; each sample asks for it."""
        self.asked += 1
        return self._began + self.seconds()

    def turn(self) -> bool:
        """Step until one more sample was taken; whether the load should go on."""
        self.taken += 1
        asked, until = self.asked, 0.0
        while self.asked == asked or time.monotonic() < until:
            if self.asked == asked:
                until = time.monotonic() + SECONDS / 2
            self.budget.step()
            time.sleep(0.001)
        self._look()
        while self.events:
            self._hear(self.events.pop(0))
        return self.taken < self.samples

    def _look(self) -> None:
        """See looks through, one a scaled hour, as the minutes between samples would."""
        suspects: Any = self.budget.inspection._suspects  # noqa: SLF001  # no setting scales its time
        if self.taken == 1:
            before = suspects._new_taker  # noqa: SLF001  # likewise
            suspects._new_taker = lambda: ScaledTaker(before(), self.seconds)  # noqa: SLF001  # likewise
        if self.taken % 12 == 0:
            suspects._next = float("-inf")  # noqa: SLF001  # likewise
        while suspects.due(time.monotonic()):
            suspects.run(time.monotonic() + 0.005)

    def _hear(self, event: Any) -> None:
        kind = type(event).__name__
        if kind == "Failed":
            sys.stderr.write(f"{event}\n")
        if kind == "LeakSuspected":
            self.told.append(
                {
                    "hour": self.seconds() / 3600,
                    "confidence": event.confidence,
                    "kind": event.kind,
                    "culprit": event.culprit,
                }
            )

    def end(self) -> dict[str, Any]:
        """The verdict that stands, who is suspected, what was told on the way."""
        verdict = self.budget.leaks()
        rss = [one.rss for one in self.budget.samples]
        culprits = [one.as_dict() for one in self.budget.inspection.suspected()]
        self.budget.stop()
        return {
            "kind": str(verdict.kind),
            "confidence": verdict.confidence.name.lower(),
            "rate": verdict.rate,
            "growth": rss[-1] - rss[0],
            "reason": verdict.reason,
            "culprits": culprits,
            "told": self.told,
        }


def main() -> None:
    """Run the load and print the object."""
    watched = Watched(int(sys.argv[2]))
    asyncio.run(getattr(loads, sys.argv[1])(watched.turn))
    json.dump(watched.end(), sys.stdout)


if __name__ == "__main__":
    main()
