"""What the bounded containers have in common: copies, iteration, subclasses."""

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from containers_scene import KINDS, made, put, put_many, weights
from membudget.containers.list import BoundedDeque, BoundedList
from membudget.containers.ordered import BoundedDict, BoundedSet

pytestmark = pytest.mark.parametrize("kind", KINDS)


@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, lambda one: one.copy(), lambda one: pickle.loads(pickle.dumps(one))],  # noqa: S301  # our own
    ids=["copy", "deepcopy", "method", "pickle"],
)
def test_a_copy_has_the_same_name_bounds_and_items(kind: Any, again: Callable[[Any], Any]) -> None:
    one = made(kind, max_items=5, max_bytes="8KiB", size=len)
    put_many(one, ["a", "b", "c"])
    other = again(one)
    assert type(other) is kind
    assert other == one
    assert list(other) == list(one)
    assert other.held_bytes() == one.held_bytes()
    assert (other.name, other.stats().max_items, other.stats().max_bytes) == ("some", 5, 8192)
    put_many(other, ["d", "e", "f"])
    assert (len(one), len(other)) == (3, 5)


def test_a_circle_can_be_copied_and_pickled(kind: Any) -> None:
    if kind is BoundedSet:
        pytest.skip("an item of a set is hashed before it is whole")
    one = made(kind)
    if kind is BoundedDict:
        one["self"] = one
    else:
        one.append(one)
    for other in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):  # noqa: S301  # our own
        inner = other["self"] if kind is BoundedDict else other[0]
        assert inner is other
    del other, inner
    ref = weakref.ref(one)
    del one
    gc.collect()
    assert ref() is None


def test_it_may_be_changed_while_it_is_gone_through(kind: Any) -> None:
    one = made(kind)
    put_many(one, range(10))
    for item in one:
        put(one, item + 100)
    for item in reversed(list(one)):
        put(one, item)
    seen = iter(one)
    one.clear()
    assert len(list(seen)) >= 20


def test_looking_changes_no_figures(kind: Any) -> None:
    one = made(kind, max_items=5)
    put_many(one, range(7))
    before, order = one.stats(), list(one)
    assert 3 in one
    assert one == one.copy()
    assert str(len(one)) in repr(one)
    assert repr(one).startswith(f"{kind.__name__}('some', 5 items, ")
    list(one)
    assert (one.stats(), list(one)) == (before, order)
    with pytest.raises(TypeError):
        hash(one)


class _Own:
    """A subclass with a constructor and attributes of its own."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"own {topic}", max_bytes="1MiB")  # type: ignore[call-arg]
        self.topic = topic


class OwnList(_Own, BoundedList[Any]):
    """A list of a program."""


class OwnDeque(_Own, BoundedDeque[Any]):
    """A deque of a program."""


class OwnDict(_Own, BoundedDict[Any, Any]):
    """A dict of a program, with an answer for what is missing."""

    def __missing__(self, key: Any) -> str:
        return f"no {key} in {self.topic}"


class OwnSet(_Own, BoundedSet[Any]):
    """A set of a program."""


def pickled(one: Any) -> Any:
    return pickle.loads(pickle.dumps(one))  # noqa: S301  # our own


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, pickled])
def test_a_subclass_is_copied_with_what_it_has_of_its_own(
    kind: Any, again: Callable[[Any], Any]
) -> None:
    """As those of the builtins are: without its constructor, which may take anything."""
    own: Any = {
        BoundedList: OwnList,
        BoundedDeque: OwnDeque,
        BoundedDict: OwnDict,
        BoundedSet: OwnSet,
    }
    one = own[kind]("trades")
    put_many(one, [1, 2, 3])
    one.later = "noted"
    made_again = again(one)
    assert type(made_again) is type(one)
    assert made_again == one
    assert (made_again.topic, made_again.later) == ("trades", "noted")
    assert (made_again.name, made_again.stats().max_bytes) == ("own trades", 1 << 20)
    assert weights(made_again) == made_again.held_bytes() == one.held_bytes()
    put(made_again, 4)
    assert len(one) == 3
    if kind is BoundedDict:
        assert made_again[9] == "no 9 in trades"
        assert 9 not in made_again
