"""Caches in one budget, asked for keys second by second, for the tests of the division."""

import random
from typing import Any

from fakes import MIB, FakeClock
from membudget.cache.cache import Cache
from membudget.cache.division import INTERVAL, Division
from membudget.core import Meter
from membudget.registry import Registry

FOREVER = float("inf")
WHOLE = 2 * MIB


class Several(Registry):
    """A register whose newcomers are told to a division, as a budget has it."""

    division: Division | None = None

    def add(self, member: object, *, keep: bool = False) -> None:
        super().add(member, keep=keep)
        if self.division is not None:
            self.division.welcome(member)


class Scene:
    """Caches that are asked for keys, and the division that runs beside them."""

    def __init__(self, whole: int | None = WHOLE, clock: FakeClock | None = None) -> None:
        self.clock, self.registry = clock or FakeClock(), Several()
        self.whole = whole
        self.division = Division(self.registry, lambda: self.whole, self.clock)
        self.registry.division = self.division
        self.registry.meter = Meter()  # A budget runs: no cache lives on a thousand entries.
        self.chance = random.Random(1)  # noqa: S311  # a load, not a secret

    def cache(self, name: str, **more: Any) -> Cache[int, int]:
        return Cache(name, registry=self.registry, clock=self.clock, **more)

    def ask(self, cache: Cache[int, int], keys: int, times: int = 500) -> None:
        """Ask for keys, the low ones more often, and set what is missing."""
        for _ in range(times):
            key = int(keys * self.chance.random() ** 2)
            if cache.get(key) is None:
                cache.set(key, 1, size=1000)

    def step(self, seconds: float = INTERVAL, until: float = FOREVER) -> int:
        self.clock.advance(seconds)
        return self.division.run(until)

    def live(self, loads: dict[Cache[int, int], int], seconds: int) -> None:
        """Ask each cache for keys of so many, and divide once a second."""
        for _ in range(seconds):
            for cache, keys in loads.items():
                if keys:
                    self.ask(cache, keys)
            self.step()


def two(*names: str) -> tuple[Scene, Cache[int, int], Cache[int, int]]:
    """A scene, and two caches in it."""
    scene = Scene()
    one, other = (scene.cache(name) for name in names or ("one", "other"))
    return scene, one, other


def share(cache: Cache[Any, Any]) -> int:
    assert cache.share is not None
    return cache.share


def shares(*caches: Cache[Any, Any]) -> list[int]:
    return [one.share or 0 for one in caches]


def meter(registry: Registry, used: int) -> Meter:
    """A meter below a mark of 100 MiB that reads what it is told."""
    found = Meter(lambda: used, registry.held_bytes)
    found.rebase(used, 120 * MIB, mark=100 * MIB, brim=105 * MIB, ceiling=110 * MIB)
    return found
