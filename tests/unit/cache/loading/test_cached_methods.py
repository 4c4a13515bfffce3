"""`cached` on methods: each object has its own entries, and none is kept alive by them."""

import functools
import gc
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ParamSpec

import pytest

from beside import in_threads
from fakes import Ticking
from membudget.cache.loading.cached import cached
from membudget.errors import ConfigError
from membudget.registry import Registry

registry = Registry()
P = ParamSpec("P")


class Robot:
    made = 0

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = 0

    @cached(max_entries=50, registry=registry)
    def greets(self, whom: str, times: int = 1) -> str:
        self.calls += 1
        return f"{self.name} greets {whom}" * times

    @cached(max_entries=50, registry=registry, ttl="1h", stale="1h", typed=True)
    def counts(self, number: float = 0) -> tuple[str, float]:
        self.calls += 1
        return self.name, number

    @classmethod
    @cached(max_entries=50, registry=registry)
    def kind(cls, x: int) -> str:
        cls.made += 1
        return f"{cls.__name__} {x}"

    @staticmethod
    @cached(max_entries=50, registry=registry)
    def twice(x: int) -> int:
        return 2 * x

    @property
    @cached(max_entries=50, registry=registry)
    def length(self) -> int:
        self.calls += 1
        return len(self.name)


class Dog(Robot):
    """A subclass that asks its parent."""

    @cached(max_entries=50, registry=registry)
    def greets(self, whom: str, times: int = 1) -> str:
        return super().greets(whom, times) + "!"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    for one in (Robot.greets, Robot.counts, Dog.greets):
        one.cache_clear()
    Robot.kind.cache_clear()


def test_each_object_has_entries_of_its_own() -> None:
    one, other = Robot("one"), Robot("other")
    for _ in range(2):
        assert one.greets("you") == "one greets you"
        assert other.greets(whom="you", times=1) == "other greets you"
        assert Robot.greets(one, "you") == "one greets you"
    assert other.greets("you", 1) == "other greets you"
    assert (one.calls, other.calls) == (1, 1)


def test_equal_objects_share_nothing_unless_the_key_says_so() -> None:
    @dataclass
    class Point:
        x: int
        calls: int = 0

        @cached(registry=registry)
        def by_object(self) -> int:
            self.calls += 1
            return self.x

        @cached(registry=registry, key=lambda self: self.x)
        def by_value(self) -> int:
            self.calls += 1
            return self.x

    one, other = Point(1), Point(1)
    assert one == other
    assert one.by_object() == other.by_object() == one.by_object() == 1
    assert (one.calls, other.calls) == (1, 1)
    assert one.by_value() == other.by_value() == 1
    assert (one.calls, other.calls) == (2, 1)


@pytest.mark.usefixtures("uncollected")
def test_an_object_is_freed_at_once_when_nobody_else_has_it() -> None:
    """Without the garbage collector; also after an exception, and through any wrapper."""

    class Held:
        @cached(registry=registry)
        def plain(self, x: int) -> int:
            return x

        @cached(registry=registry, ttl=1, stale=1, keep_errors=1)
        def failing(self) -> None:
            raise OSError("down")

        @property
        @cached(registry=registry)
        def shown(self) -> int:
            return 1

    one = Held()
    dead = weakref.ref(one)
    assert one.plain(1) == one.plain(1) == one.shown == 1
    for _ in range(2):
        with pytest.raises(OSError, match="down"):
            one.failing()
    del one
    assert dead() is None


def test_the_entries_of_a_dead_object_go_with_the_next_load() -> None:
    stays = Robot("stays")
    stays.greets("you")
    for _ in range(5):
        leaves = Robot("leaves")
        for x in range(5):
            leaves.greets(str(x))
        assert len(Robot.greets.cache) >= 6
    del leaves
    stays.greets("them")
    assert len(Robot.greets.cache) == 2
    assert stays.greets("you") == "stays greets you"
    assert stays.calls == 2


def test_the_entries_of_a_dead_object_go_by_the_governors_chores_too() -> None:
    leaves = Robot("leaves")
    leaves.greets("you")
    chore = next(one for one in registry.chores() if one.name.endswith("Robot.greets"))
    assert not chore.due(0.0)
    del leaves
    assert chore.due(0.0)
    assert chore.run(time.monotonic() + 1) > 100
    assert len(Robot.greets.cache) == 0
    assert not chore.due(0.0)


def test_a_new_object_never_gets_a_dead_ones_values() -> None:
    """However often the allocator gives the same address again."""
    for number in range(500):
        robot = Robot(str(number))
        assert robot.greets("you") == f"{number} greets you"
        del robot


def test_what_is_noted_of_an_object_does_not_grow_beyond_the_bound() -> None:
    robot = Robot("one")
    for x in range(1000):
        robot.greets(str(x))
    wrapper: Any = Robot.greets
    owners = next(one for one in registry.chores() if one.name.endswith("Robot.greets"))
    noted = owners.by_identity[id(robot)].keys  # type: ignore[attr-defined]
    assert len(noted) == 50
    assert noted == set(wrapper.cache.keys())
    wrapper.cache_clear()
    assert not noted


def test_what_the_cache_did_not_keep_is_not_noted() -> None:
    own = Registry()

    class Large:
        @cached(max_bytes="10KiB", registry=own)
        def load(self, x: int) -> bytes:
            return bytes(100_000) if x else b""

    one = Large()
    assert [len(one.load(x)) for x in (0, 1, 2)] == [0, 100_000, 100_000]
    owners = next(one for one in own.chores() if one.name.endswith("Large.load"))
    assert len(owners.by_identity[id(one)].keys) == 1  # type: ignore[attr-defined]


def test_what_is_noted_of_objects_is_counted_as_memory() -> None:
    """By a holder beside the cache, whose own bytes are those of its entries."""
    own = Registry()

    class Known:
        @cached(max_entries=10_000, registry=own)
        def twice(self, x: int) -> int:
            return 2 * x

    cache, notes = own.holders()
    assert notes.name.startswith("cached ")
    assert notes.held_bytes() == 0
    objects = [Known() for _ in range(10)]
    for one in objects:
        one.twice(1)
    of_objects = notes.held_bytes()
    assert 10 * 300 < of_objects < 10 * 1000
    for x in range(100):
        objects[0].twice(x)
    assert 99 * 30 < notes.held_bytes() - of_objects < 99 * 100
    assert own.held_bytes() == cache.held_bytes() + notes.held_bytes()
    cache.clear()  # type: ignore[attr-defined]
    del one, objects
    notes.run(float("inf"))  # type: ignore[attr-defined]
    assert notes.held_bytes() == 0
    assert not notes.by_identity  # type: ignore[attr-defined]


def test_class_methods_count_by_class_and_static_methods_by_arguments() -> None:
    assert Robot.kind(1) == Robot("x").kind(1) == "Robot 1"
    assert Dog.kind(1) == "Dog 1" == Dog("x").kind(1)
    assert Robot.twice(2) == Robot("x").twice(2) == 4
    assert Robot.twice.cache_info()[:2] == (1, 1)


def test_a_subclass_and_its_parent_have_entries_of_their_own() -> None:
    dog = Dog("dog")
    assert dog.greets("you") == "dog greets you!" == dog.greets("you")
    assert Robot.greets(dog, "you", 1) == "dog greets you"
    assert dog.calls == 1


def test_figures_are_those_of_the_method() -> None:
    robot = Robot("one")
    robot.greets("you")
    robot.greets("you")
    assert robot.greets.cache_info() == Robot.greets.cache_info() == (1, 1, 50, 1)


def test_settings_hold_for_methods_too() -> None:
    robot = Robot("one")
    assert robot.counts(1) == robot.counts(number=1) == ("one", 1)
    assert type(robot.counts(1.0)[1]) is float
    assert robot.calls == 2
    assert Robot("two").counts(1) == ("two", 1)


def test_other_decorators_may_stand_below() -> None:
    def loud(method: Callable[P, str]) -> Callable[P, str]:
        @functools.wraps(method)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> str:
            return method(*args, **kwargs).upper()

        return wrapper

    class Quiet:
        @cached(registry=registry)
        @loud
        def says(self, what: str) -> str:
            return what

    one = Quiet()
    dead = weakref.ref(one)
    assert one.says("hush") == "HUSH" == one.says(what="hush")
    del one
    assert dead() is None


def test_an_object_that_allows_no_weak_references_is_refused() -> None:
    class Slim:
        __slots__ = ("x",)

        def __init__(self) -> None:
            self.x = 5

        @cached(registry=registry)
        def by_object(self) -> int:
            return 1

        @cached(registry=registry, key=lambda self: self.x)
        def by_key(self) -> int:
            return 2

    slim = Slim()
    with pytest.raises(
        ConfigError, match=r"Slim allows no weak references: add '__weakref__'.*key"
    ):
        slim.by_object()
    assert slim.by_key() == 2


def test_an_argument_that_cannot_be_hashed_is_named_and_never_self() -> None:
    class Odd:
        __hash__ = None  # type: ignore[assignment]

        @cached(registry=registry)
        def f(self, what: Any) -> int:
            return 1

    with pytest.raises(TypeError, match="argument what of"):
        Odd().f([])
    assert Odd().f(1) == 1


def test_objects_that_die_in_other_threads_leave_everything_in_order() -> None:

    def work(seed: int) -> None:
        for step in range(1000):
            robot = Robot(f"{seed}.{step}")
            if step % 3 == 0:
                robot.itself = robot  # type: ignore[attr-defined]
            assert {robot.greets("you") for _ in range(2)} == {f"{seed}.{step} greets you"}

    in_threads(*(functools.partial(work, seed) for seed in range(4)))
    gc.collect()
    stays = Robot("stays")
    chore = next(one for one in registry.chores() if one.name.endswith("Robot.greets"))
    while chore.due(0.0):
        chore.run(time.monotonic() + 1)
    stays.greets("you")
    assert len(Robot.greets.cache) == 1


def test_a_method_may_load_from_a_cache_of_its_own() -> None:
    class Asks:
        @cached(registry=registry)
        def f(self, x: int) -> int:
            got: int = Robot.greets.cache.get_or_load(("mine", x), lambda _: x + 1)
            return got

    assert Asks().f(1) == 2


class Archive:
    @cached(max_entries=10_000, registry=registry)
    def page(self, number: Any) -> str:
        return f"page {number}"


def test_who_loads_next_pays_little_for_a_dead_objects_many_entries() -> None:
    """They go some at a time, with each load; the governor's chore stops at its time."""
    stays, leaves = Archive(), Archive()
    for number in range(2000):
        leaves.page(number)
    wrapper: Any = Archive.page
    del leaves
    stays.page(0)
    assert len(wrapper.cache) > 1900
    chore = next(one for one in registry.chores() if one.name.endswith("Archive.page"))
    before = len(wrapper.cache)
    chore.run(time.monotonic() - 1)
    assert len(wrapper.cache) == before
    for number in range(100):
        stays.page(number)
    assert len(wrapper.cache) == 100
    assert not chore.due(0.0)
    wrapper.cache_clear()


def test_a_chore_that_is_out_of_time_goes_on_where_it_was() -> None:
    clock = Ticking()

    class Shelf:
        @cached(max_entries=10_000, registry=registry, clock=clock)
        def page(self, number: int) -> int:
            return number

    wrapper: Any = Shelf.page
    leaves = Shelf()
    for number in range(1000):
        leaves.page(number)
    del leaves
    chore = next(one for one in registry.chores() if one.name.endswith("Shelf.page"))
    chore.run(clock.now() + 0.0035)
    left = len(wrapper.cache)
    assert 0 < left < 1000
    assert chore.due(0.0)
    chore.run(clock.now() + 1000)
    assert len(wrapper.cache) == 0
    assert not chore.due(0.0)


@pytest.mark.parametrize("way", ["clear", "pop", "delete", "del", "cache_clear"])
def test_arguments_are_let_go_with_their_entry(way: str) -> None:
    class Argument:
        """Can be seen to go."""

    wrapper: Any = Archive.page
    stays, argument = Archive(), Argument()
    stays.page(argument)
    (key,) = wrapper.cache.keys()
    gone = weakref.ref(argument)
    if way == "pop":
        assert wrapper.cache.pop(key).startswith("page")
        assert wrapper.cache.pop(key, "none") == "none"
        with pytest.raises(KeyError):
            wrapper.cache.pop(key)
    elif way == "delete":
        assert wrapper.cache.delete(key)
        assert not wrapper.cache.delete(key)
    elif way == "del":
        del wrapper.cache[key]
    elif way == "clear":
        wrapper.cache.clear()
    else:
        wrapper.cache_clear()
    del key, argument
    assert gone() is None
    assert stays.page(1) == "page 1"
    wrapper.cache_clear()
