"""What the tests of bounded containers share: a register of their own and a look inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fakes import FakeClock

from membudget.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.bounded.cache import Cache


@pytest.fixture
def registry() -> Registry:
    """A register without a budget."""
    return Registry()


@pytest.fixture
def clock() -> FakeClock:
    """A clock turned by hand."""
    return FakeClock()


@pytest.fixture
def check() -> Callable[[Cache[Any, Any]], None]:
    """Checks that links, index and sums of a cache agree."""
    return _check


def _check(cache: Cache[Any, Any]) -> None:
    ring = cache._ring
    linked, entry = [], ring.root.after
    while entry is not ring.root:
        assert entry.after.before is entry
        linked.append(entry)
        entry = entry.after
    assert len(linked) == ring.count == len(cache)
    assert sum(one.weight for one in linked) == cache.held_bytes()
    held = {id(one) for one in ring.index.values() if one.is_held()}
    assert held == {id(one) for one in linked}, "the index and the ring hold different entries"
