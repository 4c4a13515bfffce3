"""The plain table: its lock, its steps and its memory."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest

from cache_oracle import check_contents
from fakes import FakeClock
from membudget.bounded.plain.steps import BATCH
from membudget.bounded.plain.table import Table
from membudget.errors import ConfigError
from membudget.registry import Registry


def options(**more: Any) -> dict[str, Any]:
    """What a table is made with."""
    return {
        "max_bytes": 1 << 30,
        "max_entries": None,
        "ttl": None,
        "idle": None,
        "policy": "s3fifo",
        "size": None,
        "listens": False,
        "registry": Registry(),
        "now": None,
        **more,
    }


def filled(count: int, **more: Any) -> Table[int, int]:
    """A table of numbers."""
    made: Table[int, int] = Table(**options(**more))
    for number in range(count):
        made.set(number, number, size=100)
    return made


def test_a_hit_waits_for_no_lock() -> None:
    """Nor does a miss, or a look."""
    table = filled(10, ttl=3600.0)
    found: list[Any] = []
    with table._lock:
        thread = threading.Thread(
            target=lambda: found.extend(
                [table.get(1), table.get(77), table.peek(2), 3 in table, table.held_bytes() > 0]
            )
        )
        thread.start()
        thread.join(10)
    assert found == [1, None, 2, True, True]


def test_a_step_is_bounded() -> None:
    """In entries and in bytes, and tells what it freed."""
    table = filled(500)
    before = table.held_bytes()
    freed, gone = table._evict(1 << 40, "pressure")
    assert (before - freed, 500 - BATCH) == (table.held_bytes(), len(table))
    assert gone is None
    for number in range(10):
        table.set(-number, number, size=700_000)
    while len(table) > 10:
        table._evict(1, "pressure")
    freed, _ = table._evict(1 << 40, "pressure")
    assert freed > 1 << 20
    assert len(table) == 8


def test_a_step_tells_each_entry_where_somebody_listens() -> None:
    """Key, value, weight and cause."""
    clock = FakeClock()
    table = filled(3, listens=True, now=clock.now)
    weight = table.held_bytes() // 3
    table.set(9, 9, size=100, ttl=5)
    clock.advance(5)
    assert table._evict(1, "pressure") == (weight, [(9, 9, weight, "expired")])
    assert table._evict(1, "pressure") == (weight, [(0, 0, weight, "pressure")])
    table._set_bounds(None, 1)
    assert table._enforce() == (weight, [(1, 1, weight, "entries")])
    assert table._enforce() == (0, [])


def test_a_step_waits_for_the_lock_only_so_long() -> None:
    """Then it has freed nothing."""
    table = filled(10)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with table._lock:
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    assert table._evict(1 << 40, "pressure", table._now() + 0.01) == (0, None)
    done.set()
    thread.join()
    assert table._evict(1 << 40, "pressure", table._now() + 10)[0] > 0


def test_an_emptied_table_gives_its_index_back() -> None:
    """A dict never shrinks by itself, and 50,000 empty places are megabytes."""
    table = filled(50_000)
    full = sys.getsizeof(table._contents.index)
    while len(table) > 100:
        table._evict(1 << 40, "pressure")
    table._fold()
    assert sys.getsizeof(table._contents.index) < full / 20
    assert all(key in table for key in table)
    check_contents(table._contents)


def test_a_table_is_made_once() -> None:
    """Making it again would leave others with half of it."""
    table = filled(3)
    with pytest.raises(ConfigError, match="made already"):
        table.__init__(**options())  # type: ignore[misc]  # what is tested
    assert len(table) == 3
    unmade: Table[int, int] = Table.__new__(Table)
    with pytest.raises(AttributeError):
        unmade.get(1)


def test_the_bytes_of_a_share_are_kept_too() -> None:
    """It is set from outside, and counted by itself."""
    table = filled(100)
    table.share = table.held_bytes() // 2
    table.set(1000, 1, size=100)
    assert table.held_bytes() <= table.share
    assert table._counts()["evictions"]["share"] == 101 - len(table)


def test_values_are_weighed_again_in_turn() -> None:
    """Every one comes up in a round, those taken out meanwhile left aside."""
    table: Table[int, list[int]] = Table(**options())
    for number in range(100):
        table.set(number, [])
    table.set(-1, [], size=50)
    for number in range(100):
        table.get(number, []).extend(range(1000, 1100))
    before = table.held_bytes()
    changed = 0
    for number in range(20):
        changed += table._reweigh()
        table.delete(number * 3)
    check_contents(table._contents)
    assert changed > 100 * 2000
    assert table.held_bytes() > before
    assert table._reweigh() == 0


def test_a_value_that_cannot_be_weighed_again_keeps_its_weight() -> None:
    """What weighs it is the program's own, and may fail."""

    class Odd:
        pass

    from membudget.sizing import register, unregister  # only here

    table: Table[int, Odd] = Table(**options())
    table.set(1, Odd())
    held = table.held_bytes()

    def fail(_: Odd) -> int:
        raise ValueError("no")

    register(Odd, fail)
    try:
        assert table._reweigh() == 0
    finally:
        unregister(Odd)
    assert table.held_bytes() == held
