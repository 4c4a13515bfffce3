"""What an entry of a cache is charged: what its end would free."""

from typing import Any

import numpy as np
import pytest

from membudget import _native
from membudget.sizing import NODES, entry_bytes, size_of
from sizing_scene import registered

CORE: Any = _native.core

pytestmark = pytest.mark.skipif(
    CORE is None, reason="plain Python charges what others hold as well"
)


def weigh(value: Any) -> int:
    """The charge for a value under a key that weighs nothing."""
    size: int = CORE.entry(None, value)
    return size


def floats(count: int) -> list[float]:
    return [number * 1.5 + 1000 for number in range(count)]


def test_what_only_the_entry_holds_is_charged_in_full() -> None:
    value = {"numbers": floats(100), "more": [floats(10) for _ in range(5)]}
    assert weigh(value) == pytest.approx(size_of(value), rel=0.03)


def test_the_value_itself_is_always_charged() -> None:
    """However many hold it: at `set` the caller does."""
    value = floats(100)
    also = [value] * 10
    assert weigh(value) == pytest.approx(size_of(value), rel=0.01)
    assert also


def test_a_part_that_others_hold_is_not_charged_nor_is_what_it_leads_to() -> None:
    """Dropping the entry would not free it."""
    outside = [floats(100) for _ in range(10)]
    value = {"mine": floats(100), "theirs": outside}
    assert weigh(value) == pytest.approx(size_of({"mine": floats(100), "x": None}), rel=0.05)


def test_what_another_way_leads_to_as_well_is_charged() -> None:
    """The part held outside is left out, not all that it refers to."""
    inner = floats(100)
    outside = [inner, floats(1000)]
    value = [outside, inner]
    del inner
    assert weigh(value) == pytest.approx(size_of(floats(100)), rel=0.05)
    assert outside


def test_a_short_string_is_charged_in_proportion() -> None:
    words = [f"word {number}" for number in range(100)]
    value = [*words]
    lists = size_of([None] * 100)
    assert weigh(value) - lists == pytest.approx((size_of(value) - lists) / 2, rel=0.02)


def test_a_view_is_charged_for_its_array_only_as_the_last_that_holds_it() -> None:
    table = np.zeros(100_000)
    value = [table[:10]]
    assert weigh(value) < 500
    del table
    assert weigh(value) > 800_000


def test_a_circle_is_charged_once() -> None:
    value: dict[str, Any] = {"numbers": floats(100)}
    value["self"] = value
    value["back"] = [value, value["numbers"]]
    assert weigh(value) == pytest.approx(size_of(value), rel=0.03)


def test_a_long_chain_takes_no_stack() -> None:
    """Of 100,000 lists, each in the next, as many are weighed as the bound says."""
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    try:
        assert 0 < weigh(value) <= NODES * 100
    finally:
        while value:
            value = value[0]


def test_above_the_bound_the_charge_is_an_estimate_of_the_size() -> None:
    """From a sample it cannot be told who holds a part."""
    value = [floats(10) for _ in range(5000)]
    true = sum(map(size_of, value)) + size_of([None] * 5000)
    assert weigh(value) == pytest.approx(true, rel=0.05)


class Model:
    """A type whose weight only the program knows."""

    def __init__(self, weight: int) -> None:
        self.weight = weight


def test_a_registered_function_is_asked_for_entries_too() -> None:
    """And what it says of a model that others hold as well is left out."""
    with registered(Model, lambda model: int(model.weight)):
        assert weigh([Model(5000), Model(7000)]) == size_of([None] * 2) + 12_000
        held = Model(5000)
        assert weigh([held, Model(7000)]) == size_of([None] * 2) + 7000


def test_key_and_value_are_weighed_together() -> None:
    assert entry_bytes("a key of its own", 1.5) == size_of("a key of its own") + size_of(1.5)
    key = ("a key", 1234567)
    assert entry_bytes(key, None) > size_of(key) / 2
    assert entry_bytes(None, None) == 0


def test_what_the_two_share_is_charged_once() -> None:
    part = tuple(floats(100))
    key = (part, 1)
    value = [part]
    expected = size_of(part)
    del part
    assert entry_bytes(key, value) == pytest.approx(expected, rel=0.10)


def test_an_object_is_asked_about_once_however_many_types_are_new() -> None:
    """And what asking holds does not make it look held by somebody else."""
    asked = []

    def answer(model: Model) -> int:
        asked.append(id(model))
        return 100_000

    with registered(Model, answer):
        value = [Model(5000), *(type(f"New{number}", (), {})() for number in range(5))]
        assert weigh(value) > 100_000
    assert len(asked) == 1
