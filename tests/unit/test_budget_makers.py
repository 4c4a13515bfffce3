"""Containers made by a budget: the bounded ones of the library, under this budget's register."""

from __future__ import annotations

from typing import Any

import membudget
from membudget.bounded.containers.deque import BoundedDeque
from membudget.bounded.containers.list import BoundedList
from membudget.bounded.containers.mapping import BoundedDict
from membudget.bounded.containers.set import BoundedSet
from membudget.registry import Registry


def test_each_kind_is_made_with_its_content_its_bound_and_this_register() -> None:
    """So that this budget counts it and asks it, and no other."""
    registry = Registry()
    with membudget.start("64GiB", thread=False, sinks=(), registry=registry) as budget:
        trades = budget.deque("trades", [1, 2, 3], maxlen=2)
        names = budget.list("names", ["a"], max_items=5)
        prices = budget.dict("prices", {"a": 1}, max_bytes="1MiB")
        seen = budget.set("seen", {1, 2}, max_items=5)
        kinds: tuple[type[Any], ...] = (BoundedDeque, BoundedList, BoundedDict, BoundedSet)
        for made, kind in zip((trades, names, prices, seen), kinds, strict=True):
            assert type(made) is kind
            assert made in registry.holders()
        assert list(trades) == [2, 3]
        assert (list(names), dict(prices), set(seen)) == (["a"], {"a": 1}, {1, 2})
        assert budget.stats().governed == sum(one.held_bytes() for one in registry.holders())
