"""The register: weak, filed by what members can do, and at rest around forks."""

import gc

from fakes import MIB, FakeClock, FakeMemory, FakeReclaimer
from membudget.registry import Registry
from steps import steps


class Holding:
    name = "holding"

    def held_bytes(self) -> int:
        return 5


class Resting:
    """A member with locks, which notes what the register asks of it."""

    def __init__(self, log: list[str], name: str) -> None:
        self.log = log
        self.name = name

    def before_fork(self, until: float) -> None:
        self.log.append(f"{self.name} before")

    def after_fork_in_parent(self) -> None:
        self.log.append(f"{self.name} parent")

    def after_fork_in_child(self) -> None:
        self.log.append(f"{self.name} child")


def test_members_are_filed_by_what_they_can_do() -> None:
    registry = Registry()
    holder, reclaimer = Holding(), FakeReclaimer(FakeMemory(FakeClock()), MIB)
    registry.add(holder)
    registry.add(reclaimer)
    assert registry.holders() == [holder]
    assert registry.reclaimers() == [reclaimer]
    assert registry.held_bytes() == 5


def test_a_member_nobody_keeps_is_forgotten() -> None:
    registry = Registry()
    holder = Holding()
    registry.add(holder)
    del holder
    gc.collect()
    assert registry.holders() == []


def test_a_member_can_be_removed() -> None:
    registry, holder = Registry(), Holding()
    registry.add(holder)
    registry.remove(holder)
    registry.remove(holder)
    assert registry.held_bytes() == 0


def test_the_governor_rests_first_and_goes_on_last() -> None:
    """It may be shrinking a cache and needs that cache's lock to end its slice."""
    log: list[str] = []
    registry = Registry()
    governor, cache = Resting(log, "governor"), Resting(log, "cache")
    registry.add(cache)
    registry.attach(governor, None)  # type: ignore[arg-type]  # no meter is needed here
    registry._pass_on("before_fork", 0.0)
    registry._pass_on("after_fork_in_parent")
    assert log == ["governor before", "cache before", "cache parent", "governor parent"]


def test_a_member_that_fails_does_not_stop_a_fork() -> None:
    """A fork is the program's own business."""
    log: list[str] = []

    class Broken(Resting):
        def before_fork(self, until: float) -> None:
            raise RuntimeError("broken")

    registry = Registry()
    broken, fine = Broken(log, "broken"), Resting(log, "fine")
    registry.add(broken)
    registry.add(fine)
    registry._pass_on("before_fork", 0.0)
    assert log == ["fine before"]


def test_adding_costs_the_same_among_many() -> None:
    """Twice as many members are twice the work, and those that are gone are not kept."""

    def work(count: int) -> int:
        registry = Registry()
        living = [Holding() for _ in range(count)]

        def add() -> None:
            for one in living:
                registry.add(one)

        cost = steps(add)
        assert len(registry.holders()) == count
        for _ in range(20 * count):
            registry.add(Holding())
        assert len(registry._members["Holder"]) <= 2 * count + 32
        return cost

    assert work(400) < 2.5 * work(200)
