"""Full collections: what they cost, when they are worth it, and when they are left alone."""

import gc
import math
import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from fakes import MIB, FakeClock, FakeMemory, Recorder
from membudget.core import Level, Marks, Rung
from membudget.governor import Governor
from membudget.inspection import may_stop
from membudget.reclaimers import (
    FIRST_PAUSE,
    FULL,
    LONGEST_PAUSE,
    SHORT,
    YOUNG,
    Collect,
    CollectAbove,
    SharedPages,
    Throttled,
)
from membudget.registry import Registry

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


class Node:
    def __init__(self) -> None:
        self.me: Any = self


@pytest.fixture(autouse=True)
def nothing_else_to_collect() -> Iterator[None]:
    """No garbage but a test's own."""
    gc.collect()
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def futile(clock: FakeClock, **options: Any) -> Collect:
    """A full collection that has just found nothing worth its while, and pauses."""
    collect = Collect(FULL, time_share=None, clock=clock, **options)
    collect.reclaim(1, 0.0)
    assert collect.reclaimable() == 0
    return collect


@pytest.mark.parametrize("seconds", [10, 100, 1000, 10_000])
def test_where_nothing_is_found_the_pauses_double(clock: FakeClock, seconds: int) -> None:
    """Asked at every tick of so many seconds it is made at most log2(T) times."""
    collect, rounds = Collect(FULL, time_share=None, clock=clock), 0
    ends = clock.now() + seconds
    while clock.now() < ends:
        if collect.reclaimable() is None:
            collect.reclaim(1, 0.0)
            rounds += 1
        clock.advance(0.5)
    assert rounds <= math.log2(seconds)


def test_no_pause_is_longer_than_an_hour(clock: FakeClock) -> None:
    """Who leaks slowly for weeks is still looked after."""
    collect = Collect(FULL, time_share=None, clock=clock)
    for _ in range(20):
        collect.reclaim(1, 0.0)
        clock.advance(LONGEST_PAUSE)
        assert collect.reclaimable() is None


def test_what_is_found_ends_the_pauses(clock: FakeClock) -> None:
    """The next one need not wait, and the next futile one waits as the first did."""
    collect = futile(clock)
    for _ in range(200_000):
        Node()
    assert collect.reclaim(1, 0.0) > 0
    assert collect.reclaimable() is None
    collect.reclaim(1, 0.0)
    assert collect.reclaimable() == 0
    clock.advance(FIRST_PAUSE)
    assert collect.reclaimable() is None


def test_more_live_blocks_are_a_reason_to_look_again(clock: FakeClock) -> None:
    """Rising use asks at once, in the midst of a pause."""
    collect = futile(clock)
    collect.reclaim(1, 0.0)
    assert collect.reclaimable() == 0
    held = [[number] for number in range(1000)]
    clock.advance(1)
    assert collect.reclaimable() == 0
    held += [[number] for number in range(1_000_000)]
    clock.advance(1)
    assert collect.reclaimable() is None


def test_what_holders_let_go_is_a_reason_to_look_again(clock: FakeClock) -> None:
    """Evicted values may refer to each other."""
    held = [100 * MIB]
    collect = futile(clock, held=lambda: held[0])
    clock.advance(1)
    assert collect.reclaimable() == 0
    held[0] = 50 * MIB
    clock.advance(1)
    assert collect.reclaimable() is None


def test_who_asks_by_hand_is_not_told_of_pauses(clock: FakeClock) -> None:
    """A person, or the last resort, has one made."""
    memory, collect = FakeMemory(clock, used=50 * MIB), futile(clock)
    full = Throttled(collect, rung=Rung.AGGRESSIVE, clock=clock)
    governor = Governor(
        *(memory, Marks(), [full]), registry=Registry(), own=memory.own, clock=clock
    )
    collect.objects = None
    governor.reclaim(Rung.AGGRESSIVE)
    assert collect.objects is not None


def test_what_a_collection_will_take_is_known_before(clock: FakeClock) -> None:
    """By the live blocks: with much more to look at it is expected to take longer."""
    collect = futile(clock)
    before = collect.expected()
    held = [[number] for number in range(1_000_000)]
    assert collect.expected() > before > 0
    collect.learn(1.0, 1000)
    assert collect.expected() > len(held) / 1000


def test_with_the_interpreters_collections_off_young_ones_are_left_alone(clock: FakeClock) -> None:
    """All there is may be young then: one of them would be a full one."""
    collect = Collect(YOUNG, time_share=None, clock=clock)
    assert collect.reclaimable() == 0
    node = Node()
    collect.run(0.0)
    assert collect.objects is None
    gc.enable()
    assert collect.reclaimable() is None
    del node


def test_a_large_process_that_may_not_be_stopped_is_asked_again_later(clock: FakeClock) -> None:
    """Once a minute: to foresee the stop costs something as well."""
    asked: list[int] = []
    memory = FakeMemory(clock, used=600 * MIB)

    def may_stop() -> bool:
        asked.append(1)
        return False

    chore = CollectAbove(
        500 * MIB, memory.own, Recorder(), Collect(FULL, clock=clock), may_stop, clock=clock
    )
    for _ in range(120):
        assert not chore.due(clock.now())
        clock.advance(1)
    assert len(asked) == 2


class Scene:
    """A process that might be stopped for a collection."""

    def __init__(self, seconds: float, level: Level = Level.NORMAL) -> None:
        self.collect = Collect(FULL, clock=FakeClock())
        self.collect.learn(seconds, 1)
        self.collect.expected = lambda: seconds  # type: ignore[method-assign]
        self.shared = SharedPages(lambda: 0)
        self.may_stop = partial(may_stop, self.collect, self.shared, lambda: level)


def test_a_process_that_is_well_is_stopped_for_a_moment_only() -> None:
    """Longer where the program asked for it, or where what comes otherwise is worse."""
    gc.enable()
    assert Scene(SHORT / 2).may_stop()
    assert not Scene(SHORT * 2).may_stop()
    assert Scene(SHORT * 2).may_stop(is_asked=True)
    assert not Scene(SHORT * 2, Level.WARNING).may_stop()
    assert Scene(SHORT * 2, Level.CRITICAL).may_stop()


@pytest.mark.parametrize("turn_off", [gc.disable, lambda: gc.set_threshold(0), gc.freeze])
def test_a_program_that_keeps_collections_away_is_heard(turn_off: Any) -> None:
    """Its collector off, or its objects frozen by itself: only short memory is a reason."""
    gc.enable()
    thresholds = gc.get_threshold()
    turn_off()
    try:
        assert not Scene(0.0).may_stop()
        assert not Scene(0.0).may_stop(is_asked=True)
        assert Scene(0.0, Level.CRITICAL).may_stop()
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)


def in_child(work: Any) -> int:
    """What `work` returns in a forked child, as its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            code = int(work())
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


@needs_fork
def test_pages_that_are_copied_for_a_collection_are_its_cost(clock: FakeClock) -> None:
    """In a child each object looked at is on a page of the parent's; more is lost than found."""
    held = [{"number": [number]} for number in range(200_000)]

    def claimed() -> bool:
        for _ in range(20_000):
            Node()
        return Collect(FULL, clock=clock).reclaim(1, 0.0) > 0

    assert not in_child(claimed)
    gc.collect()  # The first to write to each page after a fork pays for it, in the parent as well.
    assert claimed()
    assert held


@needs_fork
def test_a_child_that_froze_what_it_inherited_pays_for_its_own_alone(clock: FakeClock) -> None:
    held = [{"number": [number]} for number in range(200_000)]
    shared = SharedPages(lambda: 0)

    def claimed() -> bool:
        shared.after_fork_in_child()
        for _ in range(20_000):
            Node()
        return Collect(FULL, clock=clock).reclaim(1, 0.0) > 0

    assert in_child(claimed)
    assert held
