"""What the bounded list, deque, dict and set have in common: bounds, drops, budget, copies."""

import collections.abc
import copy
import gc
import pickle
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from beside import held_elsewhere, in_threads
from containers_scene import FOREVER, KINDS, made, put, put_many, weights
from fakes import MIB, Asking, Ticking
from membudget.containers import DEFAULT_ITEMS
from membudget.containers.list import BoundedDeque, BoundedList
from membudget.containers.ordered import BoundedDict, BoundedSet
from membudget.containers.sequence import CLAIM_EVERY
from membudget.core import Holder, Meter, Reclaimer, Rung
from membudget.core.protocols import ForkAware
from membudget.errors import ConfigError
from membudget.registry import REGISTRY, Registry
from membudget.sizing import size_of

PLACE = 330
"""More bytes than the place of an item takes in any of them."""

pytestmark = pytest.mark.parametrize("kind", KINDS)


def test_it_is_what_the_budget_looks_for(kind: Any) -> None:
    one = made(kind)
    assert isinstance(one, Holder)
    assert isinstance(one, Reclaimer)
    assert isinstance(one, ForkAware) or not hasattr(one, "_lock")  # A compiled table has none.
    assert one.rung is Rung.MODERATE
    abstract = {
        BoundedDict: collections.abc.MutableMapping,
        BoundedSet: collections.abc.MutableSet,
    }
    assert isinstance(one, abstract.get(kind, collections.abc.MutableSequence))


def test_it_registers_itself(kind: Any) -> None:
    one = kind("registered")
    assert [holder.name for holder in REGISTRY.holders()] == ["registered"]
    del one
    assert REGISTRY.holders() == []


def test_a_bound_in_bytes_is_kept(kind: Any) -> None:
    one = made(kind, max_bytes="20KiB")
    for number in range(100):
        put(one, f"{number:01000d}")
        assert one.held_bytes() <= 20 << 10
    assert one.held_bytes() > 17 << 10
    assert [int(item) for item in one] == list(range(100 - len(one), 100))
    assert one.stats().dropped == {"items": 0, "bytes": 100 - len(one), "pressure": 0}
    assert weights(one) == one.held_bytes()
    assert one.stats().added == 100


def test_both_bounds_hold(kind: Any) -> None:
    one = made(kind, max_items=5, max_bytes="8KiB")
    put_many(one, range(10))
    assert list(one) == [5, 6, 7, 8, 9]
    put_many(one, [f"{number:03000d}" for number in range(10)])
    assert len(one) <= 2
    stats = one.stats()
    assert stats.dropped["items"] > 0
    assert stats.dropped["bytes"] > 0
    assert (stats.added, stats.max_items, stats.max_bytes) == (20, 5, 8 << 10)


def test_an_item_weighs_what_it_holds_and_its_place(kind: Any) -> None:
    text = "a text " * 50
    one = made(kind)
    put(one, text)
    parts = 2 if kind is BoundedDict else 1
    assert parts * size_of(text) < one.held_bytes() < parts * size_of(text) + PLACE
    sized = made(kind, size=lambda _: 10_000)
    put(sized, text)
    assert 10_000 < sized.held_bytes() < 10_000 + size_of(text) + PLACE


def test_a_size_that_is_none_changes_nothing(kind: Any) -> None:
    one = made(kind, size=lambda value: value)
    put(one, 1)
    with pytest.raises(ConfigError, match="some"):
        put(one, -5)
    with pytest.raises(ConfigError):
        put_many(one, [2, "two"])
    # A list or a deque is extended as a whole, a dict or a set is updated one by one.
    assert list(one) == ([1, 2] if kind in (BoundedDict, BoundedSet) else [1])
    assert weights(one) == one.held_bytes()


def test_an_item_too_heavy_is_refused_without_an_error(kind: Any) -> None:
    one = made(kind, max_bytes="4KiB")
    put_many(one, ["small", "x" * 5000, "other"])
    assert list(one) == ["small", "other"]
    put(one, "y" * 5000)
    stats = one.stats()
    assert (stats.refused, stats.added, sum(stats.dropped.values())) == (2, 2, 0)
    assert list(one) == ["small", "other"]


def test_without_a_bound_it_keeps_ten_thousand(kind: Any) -> None:
    """As long as no budget runs; one attached later lifts that, and its end brings a bound back."""
    registry = Registry()
    one = made(kind, registry=registry)
    put_many(one, range(DEFAULT_ITEMS + 500))
    assert len(one) == DEFAULT_ITEMS
    assert one.stats().max_items is None
    registry.meter = Meter()
    put_many(one, range(DEFAULT_ITEMS, 2 * DEFAULT_ITEMS))
    assert len(one) > DEFAULT_ITEMS + 500
    registry.meter, most = None, len(one)
    put(one, -1)
    assert len(one) == most
    assert list(one)[-1] == -1


def test_a_bound_can_be_changed(kind: Any) -> None:
    items = "maxlen" if kind is BoundedDeque else "max_items"
    one = made(kind, max_items=500)
    put_many(one, range(500))
    one.resize(**{items: 10})
    assert list(one) == list(range(490, 500))
    one.resize(max_bytes="1MiB")
    assert (one.stats().max_items, one.stats().max_bytes) == (10, MIB)
    one.resize(**{items: None})
    put_many(one, range(50))
    assert len(one) == 60
    one.resize(max_bytes=1)
    assert len(one) == one.held_bytes() == 0
    with pytest.raises(ConfigError, match=f"{items} 0"):
        one.resize(**{items: 0})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"max_items": 0}, "0 is not a number above zero"),
        ({"max_items": True}, "True is not a number"),
        ({"max_bytes": "50"}, "has no unit"),
        ({"max_bytes": -1}, "not above zero"),
        ({"name": ""}, "not a text"),
    ],
)
def test_an_argument_that_is_none_is_refused(kind: Any, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        made(kind, **wrong)


def test_drops_are_told_with_their_cause(kind: Any) -> None:
    """And only those: what is replaced, popped or cleared is the caller's own doing."""
    told: list[Any] = []
    one = made(kind, max_items=2, on_drop=lambda *what: told.append((what[0], what[-1])))
    for number in range(3):
        put(one, number)
    one.pop(1) if kind in (BoundedList, BoundedDict) else one.pop()
    one.reclaim(1, FOREVER)
    put(one, 7)
    one.clear()
    assert told[0] == (0, "items")
    assert [cause for _, cause in told] == ["items", "pressure"]


def test_on_drop_may_use_the_container_and_fail(kind: Any) -> None:
    """It runs outside the lock, when everything is in order; its error reaches who added."""
    seen: list[int] = []

    def look(*_: Any) -> None:
        in_threads(lambda: seen.append(len(one)))
        raise ZeroDivisionError

    one = made(kind, max_items=3, on_drop=look)
    put_many(one, range(3))
    for number in (3, 4):
        with pytest.raises(ZeroDivisionError):
            put(one, number)
    assert seen == [3, 3]
    assert list(one) == [2, 3, 4]
    with pytest.raises(ZeroDivisionError):
        one.reclaim(1, FOREVER)
    assert len(one) == 2
    assert weights(one) == one.held_bytes()


def test_items_are_freed_outside_the_lock(kind: Any) -> None:
    """A finalizer may wait for a thread that uses the container."""

    class Final:
        def __del__(self) -> None:
            in_threads(lambda: lens.append(len(one)))

    lens: list[int] = []
    one = made(kind, max_items=2, size=lambda _: 1)
    for _ in range(4):
        put(one, Final())
    one.reclaim(1, FOREVER)
    one.resize(max_bytes=1)
    put_many(made(kind, max_items=1), [1, 2])
    one.resize(max_bytes=None)
    put(one, Final())
    one.clear()
    assert len(lens) == 5


def test_a_claim_is_made_for_every_sixteen_kibibytes(kind: Any) -> None:
    registry = Registry()
    registry.meter = meter = Asking()
    one = made(kind, registry=registry, max_bytes="1GiB")
    for number in range(200):
        put(one, f"{number:01000d}")
    assert sum(meter.claims) <= one.held_bytes() < sum(meter.claims) + CLAIM_EVERY
    assert min(meter.claims) >= CLAIM_EVERY
    assert len(meter.claims) <= one.held_bytes() // CLAIM_EVERY


def test_the_inserting_thread_pays_before_it_goes_on(kind: Any) -> None:
    registry = Registry()
    registry.meter = meter = Asking()
    one, other = made(kind, registry=registry), made(kind, "other", registry=registry)
    put_many(one, [f"{number:01000d}" for number in range(100)])
    put_many(other, [f"{number:01000d}" for number in range(100)])
    meter.wanted = one.held_bytes() // 2
    before = one.held_bytes()
    put_many(one, [f"{number:01000d}" for number in range(100, 120)])
    assert one.held_bytes() < before // 2 + 60_000
    assert [int(item) for item in one] == list(range(120 - len(one), 120))
    assert one.stats().dropped["pressure"] == 120 - len(one)
    assert len(other) == 100


def test_a_reclaim_frees_at_least_its_target(kind: Any) -> None:
    one = made(kind)
    put_many(one, [f"{number:01000d}" for number in range(100)])
    before = one.held_bytes()
    freed = one.reclaim(10_000, FOREVER)
    assert 10_000 <= freed < 13_000
    assert one.held_bytes() == one.reclaimable() == before - freed
    assert [int(item) for item in one] == list(range(100 - len(one), 100))
    assert one.reclaim(1 << 40, FOREVER) == before - freed
    assert len(one) == one.held_bytes() == one.reclaim(1, FOREVER) == 0


def test_a_reclaim_stops_at_its_time(kind: Any) -> None:
    clock = Ticking()
    one = made(kind, clock=clock)
    put_many(one, range(2000))
    one.reclaim(1 << 40, clock.time + 0.003)
    assert 1500 < len(one) < 2000
    assert one.reclaim(1 << 40, clock.time - 1) == 0


def test_a_reclaim_does_not_wait_beyond_its_time(kind: Any) -> None:
    one = made(kind)
    if not hasattr(one, "_lock"):
        pytest.skip("a compiled table has none")
    put(one, 1)
    with held_elsewhere(one._lock):
        assert one.reclaim(1, time.monotonic() + 0.01) == 0
        assert one.held_bytes() > 0


def test_the_end_of_a_budget_drops_nothing(kind: Any) -> None:
    """What it let the container have stays the bound; what went meanwhile is not come back to."""
    registry = Registry()
    one = made(kind, registry=registry)
    registry.meter = Meter()
    put_many(one, range(2 * DEFAULT_ITEMS))
    put(one, -1)
    registry.meter = None
    put(one, -2)
    put_many(one, [-3, -4, -5])
    assert len(one) == 2 * DEFAULT_ITEMS + 1
    assert one.stats().dropped["items"] == 4
    registry.meter = Meter()
    one.reclaim(one.held_bytes() // 4 * 3, FOREVER)
    put_many(one, range(10**6, 10**6 + 2000))
    registry.meter = None
    put_many(one, range(2 * 10**6, 2 * 10**6 + 2 * DEFAULT_ITEMS))
    assert len(one) == DEFAULT_ITEMS


@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, lambda one: one.copy(), lambda one: pickle.loads(pickle.dumps(one))],  # noqa: S301  # our own
    ids=["copy", "deepcopy", "method", "pickle"],
)
def test_a_copy_has_the_same_bounds_and_items(kind: Any, again: Callable[[Any], Any]) -> None:
    one = made(kind, max_items=5, max_bytes="8KiB", size=len)
    put_many(one, ["a", "b", "c"])
    other = again(one)
    assert type(other) is kind
    assert other == one
    assert list(other) == list(one)
    assert other.held_bytes() == one.held_bytes()
    third = again(other)
    # What is read from a pickle is in the register of its process, where none of them was.
    is_pickled = other._given.get("registry") is None
    names = ["some", "some-2"] if is_pickled else ["some-2", "some-3"]
    assert [other.name, third.name] == names
    assert (other.stats().max_items, other.stats().max_bytes) == (5, 8192)
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
    assert (made_again.name, made_again.stats().max_bytes) == ("own trades-2", 1 << 20)
    assert weights(made_again) == made_again.held_bytes() == one.held_bytes()
    put(made_again, 4)
    assert len(one) == 3
    if kind is BoundedDict:
        assert made_again[9] == "no 9 in trades"
        assert 9 not in made_again


class _Noting:
    """Notes by which of its methods it is copied."""

    def __init__(self, *_: Any) -> None:
        super().__init__("own")  # type: ignore[call-arg]
        self.asked: list[str] = []

    def copy(self) -> Any:
        self.asked.append("copy")
        return super().copy()  # type: ignore[misc]  # a container's

    def extend(self, values: Any) -> None:
        vars(self).setdefault("asked", []).append("extend")
        super().extend(values)  # type: ignore[misc]

    def update(self, *values: Any) -> None:
        vars(self).setdefault("asked", []).append("update")
        super().update(*values)  # type: ignore[misc]


def test_a_copy_goes_through_the_methods_of_a_subclass(kind: Any) -> None:
    one = type("Own", (_Noting, kind), {})()
    put_many(one, [1, 2])
    one.asked = []
    made_again = copy.copy(one)
    assert one.asked[0] == "copy"
    if kind is not BoundedDict:
        word = "update" if kind is BoundedSet else "extend"
        assert made_again.asked[-1] == word
    assert made_again == one
