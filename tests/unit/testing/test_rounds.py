"""The leak check without pytest: what it finds, what it lets pass, what it says."""

import ctypes
import functools
import gc
import sys
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from membudget.errors import ConfigError
from membudget.testing import check_leaks
from membudget.testing.result import (
    as_json_value,
    cost_in_words,
    explain,
    grew_in_every,
    is_lasting,
    least_growth,
    pace,
)
from membudget.testing.rounds import Asked, longer, size_of_rounds

linux = pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")


class Order:
    def __init__(self, number: int) -> None:
        self.number = number


class Store:
    """Keeps what it should not."""

    def __init__(self) -> None:
        self.orders: dict[int, Order] = {}

    def add(self) -> None:
        order = Order(len(self.orders))
        self.orders[order.number] = order


def test_a_function_that_keeps_nothing_has_no_leak() -> None:
    """And ends after three rounds, for no more can change that."""
    result = check_leaks(lambda: [number * 2 for number in range(10)])
    assert not result.is_leak
    assert len(result.series) == 1
    assert len(result.series[0].blocks) == 3
    assert "no leak in" in explain(result)


def test_a_leak_is_found_with_its_line_its_container_and_its_type() -> None:
    store = Store()
    result = check_leaks(store.add, calls=200)
    assert result.is_leak
    assert result.memory[0] == "blocks"
    assert 1.9 < result.blocks_per_call < 4.1
    assert result.lines[0].file == __file__
    assert "Order(" in {line.source.split("= ")[-1][:6] for line in result.lines}
    container = result.containers[0]
    assert container.name.endswith("Store.orders")
    assert (container.kind, container.each) == ("dict", 1.0)
    assert container.newest.endswith(".Order>")
    assert any(one.name.endswith("Order") and one.each == 1.0 for one in result.types)
    told = explain(result)
    for word in ("Store.add leaks", "test_rounds.py:", "Store.orders (dict)  +1 items a call"):
        assert word in told


def test_a_thousand_things_a_call_are_told_without_a_power_of_ten() -> None:
    kept: list[list[int]] = []

    def call() -> None:
        kept.extend([number] for number in range(2000))

    told = explain(check_leaks(call, rounds=3, calls=2, warmup=2))
    assert "+2,000 items a call" in told
    assert "e+0" not in told


def test_arguments_are_passed_on() -> None:
    kept: list[list[int]] = []

    def keep(store: list[list[int]], number: int) -> None:
        store.append([number])

    result = check_leaks(keep, kept, 7, rounds=3, calls=100)
    assert result.is_leak
    assert kept[0] == [7]
    assert result.name.endswith("keep")


def test_a_leak_at_every_fiftieth_call_is_found() -> None:
    """Two hundred calls a round hold four of them."""
    kept: list[bytes] = []
    count = 0

    def call() -> None:
        nonlocal count
        count += 1
        if count % 50 == 0:
            kept.append(bytes(100) + str(count).encode())

    assert check_leaks(call).is_leak


@pytest.mark.parametrize("size", [1000, 4096, 20_000])
def test_a_cache_that_is_still_filling_is_no_leak(size: int) -> None:
    """One entry a call for as long as there is room: only going further tells."""
    count = 0

    @functools.lru_cache(maxsize=size)
    def slow(number: int) -> str:
        return f"answer {number}"

    def call() -> None:
        nonlocal count
        count += 1
        slow(count)

    result = check_leaks(call)
    assert not result.is_leak, explain(result)


def test_an_unbounded_cache_is_named() -> None:
    count = 0

    @functools.cache
    def slow(number: int) -> str:
        return f"answer {number}"

    def call() -> None:
        nonlocal count
        count += 1
        slow(count)

    result = check_leaks(call, calls=200)
    assert result.is_leak
    assert ("lru_cache", True) in {
        (one.kind, one.name.endswith("slow")) for one in result.containers
    }


def test_opening_text_files_is_no_leak(tmp_path: Any) -> None:
    """The interpreter keeps some names that were looked up, to a bound."""
    path = tmp_path / "text"
    path.write_text("some text")
    assert not check_leaks(lambda: path.read_text(encoding="ascii")).is_leak


def test_garbage_is_no_leak() -> None:
    """It is collected before anything is measured, even where the collector is off."""

    def cycle() -> None:
        one: list[Any] = []
        one.append(one)

    gc.disable()
    try:
        assert not check_leaks(cycle).is_leak
        assert not gc.isenabled()
    finally:
        gc.enable()


@linux
def test_memory_that_c_code_leaks_is_found_and_told_apart() -> None:
    """By what malloc has handed out."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):
        pytest.skip("malloc cannot be asked here")
    library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    taken: list[int] = [0] * 2_000_000
    count = 0

    def call() -> None:
        nonlocal count
        taken[count] = library.malloc(1000)
        count += 1

    result = check_leaks(call, calls=200)
    for address in filter(None, taken):
        library.free(address)
    assert result.memory[-1] == "malloc"
    assert result.malloc_per_call > 900
    assert result.untraced is not None
    assert "by C code" in explain(result)


def test_an_error_passes_through_and_tells_which_call() -> None:
    """The check ends, and leaves nothing frozen."""
    count = 0

    def call() -> None:
        nonlocal count
        count += 1
        if count == 130:
            raise KeyError("late")

    with pytest.raises(KeyError, match="late") as caught:
        check_leaks(call)
    assert caught.value.__notes__ == ["in call 130 of a leak check"]
    assert gc.get_freeze_count() < 1000


def test_a_slow_function_gets_fewer_calls_and_that_is_told() -> None:
    result = check_leaks(time.sleep, 0.02, seconds=1.0)
    assert result.series[0].calls < 20
    assert "calls a round, since one takes" in explain(result)
    assert "ms a call" in cost_in_words(result)


def test_tracing_of_somebody_else_stays_on() -> None:
    kept: list[str] = []
    tracemalloc.start(2)
    try:
        assert check_leaks(lambda: kept.append(str(len(kept))), rounds=3, calls=100).lines
        assert tracemalloc.is_tracing()
        assert tracemalloc.get_traceback_limit() == 2
    finally:
        tracemalloc.stop()


def test_tracing_ends_with_the_check() -> None:
    kept: list[str] = []
    assert check_leaks(lambda: kept.append(str(len(kept))), rounds=3, calls=100).is_leak
    assert not tracemalloc.is_tracing()


def test_objects_frozen_by_the_program_stay_frozen() -> None:
    """Ours could not be told apart from them."""
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        check_leaks(int, calls=50)
        assert gc.get_freeze_count() >= frozen - 1000 > 0
    finally:
        gc.unfreeze()


def test_the_result_can_be_written_as_json() -> None:
    import json

    kept: list[str] = []
    result = check_leaks(lambda: kept.append(str(len(kept))), rounds=3, calls=100)
    value = json.loads(json.dumps(as_json_value(result)))
    assert value["is_leak"] is True
    assert value["lines"][0]["file"] == __file__
    assert 0.9 < value["blocks_per_call"] < 1.2


def test_what_cannot_be_checked_is_refused() -> None:
    def rows() -> Iterator[int]:
        yield 1

    with pytest.raises(ConfigError, match="generator function"):
        check_leaks(rows)
    for wrong in ({"rounds": 1}, {"calls": 0}, {"warmup": -1}, {"seconds": 0.0}):
        with pytest.raises(ConfigError, match="give"):
            check_leaks(int, **wrong)


deltas = st.lists(st.integers(-1000, 1000), max_size=20)


@given(deltas)
def test_one_round_without_growth_is_no_leak(found: list[int]) -> None:
    assert not grew_in_every([*found, 0])
    assert not is_lasting([-1, *found])


@given(st.integers(1, 1000), st.integers(3, 20))
def test_steady_growth_lasts(each: int, rounds: int) -> None:
    assert is_lasting([each] * rounds)
    assert pace([each] * rounds) == 1.0


def test_growth_that_dies_away_does_not_last() -> None:
    """A cache over random keys grows in every round, ever less."""
    filling = [1430, 558, 176, 75, 12, 4]
    assert grew_in_every(filling)
    assert not is_lasting(filling)


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        ([4, 2], 0.5),
        ([3, 1, 1, 1, 1, 1], 0.5),
        ([5], 1.0),
        ([2, 2, 9, 9, 1, 1], 0.5),
        ([0, 5, 5], 0.0),
        ([-3, 5, 5], 0.0),
    ],
)
def test_the_pace_is_that_of_the_last_third_against_the_first(
    found: list[int], shown: float
) -> None:
    """Of at least one round; where the first ones grew by nothing there is none."""
    assert pace(found) == shown


def test_no_rounds_are_no_growth() -> None:
    assert not grew_in_every([])
    assert pace([]) == 0.0


def test_growth_below_one_in_a_thousand_calls_does_not_count() -> None:
    """A block or two a round come from the surroundings."""
    assert least_growth(200) == 1
    assert least_growth(64_000) == 64
    assert not grew_in_every([1, 1, 1], least_growth(64_000))


@pytest.mark.parametrize(
    ("cost", "calls", "is_cut"),
    [
        (0.0, 2000, False),  # Too quick to time.
        (1e-6, 2000, False),
        (5e-5, 400, False),
        (1e-3, 200, False),
        (0.1, 11, True),  # 7 s for six rounds.
        (60.0, 4, True),  # Never fewer.
    ],
)
def test_rounds_are_sized_by_the_cost_of_a_call(cost: float, calls: int, is_cut: bool) -> None:  # noqa: FBT001
    """At least 200 where the time allows, more where they cost nothing."""
    found, cut = size_of_rounds(Asked(), cost)
    assert (found, bool(cut)) == (calls, is_cut)


def test_calls_asked_for_are_obeyed() -> None:
    assert size_of_rounds(Asked(calls=50), 10.0) == (50, "")
    kept: list[str] = []
    result = check_leaks(lambda: kept.append(str(len(kept))), calls=50)
    assert [one.calls for one in result.series] == [50, 50]


def test_calls_that_use_up_descriptors_are_few() -> None:
    """Six rounds and twelve more must fit among 1024."""
    calls, cut = size_of_rounds(Asked(), 1e-5, scarce=1.0)
    assert "scarce" in cut
    assert calls * 18 < 700


def test_the_second_series_goes_further_where_that_is_cheap() -> None:
    """Up to 32 times as many calls, within the time and 32 MiB."""
    size = 2000
    assert longer(Asked(), size, 1e-6, 0.01, 0.0) == 64_000
    by_time = longer(Asked(), size, 1e-4, 0.01, 0.0)
    assert 2000 < by_time <= 10 / 12 / 1e-4
    by_room = longer(Asked(), size, 1e-6, 1.0, 1000.0)
    assert by_room * 12 * 1064 <= 32 << 20
    assert longer(Asked(), size, 1e-2, 0.01, 0.0) == 2000
