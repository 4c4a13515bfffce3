"""Collecting before accusing: what it tells of the garbage."""

import gc
from typing import Any

import pytest

from fakes import FakeClock, FakeMemory, raising
from membudget import heap
from membudget.core import Event, Rung
from membudget.inspection import CollectAndTrim
from membudget.reclaimers import Collect
from sampling_scene import governed


class Node:
    def __init__(self) -> None:
        self.me: Any = self


class Trim:
    name = "trim"
    rung = Rung.GENTLE

    def reclaimable(self) -> int | None:
        return None

    def reclaim(self, target: int, until: float) -> int:
        del target, until
        return 0


def test_a_collection_says_which_types_it_freed() -> None:
    told: list[Event] = []
    clock = FakeClock()
    collect = CollectAndTrim(
        governed(FakeMemory(clock), told.append), Collect(clock=clock), Trim(), lambda: 1 << 20
    )
    gc.collect()
    gc.disable()
    try:
        for _ in range(30_000):
            Node()
        done = collect(1 << 20)
    finally:
        gc.enable()
    assert done is not None
    assert collect.garbage is not None
    assert collect.garbage.types[f"{__name__}.Node"] > 20_000
    assert collect.garbage.bytes == done[0] > 0


def test_a_process_that_may_not_be_stopped_is_not() -> None:
    """And is asked once a minute, not at each tick."""
    clock, asked = FakeClock(), list[int]()
    full = Collect(clock=clock)

    def may_stop() -> bool:
        asked.append(1)
        return False

    collect = CollectAndTrim(
        governed(FakeMemory(clock)), full, Trim(), lambda: 1, may_stop=may_stop
    )
    for _ in range(120):
        assert collect(1) is None
        clock.advance(1)
    assert full.objects is None
    assert len(asked) == 2


def test_in_a_child_forked_amid_the_import_nothing_is_noted() -> None:
    """That import may never end there; the collection is made all the same."""
    clock = FakeClock()
    governor = governed(FakeMemory(clock))
    with governor.imports:
        governor.imports.after_fork_in_child()
    collect = CollectAndTrim(governor, Collect(clock=clock), Trim(), lambda: 1)
    assert collect(1) is not None
    assert collect.garbage is None


def test_where_a_list_of_all_objects_is_too_much_the_collection_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It takes no memory, and would else be wanted again at each tick."""
    clock = FakeClock()
    collect = CollectAndTrim(governed(FakeMemory(clock)), Collect(clock=clock), Trim(), lambda: 1)
    monkeypatch.setattr(heap, "_listed", raising(MemoryError()))
    assert collect(1) is not None
    assert collect.garbage is None
