"""The register: weak, filed by what members can do, and at rest around forks."""

import gc
import warnings
from typing import Any

import pytest

from fakes import MIB, FakeClock, FakeMemory, FakeReclaimer
from membudget.cache.cache import Cache, get_cache
from membudget.cache.loading.cached import cached
from membudget.containers.list import BoundedList
from membudget.containers.ordered import BoundedDict
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


def cache(registry: Registry, name: str = "prices", **options: Any) -> Cache[Any, Any]:
    return Cache(name, registry=registry, **options)


def test_of_two_of_one_name_the_later_is_numbered_and_the_program_is_told_where() -> None:
    """So reports and settings by name mean one of them; at the program's own line, not at ours."""
    registry = Registry()
    first = cache(registry)
    with pytest.warns(RuntimeWarning, match="another one called 'prices' is alive") as warned:
        second = cache(registry)
    assert [one.filename for one in warned] == [__file__]
    with pytest.warns(RuntimeWarning, match="'prices'"):
        third = BoundedDict[str, int]("prices", registry=registry)
    assert [first.name, second.name, third.name] == ["prices", "prices-2", "prices-3"]
    assert get_cache("prices-2", registry) is second
    assert second.stats().name == "prices-2"
    assert cache(Registry()).name == "prices"


def test_a_name_is_free_again_once_its_holder_is_gone() -> None:
    registry = Registry()
    first = cache(registry)
    del first
    second = cache(registry)
    assert second.name == "prices"
    registry.remove(second)
    third = cache(registry)
    assert third.name == "prices"


def test_one_that_takes_the_place_of_another_has_its_name_and_the_other_lets_all_go() -> None:
    """It goes on working for who still has it, but nothing of it is told or governed."""
    registry = Registry()
    gone: list[str] = []
    first = cache(registry, on_evict=lambda key, _, cause: gone.append(f"{key} {cause}"))
    first.set("a", 1)
    second = cache(registry, replace=True)
    assert gone == ["a pressure"]
    assert (first.name, second.name) == ("prices", "prices")
    assert (len(first), registry.holders()) == (0, [second])
    first.set("b", 2)
    assert first["b"] == 2
    assert get_cache("prices", registry) is second


def test_a_function_defined_anew_can_take_the_place_of_the_earlier_one() -> None:
    """As where a cell of a notebook runs again: the old function still is there meanwhile."""
    registry = Registry()

    def define() -> Any:
        @cached(registry=registry, name="squares", replace=True)
        def square(number: int) -> int:
            return number * number

        square(2)
        return square

    square = define()
    first = square.cache
    square = define()
    assert (len(first), len(square.cache)) == (0, 1)
    assert registry.holders() == [square.cache]


def test_thousands_of_one_name_are_told_apart_without_looking_at_each() -> None:
    registry = Registry()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        many = [BoundedList[int]("history", registry=registry) for _ in range(3000)]
    assert len({one.name for one in many}) == 3000
    del many[1]
    names = {one.name for one in many}
    with pytest.warns(RuntimeWarning):
        one = BoundedList[int]("history", registry=registry)
    assert one.name not in names
