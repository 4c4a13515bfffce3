"""What the bounded containers have in common: threads, signals and forks leave them in order."""

import os
from functools import partial
from typing import Any

import pytest

from beside import held_elsewhere, in_child, in_threads, interrupted_everywhere
from containers_scene import FOREVER, KINDS, made, put, put_many, weights
from fakes import FakeClock
from membudget.containers.list import BoundedDeque, BoundedList
from membudget.containers.ordered import BoundedDict, BoundedSet

OURS = "/membudget/containers/"

every_kind = pytest.mark.parametrize("kind", KINDS)
sequences = pytest.mark.parametrize("kind", [BoundedList, BoundedDeque])
"""Those whose changes are of several steps under a lock; a table's are one."""


@every_kind
@pytest.mark.usefixtures("hasty")
def test_threads_leave_it_in_order(kind: Any) -> None:
    one = made(kind, max_items=100, max_bytes="20KiB")

    def work(seed: int) -> None:
        for number in range(600):
            put(one, f"{seed} {number}" * (1 + number % 7))
            if number % 5 == 0:
                put_many(one, [f"{seed} {number} {more}" for more in range(10)])
            elif number % 7 == 0:
                assert len(list(one)) <= 100
            elif number % 11 == 0:
                one.reclaim(500, FOREVER)
            elif number % 97 == 0:
                one.clear()

    in_threads(*(partial(work, seed) for seed in range(6)))
    assert weights(one) == one.held_bytes() <= 20 << 10
    assert len(one) <= 100
    held = one.held_bytes()
    assert one.reclaim(1 << 40, FOREVER) == held
    assert one.held_bytes() == 0


@sequences
def test_an_exception_from_a_signal_leaves_it_in_order(kind: Any) -> None:
    """Wherever a handler can run, after a call or at a function's start: sums agree, it goes on."""

    def afresh() -> Any:
        one = made(kind, max_items=3)
        put_many(one, range(3))
        return one

    one = afresh()

    def act() -> None:
        put(one, 3)
        put_many(one, [4, 5])

    def check() -> None:
        nonlocal one
        assert weights(one) == one.held_bytes()
        put_many(one, range(10, 14))
        assert list(one) == [11, 12, 13]
        assert weights(one) == one.held_bytes()
        assert one._lock.acquire(blocking=False)
        one._lock.release()
        one = afresh()

    interrupted_everywhere(OURS, act, check)


@every_kind
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_goes_on_with_what_was_there(kind: Any) -> None:
    """Also where another thread had the lock, in the middle of a change."""
    one = made(kind)
    put_many(one, range(10))

    def act() -> None:
        put(one, 10)
        assert list(one) == list(range(11))
        assert weights(one) == one.held_bytes()

    assert in_child(act)
    if kind in (BoundedDict, BoundedSet):  # A table has no lock, or is asked for it elsewhere.
        return
    with held_elsewhere(one._lock):
        one._bytes += 5  # As in the middle of a change.
        assert in_child(act)
        one._bytes -= 5
    put(one, 10)
    assert len(one) == 11


@sequences
def test_what_a_signal_cuts_short_leaves_nothing_that_is_not_found(kind: Any) -> None:
    """An item is there for every way of asking, or for none."""
    one = made(kind)
    put_many(one, [0, 1, 2])

    def check() -> None:
        assert [item for item in one if item not in one] == []
        if 1 not in one:
            put(one, 1)
        assert sorted(one) == [0, 1, 2]
        assert weights(one) == one.held_bytes()

    interrupted_everywhere(OURS, lambda: one.remove(1), check)


@sequences
@pytest.mark.parametrize("until", [FOREVER, 2000.0])
def test_what_a_signal_cuts_short_leaves_no_lock_held(kind: Any, until: float) -> None:
    """Whether a reclaim may take its time or not; another thread gets the lock at once."""
    one = made(kind, clock=FakeClock())

    def check() -> None:
        def ask() -> bool:
            try:
                return bool(one._lock.acquire(timeout=1))
            finally:
                one._lock.release()

        assert in_threads(ask) == [True]
        put_many(one, range(5))

    def act() -> None:
        one.reclaim(1, until)
        one.resize(max_bytes="1KiB")

    check()
    interrupted_everywhere(OURS, act, check)
