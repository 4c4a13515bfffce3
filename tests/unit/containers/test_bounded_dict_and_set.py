"""What sets the bounded dict and the bounded set apart: the order of use, views, algebra."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest

from containers_scene import weights
from fakes import FakeClock
from hostile_keys import Hostile, HostileUse
from membudget.cache.upkeep import Sweeper
from membudget.containers.ordered import BoundedDict, BoundedSet
from membudget.errors import ConfigError
from membudget.registry import Registry
from steps import steps

FOREVER = float("inf")


def a_dict(**more: Any) -> BoundedDict[str, int]:
    return BoundedDict("dict", {"a": 1, "b": 2, "c": 3}, registry=Registry(), **more)


def a_set(*items: Any, **more: Any) -> BoundedSet[Any]:
    return BoundedSet("set", items, registry=Registry(), **more)


def test_reading_makes_an_item_the_newest() -> None:
    one = a_dict(max_items=3)
    assert one["a"] == 1
    assert list(one) == ["b", "c", "a"]
    assert one.get("b") == 2
    assert one.setdefault("c", 9) == 3
    assert list(one) == ["a", "b", "c"]
    one["a"] = 4
    one["d"] = 5
    assert dict(one.items()) == {"c": 3, "a": 4, "d": 5}


def test_looking_leaves_the_order() -> None:
    one = a_dict()
    assert "a" in one
    assert one.peek("a") == 1
    assert one.peek("z", 0) == 0
    assert list(one.values()) == [1, 2, 3]
    assert ("a", 1) in one.items()
    assert ("a", 2) not in one.items()
    assert 1 in one.values()
    assert one == {"a": 1, "b": 2, "c": 3}
    assert one.copy() == one
    assert list(one) == ["a", "b", "c"]


def test_views_follow_the_dict_and_work_as_sets() -> None:
    one = a_dict()
    keys, values, items = one.keys(), one.values(), one.items()
    one["d"] = 4
    assert (len(keys), len(values), len(items)) == (4, 4, 4)
    assert keys & {"a", "z"} == {"a"}
    assert keys | {"z"} == {*"abcdz"}
    assert {"a", "z"} - keys == {"z"}
    assert items & {("a", 1), ("b", 9)} == {("a", 1)}
    assert list(reversed(keys)) == [*"dcba"]
    assert list(reversed(values)) == [4, 3, 2, 1]
    for key in keys:
        del one[key]
    assert not one


def test_it_is_an_ordered_dict() -> None:
    one = a_dict(max_items=3)
    assert one.popitem() == ("c", 3)
    assert one.popitem(last=False) == ("a", 1)
    one.update(OrderedDict(x=1, y=2), y=3)
    one.move_to_end("b")
    assert list(one) == ["x", "y", "b"]
    one.move_to_end("b", last=False)
    assert list(one) == ["b", "x", "y"]
    assert one == OrderedDict(b=2, x=1, y=3) == one
    assert one != OrderedDict(x=1, y=3, b=2)
    assert one == {"x": 1, "y": 3, "b": 2} == one
    joined = one | {"z": 0}
    assert type(joined) is OrderedDict
    assert list(joined) == ["b", "x", "y", "z"]
    assert {"z": 0, "x": 5} | one == {"z": 0, "b": 2, "x": 1, "y": 3}
    one |= [("q", 1)]
    assert list(one) == ["x", "y", "q"]
    made = BoundedDict.fromkeys("abc", 0, name="keys", max_items=2, registry=Registry())
    assert made == {"b": 0, "c": 0}
    for act in (lambda: one.pop("z"), lambda: one["z"], lambda: one.move_to_end("z")):
        with pytest.raises(KeyError, match="z"):
            act()
    one.clear()
    with pytest.raises(KeyError, match="empty"):
        one.popitem()


def test_a_heavy_value_leaves_nothing_under_its_key() -> None:
    """Serving the stale one would be wrong; `setdefault` hands the value on."""
    one: BoundedDict[str, str] = BoundedDict("dict", max_bytes="1KiB", registry=Registry())
    one["a"] = "old"
    one["a"] = "x" * 5000
    assert "a" not in one
    assert one.setdefault("b", "y" * 5000) == "y" * 5000
    assert "b" not in one
    assert one.stats().refused == 2
    assert one.held_bytes() == 0


def test_an_update_that_fails_has_taken_in_what_came_before() -> None:
    one = a_dict()
    with pytest.raises((TypeError, ValueError)):
        one.update([("d", 4), ("e",)])
    assert list(one) == ["a", "b", "c", "d"]
    with pytest.raises(TypeError, match="unhashable"):
        one[[]] = 1  # type: ignore[index]
    assert one.held_bytes() == weights(one)


def test_what_grows_in_a_dict_is_weighed_again() -> None:
    registry, clock = Registry(), FakeClock()
    one: BoundedDict[str, list[bytes]] = BoundedDict(
        "lists", max_bytes="100KiB", registry=registry, clock=clock
    )
    one["a"], one["b"] = [], []
    sweeper = Sweeper(registry, clock=clock)
    one.peek("b", []).append(bytes(80_000))
    clock.advance(60)
    assert sweeper.due(clock.now())
    sweeper.run(clock.now() + 1)
    assert 80_000 < one.held_bytes() < 90_000
    one.peek("a", []).append(bytes(60_000))
    clock.advance(60)
    sweeper.run(clock.now() + 1)
    assert list(one) == ["b"]


def test_a_set_is_not_taken_for_a_mapping() -> None:
    one = a_set("ab", "cd")
    assert not hasattr(one, "keys")
    assert dict(one) == {"a": "b", "c": "d"}
    with pytest.raises(TypeError):
        one["ab"]  # type: ignore[misc]


def test_a_set_drops_the_first_added() -> None:
    one = a_set(1, 2, 3, max_items=3)
    one.add(1)
    assert one.stats().added == 3
    one.add(4)
    assert list(one) == [2, 3, 4]
    assert one.pop() == 2
    one.discard(9)
    with pytest.raises(KeyError, match="9"):
        one.remove(9)
    one.remove(3)
    assert one == {4}


def test_set_algebra_gives_plain_sets_both_ways() -> None:
    """So that no result is cut short by a bound."""
    one = a_set(1, 2, 3, max_items=3)
    for got, expected in [
        (one | {4, 5}, {1, 2, 3, 4, 5}),
        ({4, 5} | one, {1, 2, 3, 4, 5}),
        (one & frozenset({1, 9}), {1}),
        ({1, 9} - one, {9}),
        (one - a_set(1), {2, 3}),
        ({1, 9} ^ one, {2, 3, 9}),
        (one & {1: 0}.keys(), {1}),
        (one.union([4], [5]), {1, 2, 3, 4, 5}),
        (one.intersection([1, 2], [2]), {2}),
        (one.difference([1]), {2, 3}),
        (one.symmetric_difference([3, 4]), {1, 2, 4}),
    ]:
        assert type(got) is set
        assert got == expected
    with pytest.raises(TypeError):
        one | [4]
    with pytest.raises(TypeError):
        one |= [4]
    assert {1, 2} < one < {1, 2, 3, 4}
    assert one >= {3} <= one
    assert one.issubset([1, 2, 3, 4])
    assert one.issuperset([1])
    assert one.isdisjoint([9])
    assert {1, 2, 3} == one != {1}


class Fickle:
    """A key whose hash changes."""

    def __init__(self) -> None:
        self.number = 0

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


@pytest.mark.parametrize("kind", [BoundedDict, BoundedSet])
def test_a_key_whose_hash_changes_does_not_stay_for_ever(kind: Any) -> None:
    """It cannot be found any more, but it is dropped in its turn, and forgotten in time."""
    one = kind("fickle", max_items=5, registry=Registry(), size=lambda _: 100)
    for number in range(300):
        key = Fickle()
        one.update([(key, number)] if kind is BoundedDict else [key])
        key.number = number + 1
    assert len(one) == len(list(one)) == 5
    assert one.reclaim(1 << 40, FOREVER) > 0
    assert len(one) == one.held_bytes() == 0


@pytest.mark.parametrize("fails", [0.0, 0.02])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", [BoundedDict, BoundedSet])
def test_a_key_that_comes_back_or_fails_breaks_nothing(kind: Any, seed: int, fails: float) -> None:
    one = kind("hostile", max_items=15, registry=Registry(), size=lambda _: 100)

    def step(key: Hostile, what: int) -> None:
        if what < 30:
            one.update([(key, what)] if isinstance(one, BoundedDict) else [key])
        elif what < 50:
            one.get(key) if isinstance(one, BoundedDict) else key in one
        elif what < 65:
            one.pop(key, None) if isinstance(one, BoundedDict) else one.discard(key)
        elif what < 79:
            one.reclaim(500, FOREVER)
        else:
            one.clear()

    use = HostileUse(step, seed, fails)
    use.run(600, KeyError, RuntimeError)
    use.fails = 0.0
    assert one.held_bytes() == weights(one)
    assert len(list(one)) == len(one) <= 15
    one.clear()
    assert one.held_bytes() == 0


def test_a_size_of_a_value_that_is_none_is_refused() -> None:
    one: BoundedDict[str, int] = BoundedDict(
        "dict", {"a": 1}, size=lambda value: value, registry=Registry()
    )
    with pytest.raises(ConfigError, match="dict"):
        one["a"] = -1
    assert one.peek("a") == 1


@pytest.mark.parametrize(
    "act",
    [
        lambda one: one.isdisjoint([-1]),
        lambda one: one.issuperset([1]),
        lambda one: one >= {1},
        lambda one: one > {1, 2},
        lambda one: one == {1},
        lambda one: one <= {1},
        lambda one: one < {1},
        lambda one: one & {1, -1},
        lambda one: {1, -1} & one,
        lambda one: {1, -1} - one,
        lambda one: one.intersection([1, 2], [2]),
        lambda one: one.difference_update([1]),
        lambda one: one.__isub__({2}),
        lambda one: one.issubset([1]),
    ],
)
def test_a_small_set_is_looked_up_in_a_large_one(act: Callable[[Any], Any]) -> None:
    """The work does not grow with the large one, and the answer is that of plain sets."""
    costs = []
    for count in (50, 500):
        one, plain = a_set(*range(count)), set(range(count))
        answers: list[Any] = []
        costs.append(steps(lambda one=one, answers=answers: answers.append(act(one))))  # type: ignore[misc]
        expected = act(plain)
        assert answers[0] == expected
        assert set(one) == plain
    assert costs[1] <= costs[0] + 5


def test_a_subclass_that_changes_what_is_added_is_copied_as_it_is() -> None:
    """As with a set: `update`, and with it the constructor and a copy, do not go through `add`."""

    class Doubled(BoundedSet[int]):
        def add(self, value: int) -> None:
            super().add(2 * value)

    doubled = Doubled("doubled", [1], registry=Registry())
    doubled.add(2)
    assert list(doubled) == list(doubled.copy()) == [1, 4]
