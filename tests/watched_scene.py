"""Foreign containers, and one watched by a clock turned by hand, with what is told of it."""

from typing import Any

from fakes import FakeClock, Recorder
from membudget.core import LimitExceeded
from membudget.registry import Registry
from membudget.watched import WatchedContainer

LONG = float("inf")
VALUE = "x" * 1000


def texts(count: int = 1000) -> list[str]:
    """So many of 1 KB, none like the other."""
    return [VALUE + str(number) for number in range(count)]


def pairs(count: int = 1000) -> dict[int, str]:
    return dict(enumerate(texts(count)))


def filled(cache: Any) -> Any:
    """A cache with the pairs in it."""
    cache.update(pairs())
    return cache


class Scene:
    """One watched container and what is told of it."""

    def __init__(self, container: Any, name: str = "book", **options: Any) -> None:
        self.container = container  # It is held weakly where that is possible.
        self.clock = FakeClock()
        self.told = Recorder()
        self.registry = Registry()
        self.watched = WatchedContainer(
            name, container, tell=self.told, registry=self.registry, clock=self.clock, **options
        )

    def look(self, times: int = 1, apart: float = 1.0) -> None:
        """So many looks, as the governor makes them: only when one is due."""
        for _ in range(times):
            self.clock.advance(apart)
            if self.watched.due(self.clock.now()):
                self.watched.run(self.clock.now() + 0.005)

    @property
    def exceeded(self) -> list[tuple[str, int, int]]:
        """What was told: unit, used, limit."""
        return [(one.unit, one.used, one.limit) for one in self.told.of(LimitExceeded)]
