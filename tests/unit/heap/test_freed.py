"""What a full collection frees, by type."""

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from membudget import heap
from membudget.heap import Freed, Garbage, commonest, raw


class Node:
    def __init__(self) -> None:
        self.me: Any = self


class Plain:
    """Is freed as soon as nobody refers to it."""


@pytest.fixture(autouse=True)
def _no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.collect()


def _collected() -> Garbage:
    watched = Freed()
    return watched.told(gc.collect(), 1_000_000)


def test_what_only_a_collection_frees_is_told_by_type() -> None:
    """From a sample: about as many as there were, wherever the collector keeps them."""
    kept = [Node() for _ in range(1000)]
    for _ in range(5000):
        Node()
    gc.collect(0)
    for _ in range(15_000):
        Node()
    found = _collected()
    assert found.types[f"{__name__}.Node"] == pytest.approx(15_000, rel=0.1)
    assert found.garbage >= 15_000
    assert len(kept) == 1000


def test_what_is_still_held_is_told_of_no_collection() -> None:
    kept = [Node() for _ in range(5000)]
    assert f"{__name__}.Node" not in _collected().types
    assert len(kept) == 5000


def test_what_ends_without_the_collector_is_no_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last reference was the list of what there was."""
    kept = [Plain() for _ in range(5000)]
    before = raw.takes_weak_references

    def meanwhile(kind: type) -> bool:
        if kind is Plain:
            kept.clear()
        return before(kind)

    monkeypatch.setattr(raw, "takes_weak_references", meanwhile)
    found = _collected()
    assert kept == []
    assert f"{__name__}.Plain" not in found.types


def test_nothing_is_kept_alive_and_no_finalizer_called_early() -> None:
    """A weak reference is all that stays."""
    ended: list[int] = []
    node = Node()
    weakref.finalize(node, ended.append, 1)
    watched = Freed()
    assert ended == []
    del node
    gc.collect()
    assert ended == [1]
    assert watched.told(1, 0).garbage == 1


def test_of_a_large_heap_the_young_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of all would hold the GIL for long; where the young are too many, none is named."""
    monkeypatch.setattr(heap, "MOST_BLOCKS", 0)
    listed: list[int | None] = []

    def get_objects(generation: int | None = None) -> list[Any]:
        listed.append(generation)
        return before(generation=generation)

    before = gc.get_objects
    monkeypatch.setattr(gc, "get_objects", get_objects)
    for _ in range(500):
        Node()
    assert _collected().types[f"{__name__}.Node"] == 500
    assert None not in listed
    monkeypatch.setattr(heap, "MOST_YOUNG", 100)
    for _ in range(500):
        Node()
    found = _collected()
    assert found.types == {}
    assert found.garbage >= 500


def test_what_waits_in_a_list_is_told_by_its_commonest_type() -> None:
    """As `gc.garbage` keeps what it could not free."""
    assert commonest([]) == ""
    assert commonest([Node(), Node(), [1]]) == f"{__name__}.Node"
