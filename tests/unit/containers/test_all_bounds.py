"""What the bounded list, deque, dict and set have in common: bounds and weights."""

import collections.abc
from typing import Any

import pytest

from containers_scene import KINDS, made, put, put_many, weights
from fakes import MIB
from membudget.containers import DEFAULT_ITEMS
from membudget.containers.list import BoundedDeque
from membudget.containers.ordered import BoundedDict, BoundedSet
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
