"""The wheel: what expires comes up in order, whatever the distance, a bounded piece at a time."""

from __future__ import annotations

from typing import Any

import pytest

from membudget.bounded.plain.entry import Entry, Ring
from membudget.bounded.plain.wheel import MOVES, TICKS, Wheel

TICK = 1 / TICKS


def entry(wheel: Wheel, ends: float, used: float = 0.0) -> Entry[Any, Any]:
    """An entry that expires then, as if it stood in a queue."""
    made: Entry[Any, Any] = Entry("key", "value", 1, tag=1, born=0.0, expires=ends)
    made.used = wheel.tick_of(used)
    made.before = made.after = Ring(0)
    return made


def drained(wheel: Wheel, now: float) -> list[float]:
    """When the entries that are due by now expired, in the order in which they came up."""
    found = []
    while (one := wheel.next_due(now)) is not None or wheel.is_behind:
        if one is not None:
            wheel._take(one, None)
            assert one.expires is not None
            found.append(one.expires)
    return found


@pytest.mark.parametrize("span", [1.0, 60.0, 4000.0, 86400.0, 10 * 86400.0, 1e9])
def test_what_expires_comes_up_at_its_time_and_not_before(span: float) -> None:
    """To the tick, at any distance."""
    wheel = Wheel(0.0, None)
    one = entry(wheel, span)
    wheel.add(one, 0.0)
    for part in (0.1, 0.5, 0.99, 0.999_999_9):
        assert wheel.next_due(span * part) is None
        soonest = wheel.soonest()
        assert soonest is not None
        assert soonest <= span
    assert wheel.next_due(span) is one


def test_entries_come_up_in_the_order_of_their_times() -> None:
    """Across all levels, also where the clock jumps over everything at once."""
    times = [0.1, 0.9, 1.1, 30.0, 63.9, 64.1, 100.0, 4095.0, 4097.0, 2e5, 3e5, 5e5, 2e6]
    for jump in (True, False):
        wheel = Wheel(0.0, None)
        for time in reversed(times):
            wheel.add(entry(wheel, time), 0.0)
        if jump:
            assert drained(wheel, 3e6) == times
        else:
            found = [one for time in times for one in drained(wheel, time)]
            assert found == times
        assert wheel.count == 0
        assert wheel.soonest() is None


def test_what_expires_together_comes_up_in_the_order_it_came_in() -> None:
    """Although it stood in levels of different width."""
    wheel = Wheel(0.0, None)
    added = []
    for now in (0.0, 10.0, 62.0, 63.5):
        wheel.next_due(now)
        added.append(entry(wheel, 64.0))
        wheel.add(added[-1], now)
    found = []
    while (one := wheel.next_due(64.0)) is not None:
        wheel._take(one, None)
        found.append(one)
    assert found == added


def test_a_tick_is_not_split() -> None:
    """What is due later within the tick holds up what came in after it, until the tick is over."""
    wheel = Wheel(0.0, None)
    late, early = entry(wheel, 1.010), entry(wheel, 1.005)
    for one in (late, early):
        wheel.add(one, 0.0)
    assert wheel.next_due(1.007) is None
    assert not wheel.is_behind
    assert drained(wheel, 1.0 + TICK) == [1.010, 1.005]


def test_one_search_moves_a_bounded_number() -> None:
    """So that nobody waits for a million that were set in the same minute."""
    wheel = Wheel(0.0, None)
    for _ in range(3 * MOVES):
        wheel.add(entry(wheel, 100.0), 0.0)
    searches = 0
    while (found := wheel.next_due(99.99)) is None and wheel.is_behind:
        searches += 1
    assert found is None
    assert searches == 3
    assert len(drained(wheel, 100.0)) == 3 * MOVES


def test_an_entry_in_use_is_placed_anew() -> None:
    """Where idleness counts: it comes up once it was not used for so long."""
    wheel = Wheel(0.0, 10.0)
    used, unused = entry(wheel, float("inf")), entry(wheel, float("inf"))
    for one in (used, unused):
        wheel.add(one, 0.0)
    used.used = wheel.tick_of(7.0)
    assert wheel.next_due(9.9) is None
    assert wheel.next_due(10.0) is unused
    wheel._take(unused, None)
    assert wheel.next_due(16.9) is None
    assert wheel.ends(used) == 17.0
    assert wheel.next_due(17.0) is used


def test_the_sooner_of_two_times_counts() -> None:
    """Of the time given and the time unused."""
    wheel = Wheel(0.0, 10.0)
    hard, idle = entry(wheel, 5.0), entry(wheel, 50.0)
    for one in (hard, idle):
        wheel.add(one, 0.0)
    assert [wheel.ends(one) for one in (hard, idle)] == [5.0, 10.0]
    assert wheel.next_due(5.0) is hard
    wheel._take(hard, None)
    assert wheel.next_due(10.0) is idle


def test_an_entry_without_a_time_is_not_taken_in() -> None:
    """Nor one that was taken out of its queue meanwhile."""
    wheel = Wheel(0.0, None)
    wheel.add(entry(wheel, float("inf")), 0.0)
    gone = entry(wheel, 5.0)
    gone.before = gone.after = None
    wheel.add(gone, 0.0)
    assert wheel.count == 0
