"""What full collections were worth: a share, from the collector's own calls."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from membudget.sampling.taker import Efficiency

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def efficiency() -> Iterator[Efficiency]:
    """One that listens, with nothing else collecting meanwhile."""
    gc.collect()
    gc.disable()
    listener = Efficiency()
    listener.begin()
    yield listener
    listener.end()
    gc.enable()


def make_garbage(count: int) -> None:
    """So many cycles that only a collection can free."""
    for _ in range(count):
        ring: list[object] = [object()]
        ring.append(ring)


def test_no_full_collection_is_not_known(efficiency: Efficiency) -> None:
    """Not 0: nothing was looked at; a young collection does not count."""
    assert efficiency.take() is None
    make_garbage(100)
    gc.collect(1)
    assert efficiency.take() is None


def test_the_share_grows_with_the_garbage(efficiency: Efficiency) -> None:
    """Much of it is a larger share than little, and both lie between 0 and 1."""
    shares = []
    for count in (1_000, 100_000):
        make_garbage(count)
        gc.collect()
        share = efficiency.take()
        assert share is not None
        shares.append(share)
    assert 0 < shares[0] < shares[1] < 1
    assert shares[1] > 10 * shares[0]


def test_nothing_to_free_is_a_share_of_nothing(efficiency: Efficiency) -> None:
    """Free lists that a collection empties are no garbage."""
    gc.collect()
    efficiency.take()
    gc.collect()
    assert efficiency.take() == 0.0


def test_it_is_since_the_last_sample(efficiency: Efficiency) -> None:
    """Each share is told once."""
    make_garbage(50_000)
    gc.collect()
    assert efficiency.take()
    assert efficiency.take() is None


def test_it_listens_once_and_leaves_nothing_behind() -> None:
    """However often it is begun and ended."""
    before = list(gc.callbacks)
    listener = Efficiency()
    listener.begin()
    listener.begin()
    assert len(gc.callbacks) == len(before) + 1
    listener.end()
    listener.end()
    assert gc.callbacks == before


def test_a_collection_that_began_before_a_fork_does_not_count(efficiency: Efficiency) -> None:
    """The child knows nothing."""
    efficiency._note("start", {"generation": 2})
    efficiency.forget()
    efficiency._note("stop", {"generation": 2, "collected": 5, "uncollectable": 0})
    assert efficiency.take() is None


def test_where_the_collector_counts_what_it_looked_at_that_is_taken() -> None:
    """Python 3.15 tells."""
    listener = Efficiency()
    told = {"generation": 2, "collected": 20, "candidates": 80, "uncollectable": 0}
    for _ in range(2):
        listener._note("start", told)
        listener._note("stop", told)
    assert listener.take() == 0.25
