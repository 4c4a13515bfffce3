"""Garbage among the newest objects."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest

from fakes import FakeClock
from membudget.heap.cycles import MOST, Cycles

if TYPE_CHECKING:
    from collections.abc import Iterator


class Node:
    """Refers to itself."""

    def __init__(self) -> None:
        self.me: Any = self
        self.rows = [bytearray(1000)]


@pytest.fixture(autouse=True)
def _no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.collect()


def test_cycles_that_nothing_leads_to_are_told_by_type() -> None:
    """And what is held is not."""
    clock = FakeClock()
    cycles = Cycles(clock.now)
    kept = [Node() for _ in range(200)]
    for _ in range(300):
        Node()
    clock.time += 60.0
    found = cycles.look()
    assert found is not None
    assert found.types[f"{__name__}.Node"] == 300
    assert found.bytes > 300 * 1000
    assert found.over == 60.0
    assert 0.2 < found.share < 0.9
    assert len(kept) == 200


def test_looking_collects_nothing() -> None:
    """The cycles are there as before."""
    cycles = Cycles()
    for _ in range(300):
        Node()
    first, second = cycles.look(), cycles.look()
    assert first is not None
    assert second is not None
    assert second.types[f"{__name__}.Node"] == first.types[f"{__name__}.Node"]
    assert gc.collect() >= 300


def test_with_too_many_young_objects_nothing_is_looked_at() -> None:
    """Their list alone would hold the GIL for long."""
    kept = [[number] for number in range(MOST + 2000)]
    assert Cycles().look() is None
    assert kept
