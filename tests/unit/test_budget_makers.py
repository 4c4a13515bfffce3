"""Containers made by a budget: the bounded ones of the library, under this budget's register."""

from collections.abc import Callable
from typing import Any

import pytest

import membudget
from membudget.containers.list import BoundedDeque, BoundedList
from membudget.containers.ordered import BoundedDict, BoundedSet
from membudget.errors import ConfigError
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
        containers: tuple[Any, ...] = (trades, names, prices, seen)
        for made, kind in zip(containers, kinds, strict=True):
            assert type(made) is kind
            assert made in registry.holders()
        assert list(trades) == [2, 3]
        assert (list(names), dict(prices), set(seen)) == (["a"], {"a": 1}, {1, 2})
        assert budget.stats().governed == sum(one.held_bytes() for one in registry.holders())


NAMED: list[Callable[[membudget.Budget, str], Any]] = [
    lambda budget, name: budget.cache(name),
    lambda budget, name: budget.deque(name, maxlen=5),
    lambda budget, name: budget.list(name, max_items=5),
    lambda budget, name: budget.dict(name, max_items=5),
    lambda budget, name: budget.set(name, max_items=5),
    lambda budget, name: budget.watch(name, [1], max_items=5),
    lambda budget, name: budget.callback(name, lambda _: 0),
    lambda budget, name: membudget.WeakCache(name),
    lambda budget, name: membudget.MetricsCollector(name),
    lambda budget, name: membudget.cached(name=name)(lambda: 1),
]


@pytest.mark.parametrize("make", NAMED)
def test_a_name_that_no_line_can_show_is_refused_by_all(
    make: Callable[[membudget.Budget, str], Any],
) -> None:
    """Lines that it forged, colours of the terminal, a megabyte: and nothing is made."""
    registry = Registry()
    with membudget.start("64GiB", thread=False, sinks=(), registry=registry) as budget:
        before = len(registry.holders()), len(registry.reclaimers()), len(registry.chores())
        for name in ("x\nmembudget: forged", "x\x1b[31m", "x\u202e", "n" * 1_000_000):
            with pytest.raises(ConfigError, match=r"no line can show|200 are the most") as raised:
                make(budget, name)
            assert str(raised.value).isprintable()
            assert len(str(raised.value)) < 500
        after = len(registry.holders()), len(registry.reclaimers()), len(registry.chores())
        assert before == after


def test_a_function_of_any_name_is_cached() -> None:
    """What a program did not name itself is shortened."""

    def price() -> int:
        return 1

    price.__qualname__ = "a.<locals>." * 100 + "price\n"
    assert membudget.cached(price)() == 1
