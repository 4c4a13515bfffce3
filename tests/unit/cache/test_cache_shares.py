"""What a cache charges for parts that others hold too, and what it remembers of them."""

import contextlib
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from membudget.cache.cache import Cache
from membudget.cache.table import IS_COMPILED
from membudget.registry import Registry

BODY = 20_000


def cache(**bounds: Any) -> Cache[Any, Any]:
    """One that registers with nobody."""
    return Cache("shares", registry=Registry(), **bounds)


@pytest.mark.parametrize("make", [lambda body: (200, body), lambda body: [200, body]])
def test_a_body_its_maker_still_held_at_set_is_charged_soon_after(make: Any) -> None:
    """In a tuple as in a list: the maker's variable lets go of it with the next one."""
    bodies = cache(max_bytes=100 * BODY)
    for number in range(500):
        body = b"%d" % number * BODY
        bodies.set(number, make(body[:BODY]))
    assert len(bodies) < 130
    assert bodies.held_bytes() <= 100 * BODY


def traced(work: Callable[[], object]) -> int:
    """By how many bytes the process's blocks grow."""
    tracemalloc.start(1)
    try:
        work()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_values_that_are_replaced_leave_no_trace() -> None:
    """Though each came under a key of its own, equal to that of the entry."""
    url = "u" * 200
    keys = [(url, number % 10) for number in range(20_000)]
    kept = cache(max_entries=100)
    value = bytes(100)

    def set_all() -> None:
        for key in keys:
            kept.set(key, value)

    assert traced(set_all) < 100_000
    assert len(kept) == 10


def test_caches_that_come_and_go_leave_no_trace() -> None:
    """With all that each of them noted: shared parts, entries to weigh again, ghosts."""
    url = "u" * 200

    def come_and_go() -> None:
        for _ in range(200):
            gone = cache(max_entries=20, ttl=60)
            for number in range(600):
                gone.set(number, [url, (url, number)])
                gone.get(number // 2)

    come_and_go()
    assert traced(come_and_go) < 100_000


@pytest.mark.parametrize("is_deleted", [False, True])
def test_values_that_left_leave_no_trace(is_deleted: bool) -> None:  # noqa: FBT001
    url = "u" * 200
    values = [(url, number) for number in range(20_000)]
    kept = cache(max_entries=100)

    def set_all() -> None:
        for number, value in enumerate(values):
            kept.set(number % 5000, value)
            if is_deleted:
                kept.delete(number % 5000)

    assert traced(set_all) < 300_000
    assert len(kept) == (0 if is_deleted else 100)


def test_a_part_whose_holders_left_is_charged_anew() -> None:
    """Two entries share a body, both go, and two more come: they weigh what the first did."""
    body = [bytes(BODY)]

    def weight(*, was_there: bool) -> int:
        kept = cache(max_entries=100)
        for key in (1, 2) if was_there else ():
            kept.set(key, [body])
        for key in (1, 2) if was_there else ():
            kept.delete(key)
        kept.set(3, [body])
        kept.set(4, [body])
        return kept.held_bytes()

    assert weight(was_there=True) == weight(was_there=False)


class Torn:
    """A clock that fails when told to."""

    is_torn = False

    def now(self) -> float:
        if self.is_torn:
            raise OSError("no time")
        return 1.0


def test_a_set_that_fails_leaves_no_trace() -> None:
    url = "u" * 200
    values = [(url, number) for number in range(20_000)]
    clock = Torn()
    kept = cache(max_entries=100, clock=clock)
    clock.is_torn = True

    def fail() -> None:
        for value in values:
            with contextlib.suppress(OSError):
                kept.set(1, value)

    assert traced(fail) < 100_000
    assert len(kept) == 0


@pytest.mark.skipif(not IS_COMPILED, reason="the plain table leaves it to the hand")
def test_a_batch_whose_parts_were_held_for_long_is_charged_in_the_end() -> None:
    """That a second try changed much shows that all need one."""
    kept = cache(max_entries=4000)
    for start in range(0, 12_000, 300):
        batch = [{"body": bytes(900) + b"%d" % number} for number in range(start, start + 300)]
        for number, item in enumerate(batch, start):
            kept.set(number, {"item": item})
    assert kept.held_bytes() > len(kept) * 1000
