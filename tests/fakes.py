"""Stand-ins for time and readings, turned by hand."""

from collections.abc import Callable
from typing import TypeVar

from membudget.core import Event, Meter, Reading, Rung

MIB = 1 << 20
E = TypeVar("E")


class FakeClock:
    """A clock that stands still until it is moved; sleeping moves it."""

    def __init__(self, now: float = 1000.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def advance(self, seconds: float) -> None:
        self.time += seconds


class Ticking(FakeClock):
    """A clock that moves on by a millisecond at each look."""

    def now(self) -> float:
        self.time += 0.001
        return self.time


class Asking(Meter):
    """A meter that notes each claim, and asks once for what it is told to."""

    wanted = 0

    def __init__(self) -> None:
        super().__init__()
        self.claims: list[int] = []

    def claim(self, weight: int) -> int:
        self.claims.append(weight)
        wanted, self.wanted = self.wanted, 0
        return wanted


class FakeMemory:
    """A process whose use is set by hand, as a probe and as the meter's own figure."""

    def __init__(self, clock: FakeClock, used: int = 0, limit: int | None = 100 * MIB) -> None:
        self.clock = clock
        self.used = used
        self.limit = limit
        self.parts: dict[str, int] = {}
        self.error: Exception | None = None

    def __call__(self) -> Reading:
        if self.error is not None:
            raise self.error
        return Reading(
            at=self.clock.now(), used=self.used, limit=self.limit, source="fake", parts=self.parts
        )

    def own(self) -> int:
        """Its use, for the meter."""
        return self.used


class FakeReclaimer:
    """A reclaimer that holds so many bytes of a fake memory and counts how it is asked."""

    def __init__(
        self,
        memory: FakeMemory,
        holds: int,
        *,
        name: str = "fake",
        rung: Rung = Rung.MODERATE,
        shows: float = 1.0,
        at_once: int | None = None,
    ) -> None:
        self.name = name
        self.rung = rung
        self.holds = holds
        self.asked: list[int] = []
        self.error: Exception | None = None
        self._memory = memory
        self._shows = shows
        self._at_once = at_once

    def reclaimable(self) -> int | None:
        """What is left."""
        return self.holds

    def reclaim(self, target: int, until: float) -> int:
        """Let go, of which only the share `shows` appears at the meter."""
        self.asked.append(target)
        if self.error is not None:
            raise self.error
        freed = min(self.holds, target, self._at_once or target)
        self.holds -= freed
        self._memory.used -= int(freed * self._shows)
        return freed


class Recorder:
    """A sink that keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        """Those of one type, in order."""
        return [event for event in self.events if isinstance(event, kind)]


def raising(error: Exception) -> Callable[..., object]:
    def fail(*_: object) -> object:
        raise error

    return fail
