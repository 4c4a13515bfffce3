"""A process whose use is part floor, part cache, under a governor without a thread."""

from __future__ import annotations

from fakes import MIB, FakeClock, FakeMemory, FakeReclaimer, Recorder
from membudget.core import Marks, Reclaimed, Rung
from membudget.governor import Governor
from membudget.registry import Registry

LIMIT = 400


class HotCache:
    """A holder that a program fills again to what it wants, as far as the meter lets it."""

    rung = Rung.MODERATE

    def __init__(self, scene: Scene, wants: int, name: str = "hot") -> None:
        self.name = name
        self.holds = 0
        self.wants = wants * MIB
        self._scene = scene
        scene.registry.add(self)

    def held_bytes(self) -> int:
        return self.holds

    def reclaimable(self) -> int:
        return self.holds

    def reclaim(self, target: int, until: float) -> int:
        """Let go; the allocator keeps what the scene says it keeps."""
        freed = min(self.holds, target)
        self._move(-freed)
        return freed

    def fill(self) -> None:
        """Take in what is missing, MiB by MiB, paying what the meter asks, as a cache does."""
        for _ in range(-(-(self.wants - self.holds) // MIB)):
            self._move(min(MIB, self.wants - self.holds))
            self.reclaim(self._scene.governor.meter.claim(MIB), 0.0)

    def _move(self, by: int) -> None:
        self.holds += by
        self._scene.show()


class Scene:
    """A limit of 400 MiB, `floor` MiB held elsewhere; what holders have comes on top."""

    def __init__(self, *, keeps: bool = False) -> None:
        self.clock = FakeClock()
        self.memory = FakeMemory(self.clock, limit=LIMIT * MIB)
        self.recorder = Recorder()
        self.registry = Registry()
        self.floor = 0
        self.caches: list[HotCache] = []
        self.futile = [
            FakeReclaimer(self.memory, 0, name=name, rung=rung)
            for name, rung in (("trim", Rung.GENTLE), ("gc", Rung.AGGRESSIVE))
        ]
        for one in self.futile:
            one.reclaimable = lambda: None  # type: ignore[method-assign]  # it cannot tell
        self._keeps = keeps
        self._most_held = 0
        self.governor = Governor(
            self.memory,
            Marks(),
            self.futile,
            [self.recorder],
            registry=self.registry,
            own=self.memory.own,
            explain=lambda _: "someone else holds it",
            clock=self.clock,
        )

    def cache(self, wants: int) -> HotCache:
        self.caches.append(HotCache(self, wants))
        return self.caches[-1]

    def reclaimed(self) -> list[Reclaimed]:
        return self.recorder.of(Reclaimed)

    def show(self) -> None:
        held = sum(one.holds for one in self.caches)
        self._most_held = max(self._most_held, held) if self._keeps else held
        self.memory.used = self.floor * MIB + self._most_held

    def run(self, floor: int, seconds: float, every: float = 0.1) -> None:
        """Live for so long over a floor of so many MiB; the program uses its caches throughout."""
        self.floor = floor
        for _ in range(max(1, round(seconds / every))):
            self.show()
            for one in self.caches:
                one.fill()
            self.governor.step()
            self.clock.advance(every)
