"""The census: what is counted, what is said of what grew, and that looking changes nothing."""

from __future__ import annotations

import functools
import gc
import sys
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

import membudget
from heap_scenes import CALLS, hostile_class
from membudget.heap.items import exclusive_bytes
from membudget.heap.taker import SLICE, CensusTaker
from membudget.registry import Registry

if TYPE_CHECKING:
    from membudget.heap import Census


class Order:
    def __init__(self, number: int) -> None:
        self.number = number


class Service:
    """Caches a method, and with it itself."""

    @functools.cache  # noqa: B019  # the leak that is looked for
    def compute(self, number: int) -> list[int]:
        return [number]


def _own(name: str) -> str:
    return f"{__name__}.{name}"


def test_objects_are_counted_by_their_type() -> None:
    """Those that can refer to others."""
    census = CensusTaker(only=[("root", [Order(one) for one in range(30)])]).take()
    assert census.types[_own("Order")] == 30


def test_a_cache_of_functools_is_counted_by_its_function() -> None:
    Service.compute.cache_clear()
    before = CensusTaker(only=[("root", Service)]).take()
    for number in range(20):
        Service().compute(number)
    census = CensusTaker(before, only=[("root", Service)]).take()
    Service.compute.cache_clear()
    assert census.counts["lru_cache"][_own("Service.compute")] == 20
    assert "keeps its instances" in census.detail("lru_cache", _own("Service.compute")).note


def test_more_is_said_of_what_grew() -> None:
    rows: list[Any] = [("x" * 1000, number) for number in range(100)]
    roots = [("shop.rows", rows)]
    before = CensusTaker(only=roots).take()
    assert before.details == {}
    rows.extend((f"{number:01000}", number) for number in range(50))
    census = CensusTaker(before, only=roots).take()
    detail = census.detail("list", "shop.rows")
    assert detail.newest.startswith("tuple(<str of 1000")
    assert detail.chain == ("shop.rows",)
    assert detail.bytes_each is not None
    assert 900 < detail.bytes_each < 1400


class Session:
    """Owns its rows, and shares its settings with others."""

    shared = [bytes(50_000)]  # noqa: RUF012  # what this test is about

    def __init__(self) -> None:
        self.rows = [bytes(1000), bytes(2000)]
        self.settings = Session.shared


def _remembering() -> Any:
    """A function whose cell points at a session."""
    session = Session()
    return lambda: session


def test_a_type_weighs_what_its_objects_alone_hold() -> None:
    """A cell points at a session, and the session's bytes are not the cell's."""
    kept = [_remembering() for _ in range(50)]
    roots = [("shop.kept", kept)]
    before = CensusTaker(only=roots).take()
    kept += [_remembering() for _ in range(50)]
    census = CensusTaker(before, only=roots).take()
    session = census.detail("type", _own("Session")).bytes_each
    assert session is not None
    assert 3000 < session < 4000


def test_what_merely_points_at_something_weighs_little() -> None:
    """Cells, functions, methods and tuples; a list's own texts are its own."""
    remembering = _remembering()
    (cell,) = remembering.__closure__
    for one in (cell, remembering, cell.cell_contents.__init__, (Session(), Session.shared)):
        assert exclusive_bytes(one) < 400
    assert exclusive_bytes([bytes(1000), Session.shared[0]]) < 1500
    assert 3000 < exclusive_bytes(cell.cell_contents) < 4000


def test_exceptions_kept_with_their_tracebacks_are_named_as_such() -> None:
    """They keep every variable of the functions they passed."""
    errors: list[Exception] = []

    def fail() -> None:
        try:
            int("x")
        except ValueError as error:
            errors.append(error)

    roots = [("shop.errors", errors)]
    for _ in range(70):
        fail()
    before = CensusTaker(only=roots).take()
    for _ in range(70):
        fail()
    census = CensusTaker(before, only=roots).take()
    assert "tracebacks" in census.detail("list", "shop.errors").note


def test_a_census_ends_in_slices_and_finds_the_same_as_in_one_go() -> None:
    """Each at most five milliseconds of work."""
    rows = [{"number": number, "parts": [number]} for number in range(20_000)]
    roots = [("shop.rows", rows)]
    taker, steps = CensusTaker(only=roots), 1
    while (census := taker.step(time.monotonic() + SLICE)) is None:
        steps += 1
    assert steps > 1
    assert census.counts == CensusTaker(only=roots).take().counts


def test_a_census_of_the_process_asks_hostile_objects_nothing() -> None:
    """Large, growing ones in its modules and variables included."""
    CALLS.clear()
    kinds = [hostile_class(list), hostile_class(dict), hostile_class(deque), hostile_class()]
    rows: Any = list.__new__(kinds[0])
    table: Any = dict.__new__(kinds[1])
    line: Any = deque.__new__(kinds[2])
    holder = object.__new__(kinds[3])
    object.__setattr__(holder, "held", [rows, table, line])
    before: Census | None = None
    for _ in range(3):
        list.extend(rows, [object.__new__(kinds[3]) for _ in range(1500)])
        dict.update(table, {len(rows_key): [1] for rows_key in map(bytes, range(1, 1500))})
        dict.update(table, {f"{time.monotonic()}{one}": holder for one in range(100)})
        deque.extend(line, [object.__new__(kinds[3]) for _ in range(100)])
        before = CensusTaker(before, extra=[("test.holder", holder)]).take()
    assert CALLS == []
    assert before is not None
    assert any(kind.endswith("Hostile") for kind in before.counts)


def test_a_census_stands_what_other_threads_change_meanwhile() -> None:
    """Containers that grow, shrink and are cleared while they are read."""
    table: dict[int, list[int]] = {}
    line: deque[list[int]] = deque()
    rows: list[Any] = []
    ends = threading.Event()

    def churn() -> None:
        number = 0
        while not ends.is_set():
            number += 1
            table[number % 20_000] = [number]
            line.append([number])
            rows.append({number: [number]})
            if number % 30_000 == 0:
                table.clear()
                line.clear()
                rows.clear()

    threads = [threading.Thread(target=churn) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        before = None
        for _ in range(4):
            roots = [("shop.table", table), ("shop.line", line), ("shop.rows", rows)]
            taker = CensusTaker(before, only=roots)
            while (census := taker.step(time.monotonic() + SLICE)) is None:
                time.sleep(0.001)
            before = census
            assert census.objects >= 3
    finally:
        ends.set()
        for thread in threads:
            thread.join()


def test_no_census_counts_another() -> None:
    """Nor this library's own objects: what it keeps is no suspect."""
    registry = Registry()
    cache: membudget.Cache[int, list[int]] = membudget.Cache(
        "own", max_bytes="1MiB", registry=registry
    )
    for number in range(100):
        cache.set(number, [number])
    before = CensusTaker().take()
    after = CensusTaker(before).take()
    grown = {name: count for name, count in after.types.items() if "membudget" in name}
    assert not [name for name in grown if name.startswith("membudget.")]
    del cache


def test_looking_twice_finds_the_same() -> None:
    """Nothing that a census leaves behind is counted by the next."""
    CensusTaker().take()
    first = CensusTaker().take()
    second = CensusTaker(first).take()
    changed = {
        name: (first.types.get(name, 0), count)
        for name, count in second.types.items()
        if "." in name and abs(count - first.types.get(name, 0)) > 5
    }
    assert changed == {}


def test_a_census_brings_on_no_collection_worth_the_name() -> None:
    """What it allocates would otherwise start a full one, in the middle of a slice."""
    rows = [{"number": number, "parts": [number]} for number in range(100_000)]
    gc.collect()
    before = gc.get_stats()[1]["collections"]
    CensusTaker(only=[("shop.rows", rows)]).take()
    assert gc.get_stats()[1]["collections"] - before <= 2


def test_a_census_that_is_given_up_lets_go_at_once() -> None:
    """Under pressure what it was about to enter goes away without a collection."""
    order = Order(1)
    rows = [[[order]] for _ in range(5000)]
    before = sys.getrefcount(order)
    taker = CensusTaker(only=[("shop.rows", rows)])
    watched = weakref.ref(taker)
    gc.disable()
    try:
        taker.step(0.0)
        del taker
        assert watched() is None
        assert sys.getrefcount(order) == before
    finally:
        gc.enable()


def test_reference_counts_are_as_before() -> None:
    order = Order(1)
    rows = [order] * 100
    before = sys.getrefcount(order)
    taker = CensusTaker(only=[("shop.rows", rows)])
    taker.take()
    assert sys.getrefcount(order) == before
