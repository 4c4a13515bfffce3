"""The index behind the bounded dict, set and weak cache: one or many dicts, never a large one."""

from __future__ import annotations

import random
from itertools import pairwise
from sys import getsizeof
from typing import TYPE_CHECKING, Any

import pytest

from membudget.bounded.containers.index import PARTS, SPLIT_AT, Index
from membudget.bounded.containers.mapping import BoundedDict
from membudget.bounded.containers.set import BoundedSet
from membudget.bounded.containers.weak import WeakCache
from membudget.core import Meter
from membudget.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

FOREVER = float("inf")
MANY = 60_000


class Key:
    """A key that acts when it is hashed or compared."""

    def __init__(self, number: int, act: Callable[[], object]) -> None:
        self.number = number
        self.act = act

    def __hash__(self) -> int:
        """Act."""
        self.act()
        return self.number

    def __eq__(self, other: object) -> bool:
        """Act."""
        self.act()
        return isinstance(other, Key) and other.number == self.number


def index_of(container: Any) -> Index[Any, Any]:
    """Where its keys are found."""
    found = container._entries if isinstance(container, WeakCache) else container._chain.index
    assert isinstance(found, Index)
    return found


def put(container: Any, item: Any) -> None:
    """Take one item in."""
    if isinstance(container, BoundedSet):
        container.add(item)
    else:
        container[item] = str(item)


def made(kind: Any) -> Any:
    """A container under a meter that asks for nothing, so that it has no bound."""
    registry = Registry()
    registry.meter = Meter()
    more: dict[str, Any] = {"strong": 1 << 30} if kind is WeakCache else {}
    return kind("many", registry=registry, **more)


kinds = pytest.mark.parametrize("kind", [BoundedDict, BoundedSet, WeakCache])


@kinds
def test_no_table_is_large_however_many_items_there_are(kind: Any) -> None:
    """So that none can double at once; everything is found."""
    one = made(kind)
    for number in range(MANY):
        put(one, number)
    sizes = [getsizeof(part) for part in index_of(one).tables()]
    assert max(sizes) * 10 < sum(sizes)
    assert len(one) == MANY
    assert all(number in one for number in range(0, MANY, 7))
    assert MANY not in one


def test_the_room_for_keys_counted_up_grows_evenly() -> None:
    """Never by a twelfth at a time, though their hashes come in turn."""
    index: Index[int, int] = Index()
    for number in range(4 * SPLIT_AT):
        index.put(number, number)
    rooms = []
    for number in range(4 * SPLIT_AT, 16 * SPLIT_AT):
        index.put(number, number)
        if not number % 250:
            rooms.append(sum(map(getsizeof, index.tables())))
    assert rooms[-1] > 3 * rooms[0]
    assert all(after < 1.08 * before for before, after in pairwise(rooms))


@kinds
def test_room_goes_with_the_items(kind: Any) -> None:
    """Under pressure, not only when something is put in again."""
    one = made(kind)
    for number in range(MANY):
        put(one, number)
    before = sum(map(getsizeof, index_of(one).tables()))
    one.reclaim(one.held_bytes() // 100 * 99, FOREVER)
    if kind is not WeakCache:
        assert 0 < len(one) < MANY // 20
    assert sum(map(getsizeof, index_of(one).tables())) < before // 8
    assert all(item in one for item in list(one))


def test_it_is_a_dict_without_an_order() -> None:
    """Whatever is done to it, in one part or in many."""
    random_ = random.Random(1)  # noqa: S311  # the same steps at each run
    index: Index[int, int] = Index()
    model: dict[int, int] = {}
    for step in range(60_000):
        key = random_.randrange(2 * SPLIT_AT)
        act = random_.randrange(8)
        if act < 3:
            assert index.file(key, step) == model.setdefault(key, step)
        elif act < 5:
            index.put(key, step)
            model[key] = step
        elif act < 6:
            assert index.pop(key) == model.pop(key, None)
        else:
            assert index.get(key) == model.get(key)
        if not step % 16:
            index.tidy()
        if step == 50_000:
            assert len(index.tables()) == PARTS
            kept = [(key, value) for key, value in model.items() if key % 3]
            index.keep(kept)
            model = dict(kept)
    assert len(index) == len(model)
    assert sorted(index.values()) == sorted(model.values())
    assert sum(map(len, index.clear())) == len(model)
    assert len(index) == 0


def test_a_key_that_comes_back_while_parts_are_made_loses_nothing() -> None:
    """It puts one in or takes one out in the middle; what is there is found, what is not is not."""
    index: Index[Any, int] = Index()
    acts: list[Callable[[], object]] = []
    keys = [Key(number, lambda: acts and acts.pop()()) for number in range(SPLIT_AT)]
    for number, key in enumerate(keys):
        index.file(key, number)
    acts[:] = [lambda: index.pop(7), lambda: index.put("other", -1)]
    index.file(7, 7)
    for number in range(100):
        index.file(f"more {number}", number)
    assert len(index.tables()) == PARTS
    assert index.get("other") == -1
    assert index.get(7) == 7
    assert [index.get(key) for key in keys] == list(range(SPLIT_AT))
