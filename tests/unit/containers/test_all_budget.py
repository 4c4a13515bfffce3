"""What the bounded containers have in common: drops, budget and giving way."""

import threading
import time
from typing import Any

import pytest

from beside import held_elsewhere
from containers_scene import FOREVER, KINDS, made, put, put_many, weights
from fakes import Asking, Ticking
from membudget.containers import DEFAULT_ITEMS
from membudget.containers.list import BoundedList
from membudget.containers.ordered import BoundedDict
from membudget.containers.sequence import CLAIM_EVERY
from membudget.core import Meter
from membudget.registry import Registry

pytestmark = pytest.mark.parametrize("kind", KINDS)


def test_drops_are_told_with_their_cause(kind: Any) -> None:
    """And only those: what is replaced, popped or cleared is the caller's own doing."""
    told: list[Any] = []
    one = made(kind, max_items=2, on_drop=lambda *what: told.append((what[0], what[-1])))
    for number in range(3):
        put(one, number)
    one.pop(1) if kind in (BoundedList, BoundedDict) else one.pop()
    one.reclaim(1, FOREVER)
    put(one, 7)
    one.clear()
    assert told[0] == (0, "items")
    assert [cause for _, cause in told] == ["items", "pressure"]


def test_on_drop_may_use_the_container_and_fail(kind: Any) -> None:
    """It runs outside the lock, when everything is in order; its error reaches who added."""
    seen: list[int] = []

    def look(*_: Any) -> None:
        thread = threading.Thread(target=lambda: seen.append(len(one)))
        thread.start()
        thread.join(20)
        raise ZeroDivisionError

    one = made(kind, max_items=3, on_drop=look)
    put_many(one, range(3))
    for number in (3, 4):
        with pytest.raises(ZeroDivisionError):
            put(one, number)
    assert seen == [3, 3]
    assert list(one) == [2, 3, 4]
    with pytest.raises(ZeroDivisionError):
        one.reclaim(1, FOREVER)
    assert len(one) == 2
    assert weights(one) == one.held_bytes()


def test_items_are_freed_outside_the_lock(kind: Any) -> None:
    """A finalizer may wait for a thread that uses the container."""

    class Final:
        def __del__(self) -> None:
            thread = threading.Thread(target=lambda: lens.append(len(one)))
            thread.start()
            thread.join(20)
            assert not thread.is_alive()

    lens: list[int] = []
    one = made(kind, max_items=2, size=lambda _: 1)
    for _ in range(4):
        put(one, Final())
    one.reclaim(1, FOREVER)
    one.resize(max_bytes=1)
    put_many(made(kind, max_items=1), [1, 2])
    one.resize(max_bytes=None)
    put(one, Final())
    one.clear()
    assert len(lens) == 5


def test_a_claim_is_made_for_every_sixteen_kibibytes(kind: Any) -> None:
    registry = Registry()
    registry.meter = meter = Asking()
    one = made(kind, registry=registry, max_bytes="1GiB")
    for number in range(200):
        put(one, f"{number:01000d}")
    assert sum(meter.claims) <= one.held_bytes() < sum(meter.claims) + CLAIM_EVERY
    assert min(meter.claims) >= CLAIM_EVERY
    assert len(meter.claims) <= one.held_bytes() // CLAIM_EVERY


def test_the_inserting_thread_pays_before_it_goes_on(kind: Any) -> None:
    registry = Registry()
    registry.meter = meter = Asking()
    one, other = made(kind, registry=registry), made(kind, "other", registry=registry)
    put_many(one, [f"{number:01000d}" for number in range(100)])
    put_many(other, [f"{number:01000d}" for number in range(100)])
    meter.wanted = one.held_bytes() // 2
    before = one.held_bytes()
    put_many(one, [f"{number:01000d}" for number in range(100, 120)])
    assert one.held_bytes() < before // 2 + 60_000
    assert [int(item) for item in one] == list(range(120 - len(one), 120))
    assert one.stats().dropped["pressure"] == 120 - len(one)
    assert len(other) == 100


def test_a_reclaim_frees_at_least_its_target(kind: Any) -> None:
    one = made(kind)
    put_many(one, [f"{number:01000d}" for number in range(100)])
    before = one.held_bytes()
    freed = one.reclaim(10_000, FOREVER)
    assert 10_000 <= freed < 13_000
    assert one.held_bytes() == one.reclaimable() == before - freed
    assert [int(item) for item in one] == list(range(100 - len(one), 100))
    assert one.reclaim(1 << 40, FOREVER) == before - freed
    assert len(one) == one.held_bytes() == one.reclaim(1, FOREVER) == 0


def test_a_reclaim_stops_at_its_time(kind: Any) -> None:
    clock = Ticking()
    one = made(kind, clock=clock)
    put_many(one, range(2000))
    one.reclaim(1 << 40, clock.time + 0.003)
    assert 1500 < len(one) < 2000
    assert one.reclaim(1 << 40, clock.time - 1) == 0


def test_a_reclaim_does_not_wait_beyond_its_time(kind: Any) -> None:
    one = made(kind)
    if not hasattr(one, "_lock"):
        pytest.skip("a compiled table has none")
    put(one, 1)
    with held_elsewhere(one._lock):
        assert one.reclaim(1, time.monotonic() + 0.01) == 0
        assert one.held_bytes() > 0


def test_the_end_of_a_budget_drops_nothing(kind: Any) -> None:
    """What it let the container have stays the bound; what went meanwhile is not come back to."""
    registry = Registry()
    one = made(kind, registry=registry)
    registry.meter = Meter()
    put_many(one, range(2 * DEFAULT_ITEMS))
    put(one, -1)
    registry.meter = None
    put(one, -2)
    put_many(one, [-3, -4, -5])
    assert len(one) == 2 * DEFAULT_ITEMS + 1
    assert one.stats().dropped["items"] == 4
    registry.meter = Meter()
    one.reclaim(one.held_bytes() // 4 * 3, FOREVER)
    put_many(one, range(10**6, 10**6 + 2000))
    registry.meter = None
    put_many(one, range(2 * 10**6, 2 * 10**6 + 2 * DEFAULT_ITEMS))
    assert len(one) == DEFAULT_ITEMS
