"""Giving way where the kernel looked through a group in vain, and where not to."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fakes import MIB, FakeClock, FakeMemory, Recorder
from membudget.budget.plugins import GiveWay
from membudget.cache.cache import Cache
from membudget.core import Marks, Reclaimed
from membudget.governor import Governor
from membudget.registry import Registry


class Scene:
    """A cache of 50 MiB in a group of so many MiB that may hold 200, and what is done about it."""

    def __init__(self, folder: Path, usage: int) -> None:
        (folder / "memory.usage_in_bytes").write_text(f"{usage * MIB}\n")
        (folder / "memory.limit_in_bytes").write_text(f"{200 * MIB}\n")
        self.clock, self.recorder, registry = FakeClock(), Recorder(), Registry()
        self.memory = FakeMemory(self.clock, used=100 * MIB, limit=200 * MIB)
        self.cache = Cache[int, bytes]("held", max_bytes="1GiB", registry=registry)
        for number in range(500):
            self.cache.set(number, bytes(100_000))
        self.looks: list[str] = []
        self.governor = Governor(
            self.memory,
            Marks(),
            sinks=[self.recorder],
            registry=registry,
            clock=self.clock,
            settings={"cleanup.auto": False},
        )
        malloc = SimpleNamespace(reclaim=lambda _size, _until: self.looks.append("trim"))
        sources: Any = SimpleNamespace(
            process=SimpleNamespace(own_bytes=self.memory.own),
            allocators=SimpleNamespace(malloc=malloc),
            look_soon=lambda: self.looks.append("look"),
        )
        self.give_way = GiveWay(sources)
        self.give_way.join(self.governor)
        self.governor.step()
        self.give_way.note(str(folder))

    def work(self) -> None:
        while self.give_way.due(self.clock.now()):
            self.give_way.run(float("inf"))
            self.clock.advance(0.5)


def test_well_below_its_limit_a_part_is_given_back_and_told(tmp_path: Path) -> None:
    """A fifth an attempt: the limit that is wanted is not known."""
    scene = Scene(tmp_path, usage=120)
    held = scene.cache.held_bytes()
    scene.work()
    assert 0.7 * held < scene.cache.held_bytes() <= 0.8 * held
    (told,) = scene.recorder.of(Reclaimed)
    assert (told.by, told.claimed) == ("give way to others", held - scene.cache.held_bytes())
    assert scene.looks.count("trim") == 1


def test_meanwhile_caches_stand_still_and_limits_are_looked_at(tmp_path: Path) -> None:
    """The limit that fits a moment later is found before it is met."""
    scene = Scene(tmp_path, usage=120)
    assert scene.governor.meter.mark > scene.memory.used
    scene.give_way.run(float("inf"))
    assert scene.governor.meter.mark == scene.memory.used
    assert "look" in scene.looks


@pytest.mark.parametrize("usage", [191, 200])
def test_at_its_limit_a_group_is_looked_through_for_its_own_sake(
    tmp_path: Path, usage: int
) -> None:
    """The marks say what is due then."""
    scene = Scene(tmp_path, usage)
    assert not scene.give_way.due(scene.clock.now())


def test_a_group_that_cannot_be_read_asks_for_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path, usage=200)
    scene.give_way.note(str(tmp_path / "gone"))
    assert not scene.give_way.due(scene.clock.now())
