"""Where the brake's limit stands: what is left out of the room, and what is given back."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brake_scene import KEPT_FREE, LIMIT, STACK, Machine
from fakes import MIB
from membudget.brake.brake import EASED, GIVE_BACK_EVERY, SETTLED
from membudget.brake.room import NEVER_TOUCHED_SHARE, Room, Stacks, margin_of
from membudget.core import OWN, Reading

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the brake is Linux's")
sizes = st.integers(0, 2000 * MIB)


@given(used=sizes, data=sizes, anon=sizes, later=st.tuples(sizes, sizes, sizes))
def test_what_may_be_mapped_never_exceeds_the_headroom_less_slack(
    used: int, data: int, anon: int, later: tuple[int, int, int]
) -> None:
    """Whatever comes after the baseline, only a quarter of the limit can be left out of slack."""
    room = Room(Stacks(STACK, lambda: 1), int, int, int)
    room.begin(_reading(used, data, anon), LIMIT)
    used, data, anon = later
    allowed = room.allowed(_reading(used, data, anon), LIMIT)
    untouched = max(0, data - anon)
    assert allowed <= LIMIT - used - margin_of(LIMIT)
    assert allowed <= LIMIT - used - margin_of(LIMIT) - untouched + LIMIT * NEVER_TOUCHED_SHARE


def _reading(used: int, data: int, anon: int) -> Reading:
    return Reading(at=0.0, used=used, limit=LIMIT, parts={"data": data, "anon": anon, OWN: anon})


def test_armed_it_leaves_what_the_limit_leaves(machine: Machine) -> None:
    """The room is the headroom less margin and reserve; what was untouched by then is left out."""
    line = machine.arm()
    assert machine.room() == LIMIT - machine.used - KEPT_FREE
    assert "then a MemoryError is raised; 10.0 MiB asked for and never used do not count" in line


def test_what_is_mapped_and_not_touched_is_taken_off_the_room(machine: Machine) -> None:
    """Zeros of numpy take no memory yet, and can take it without asking the kernel again."""
    machine.arm()
    machine.data += 100 * MIB
    machine.tick()
    assert machine.room() == LIMIT - machine.used - KEPT_FREE - 100 * MIB


def test_between_two_ticks_the_limit_stands_still(machine: Machine) -> None:
    """Growth within a tick is held against the limit of the last one, whatever maps it."""
    machine.arm()
    stood = machine.limits.soft
    machine.grow(200 * MIB)
    assert machine.limits.soft == stood
    assert machine.tick() == stood


def test_threads_started_later_take_no_room(machine: Machine) -> None:
    """Twenty stacks are 160 MiB mapped and hardly touched, and more that glibc keeps afterwards."""
    machine.arm()
    machine.threads, machine.data = 21, machine.data + 20 * STACK
    machine.tick()
    expected = LIMIT - machine.used - KEPT_FREE
    assert expected - 4 * MIB < machine.room() <= expected
    machine.threads, machine.data = 1, machine.data - 16 * STACK
    machine.tick()
    assert expected - 4 * MIB < machine.room() <= expected


def test_a_thread_may_start_without_any_room(machine: Machine) -> None:
    """Its stack is let beyond the limit, as its untouched part is no use of memory."""
    machine.arm()
    machine.grow(LIMIT - machine.used)
    machine.tick()
    machine.brake.before_thread()
    assert machine.room() >= STACK
    machine.tick(EASED / 2)
    assert machine.room() >= STACK  # A tick may come before the stack is mapped.
    machine.tick()
    assert machine.room() == 0


def test_what_a_library_sets_aside_takes_no_room(machine: Machine) -> None:
    """Under `membudget run` the brake is armed first, and numpy comes with its buffers later."""
    machine.arm()
    machine.modules, machine.code, machine.data = 200, machine.code + 30 * MIB, 120 * MIB
    machine.tick()
    assert machine.room() == LIMIT - machine.used - KEPT_FREE
    machine.data += 60 * MIB
    machine.tick(2.0)
    assert machine.room() == LIMIT - machine.used - KEPT_FREE - 60 * MIB


def test_a_library_can_hide_a_quarter_of_the_limit_at_most(machine: Machine) -> None:
    """An array mapped within the same second is not taken for a library's for ever."""
    machine.arm()
    machine.modules, machine.code, machine.data = 200, machine.code + 30 * MIB, 360 * MIB
    machine.tick()
    assert machine.room() == max(0, LIMIT - machine.used - KEPT_FREE - (310 - 100) * MIB)


def test_what_allocators_gave_back_is_room(machine: Machine) -> None:
    """Pages that a trim gave back stay mapped: what fits without them is not refused."""
    machine.used, machine.data, machine.anon = 250 * MIB, 260 * MIB, 250 * MIB
    machine.arm()
    machine.given_back, machine.used, machine.anon = 150 * MIB, 100 * MIB, 100 * MIB
    assert machine.tick() == 260 * MIB + LIMIT - 100 * MIB - KEPT_FREE
    machine.tick()
    # In use again, they count as used and no longer as given back.
    machine.used = machine.anon = 250 * MIB
    machine.tick()
    assert machine.tick() == 260 * MIB + LIMIT - 250 * MIB - KEPT_FREE
    # What is mapped now and not touched was never given back.
    machine.data += 60 * MIB
    assert machine.tick() == 320 * MIB + LIMIT - 250 * MIB - 60 * MIB - KEPT_FREE


def test_what_was_given_back_before_arming_is_room(machine: Machine) -> None:
    """More of it than may be taken as never touched."""
    machine.data, machine.given_back = 300 * MIB, 200 * MIB
    machine.arm()
    assert machine.limits.soft == 300 * MIB + LIMIT - 50 * MIB - KEPT_FREE
    machine.tick()
    assert machine.tick() == 300 * MIB + LIMIT - 50 * MIB - KEPT_FREE


def test_what_allocators_unmapped_hides_nothing(machine: Machine) -> None:
    """Where giving back ended the mapping, later mappings are slack as ever."""
    machine.used, machine.data, machine.anon = 250 * MIB, 260 * MIB, 250 * MIB
    machine.arm()
    machine.given_back = 150 * MIB
    machine.used, machine.data, machine.anon = 100 * MIB, 110 * MIB, 100 * MIB
    machine.tick()
    machine.data += 100 * MIB
    machine.tick()
    assert machine.tick() == 210 * MIB + LIMIT - 100 * MIB - 100 * MIB - KEPT_FREE


def test_what_is_swapped_out_was_touched(machine: Machine) -> None:
    machine.arm()
    machine.anon -= 30 * MIB
    machine.swap = 30 * MIB
    machine.tick()
    assert machine.tick() == 60 * MIB + LIMIT - 50 * MIB - KEPT_FREE


def test_allocators_give_back_before_anything_is_refused(machine: Machine) -> None:
    """Asked once in a while where that makes much more room, and not where room is plenty."""
    machine.arm()
    machine.free = 100 * MIB
    machine.tick()
    assert machine.asked == []
    machine.used, machine.data, machine.anon = 280 * MIB, 290 * MIB, 280 * MIB
    wakes = machine.wakes
    machine.tick()
    assert machine.asked == [100 * MIB]
    assert machine.wakes > wakes
    machine.tick()
    assert machine.asked == [100 * MIB]
    machine.free = 5 * MIB
    machine.tick(GIVE_BACK_EVERY)
    assert machine.asked == [100 * MIB]
    machine.free = 60 * MIB
    machine.tick()
    assert machine.asked == [100 * MIB, 60 * MIB]


def test_where_little_is_left_giving_back_may_take_its_time(machine: Machine) -> None:
    """A refusal is worse than a stall then; with more room, it is not."""
    machine.arm()
    machine.tick()
    assert not machine.brake.is_scarce
    machine.used, machine.data, machine.anon = 280 * MIB, 290 * MIB, 280 * MIB
    machine.tick()
    assert machine.brake.is_scarce


def test_a_forked_child_gives_nothing_back_before_it_is_braked(machine: Machine) -> None:
    """A child may exec at once; nothing is done for its room until it has one."""
    machine.used, machine.data, machine.anon = 280 * MIB, 290 * MIB, 280 * MIB
    machine.arm()
    machine.free = 100 * MIB
    machine.brake.after_fork_in_child()
    machine.tick(SETTLED / 2)
    assert machine.asked == []
    machine.tick(SETTLED)
    assert machine.asked == [100 * MIB]


def test_what_was_touched_after_all_is_no_longer_left_out(machine: Machine) -> None:
    """Else later slack would hide behind it."""
    machine.arm()
    machine.anon, machine.used = machine.data, machine.used + 10 * MIB
    machine.tick()
    machine.tick()
    machine.data += 10 * MIB
    machine.tick()
    assert machine.room() == LIMIT - machine.used - KEPT_FREE - 10 * MIB


def test_a_source_that_repeats_itself_does_not_hide_growth(machine: Machine) -> None:
    """The system's memory is read once a second; meanwhile the process may grow by gigabytes."""
    machine.arm()
    stood = machine.limits.soft
    machine.data, machine.anon = machine.data + 100 * MIB, machine.anon + 100 * MIB
    assert machine.tick(0.02) == stood
