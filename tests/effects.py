"""What shows that settings do what they say: scenes, and a list of the looks by their keys."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import membudget
from fakes import MIB, FakeClock, FakeMemory, Recorder
from membudget.budget.plugins import LastResort, Reclaiming, Sources
from membudget.budget.start import governor_of
from membudget.core import Reclaimer
from membudget.governor import Governor
from membudget.registry import Registry
from membudget.settings import resolve
from waiting import eventually

EFFECTS: dict[str, Callable[[Path], None]] = {}

LIMIT = 100 * MIB
SHORT, LONG = "1ms", "1h"


def shows(*keys: str) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    """Mark what shows the effect of these settings."""

    def note(look: Callable[[Path], None]) -> Callable[[Path], None]:
        EFFECTS.update(dict.fromkeys(keys, look))
        return look

    return note


@contextlib.contextmanager
def started(
    limit: Any = None, *, ladder: Any = (), **settings: Any
) -> Iterator[tuple[membudget.Budget, Recorder]]:
    """A budget without a thread, and what it tells."""
    recorder = Recorder()
    with membudget.start(
        limit, thread=False, ladder=ladder, sinks=[recorder], registry=Registry(), **settings
    ) as budget:
        yield budget, recorder


class Scene:
    """A governor as start() makes it, over memory and time that are turned by hand."""

    def __init__(self, ladder: Iterable[Reclaimer] = (), **settings: Any) -> None:
        resolved = resolve(settings, {})
        self.clock = FakeClock()
        self.memory = FakeMemory(self.clock, limit=LIMIT)
        self.recorder = Recorder()
        self.registry = Registry()
        sources = Sources(resolved)
        sources.probe = self.memory
        self.governor: Governor = governor_of(
            resolved, sources, self.registry, ladder=ladder, sinks=[self.recorder], clock=self.clock
        )
        for plugin in (Reclaiming(sources), LastResort()):
            self.governor.join(plugin)
        sources.leave()

    def at(self, used: int, steps: int = 2) -> Governor:
        """Step so often at so many MiB, a second apart."""
        self.memory.used = used * MIB
        for _ in range(steps):
            self.clock.advance(1.0)
            self.governor.step()
        return self.governor


def stepped(budget: membudget.Budget, until: Callable[[], object]) -> None:
    def look() -> object:
        budget.step()
        return until()

    eventually(look)


def program(*lines: str) -> subprocess.CompletedProcess[str]:
    """A Python that runs these, with the scene at hand."""
    code = "\n".join(["import membudget", "from effects import Scene", *lines])
    path = os.pathsep.join(sys.path)
    return subprocess.run(  # our own
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
