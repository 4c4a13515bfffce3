"""The brake: where the limit stands, what a hit lets go, and who must not be bound."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import MIB, FakeClock, Recorder
from membudget.brake.brake import EASED, GIVE_BACK_EVERY, NEAR, SETTLED, Brake
from membudget.brake.children import Children
from membudget.brake.limit import (
    LAUNCH_DATA_LIMIT,
    STEP,
    OwnLimit,
    note_launch_limit,
    restore_launch_limit,
)
from membudget.brake.room import (
    NEVER_TOUCHED_SHARE,
    Libraries,
    Room,
    Stacks,
    margin_of,
    reserve_of,
    soft_limit,
)
from membudget.core import OWN, BrakeHit, Pressure, Reading
from membudget.errors import ConfigError, OverBudgetError
from membudget.governor.telling import Teller
from membudget.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the brake is Linux's")

LIMIT = 400 * MIB
STACK = 8 * MIB
KEPT_FREE = margin_of(LIMIT) + reserve_of(LIMIT)
sizes = st.integers(0, 2000 * MIB)


class FakeLimits:
    """Soft and hard limits of processes by number, 0 being this one."""

    def __init__(self, soft: int | None = None, hard: int | None = None) -> None:
        self.limits: dict[int, tuple[int | None, int | None]] = {0: (soft, hard)}
        self.sets = 0
        self.is_kept = True
        self.at_binds: Callable[[], object] = bool
        self.error: Exception | None = None

    def get(self, pid: int = 0) -> tuple[int | None, int | None]:
        """As set."""
        if pid not in self.limits:
            raise ProcessLookupError(pid)
        return self.limits[pid]

    def set(self, soft: int | None, hard: int | None, pid: int = 0) -> None:
        """Keep them."""
        assert hard is None or (soft is not None and soft <= hard), "above the hard limit"
        if self.error is not None:
            raise self.error
        self.limits[pid] = (soft, hard)
        self.sets += 1

    def binds(self, beyond: int) -> bool:
        """As told."""
        self.at_binds()
        return self.is_kept

    @property
    def soft(self) -> int | None:
        """This process's."""
        return self.limits[0][0]


class OpenRegistry(Registry):
    """A register that shows its members."""

    def __init__(self) -> None:
        super().__init__()
        self.members: list[object] = []

    def add(self, member: object, *, keep: bool = False) -> None:
        """Note it."""
        super().add(member, keep=keep)
        self.members.append(member)

    def remove(self, member: object) -> None:
        """Forget it."""
        super().remove(member)
        self.members = [one for one in self.members if one is not member]


class Machine:
    """A process with a brake whose memory, threads and libraries are set by hand."""

    def __init__(
        self, soft: int | None = None, hard: int | None = None, limits: FakeLimits | None = None
    ) -> None:
        self.clock = FakeClock()
        self.used, self.data, self.anon = 50 * MIB, 60 * MIB, 50 * MIB
        self.limit: int | None = LIMIT
        self.threads, self.modules, self.code = 1, 100, 4 * MIB
        self.swap = self.free = self.given_back = 0
        self.asked: list[int] = []
        self.limits = limits or FakeLimits(soft, hard)
        self.recorder = Recorder()
        self.wakes = 0
        self.registry = OpenRegistry()
        libraries = Libraries(lambda: self.code, lambda: self.modules)
        stacks = Stacks(STACK, lambda: self.threads)
        room = Room(None, stacks, libraries, lambda: self.given_back)
        self.brake = Brake(
            tell=Teller([self.recorder], self.clock),
            registry=self.registry,
            limits=self.limits,
            wake=self._wake,
            room=room,
            ready=lambda: self.free,
            ask=self.asked.append,
            clock=self.clock,
        )

    def reading(self) -> Reading:
        """How it stands."""
        parts = {"data": self.data, "anon": self.anon, OWN: self.anon + self.swap}
        if self.swap:
            parts["swap"] = self.swap
        return Reading(at=self.clock.now(), used=self.used, limit=self.limit, parts=parts)

    def arm(self) -> str:
        """Arm the brake with how it stands."""
        return self.brake.arm(self.reading())

    def tick(self, seconds: float = 1.0) -> int | None:
        """Let time pass and the brake follow; returns the soft limit."""
        self.clock.advance(seconds)
        self.brake.follow(self.reading(), Pressure())
        return self.limits.soft

    def grow(self, size: int) -> None:
        """Map and touch."""
        self.data, self.anon, self.used = self.data + size, self.anon + size, self.used + size

    def room(self) -> int:
        """Bytes between what is mapped and the limit."""
        assert self.limits.soft is not None
        return self.limits.soft - self.data

    def _wake(self) -> None:
        self.wakes += 1


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A process of 50 MiB under 400 MiB; its brake is let go at the end."""
    made = Machine()
    yield made
    made.brake.disarm()


@given(data=sizes, headroom=st.integers(-500 * MIB, 500 * MIB), more=sizes)
def test_the_limit_is_never_below_what_is_mapped_and_rises_with_the_headroom(
    data: int, headroom: int, more: int
) -> None:
    """Memory freed inside the process stays usable however short it is of headroom."""
    assert soft_limit(data, headroom) >= data
    assert soft_limit(data, headroom + more) >= soft_limit(data, headroom)


@given(used=sizes, data=sizes, anon=sizes, later=st.tuples(sizes, sizes, sizes))
def test_what_may_be_mapped_never_exceeds_the_headroom_less_slack(
    used: int, data: int, anon: int, later: tuple[int, int, int]
) -> None:
    """Whatever comes after the baseline, only a quarter of the limit can be left out of slack."""
    room = Room(None, Stacks(STACK, lambda: 1), Libraries(lambda: 0, lambda: 0))
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
    assert "may still be mapped; 10.0 MiB never touched is left out" in line


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
    """It is used and not to be had again."""
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


def test_a_limit_changed_while_running_moves_the_brake(machine: Machine) -> None:
    """A container may be resized; without a limit the old one stands."""
    machine.arm()
    machine.limit = 200 * MIB
    machine.tick()
    held_back = margin_of(200 * MIB) + reserve_of(200 * MIB)
    assert machine.room() == 200 * MIB - machine.used - held_back
    machine.limit = None
    assert machine.tick() is None


def test_the_kernel_is_not_asked_for_a_hair(machine: Machine) -> None:
    """A rise by less than the step is left for later; a fall is set at once."""
    machine.arm()
    before = machine.limits.sets
    machine.used -= STEP // 2
    machine.tick()
    assert machine.limits.sets == before
    machine.used += STEP
    machine.tick()
    assert machine.limits.sets == before + 1


def test_a_limit_that_the_program_sets_itself_is_never_exceeded(machine: Machine) -> None:
    """Its own lower limit holds, and is what the process is judged by."""
    machine.arm()
    ours = machine.brake.own_limit
    assert ours is not None
    assert machine.brake.original(ours) is None
    machine.limits.limits[0] = (100 * MIB, None)
    assert machine.tick() == 100 * MIB
    assert machine.brake.original(100 * MIB) == 100 * MIB
    machine.brake.disarm()
    assert machine.limits.soft == 100 * MIB


def test_a_limit_lowered_for_a_while_and_put_back_is_not_taken_for_the_programs_own(
    machine: Machine,
) -> None:
    """What a library reads and puts back is the brake's: what stood before comes back with it."""
    machine.arm()
    read = machine.limits.limits[0]
    machine.limits.limits[0] = (100 * MIB, None)
    machine.tick()
    machine.limits.limits[0] = read
    assert read[0] is not None
    assert machine.brake.original(read[0]) is None
    machine.grow(20 * MIB)
    machine.tick()
    assert machine.limits.soft == read[0]
    machine.brake.disarm()
    assert machine.limits.soft is None


def test_a_child_forked_amid_that_has_its_old_limit_back_too(machine: Machine) -> None:
    """It knows the parent's limits: one that is put back there is not the program's own either."""
    machine.arm()
    read = machine.limits.limits[0]
    machine.limits.limits[0] = (100 * MIB, None)
    machine.brake.after_fork_in_child()
    assert machine.limits.soft == 100 * MIB
    machine.limits.limits[0] = read
    machine.tick(SETTLED)
    machine.brake.disarm()
    assert machine.limits.soft is None


def test_a_second_brake_is_refused_and_changes_nothing(machine: Machine) -> None:
    """Each would take the other's limit for the program's own; after the first one it may."""
    machine.arm()
    second = Machine(limits=machine.limits)
    hooks, limits = (sys.excepthook, threading.excepthook), dict(machine.limits.limits)
    with pytest.raises(ConfigError, match="armed already in this process") as caught:
        second.arm()
    assert "\n" not in str(caught.value)
    assert machine.limits.limits == limits
    assert (sys.excepthook, threading.excepthook) == hooks
    assert second.registry.members == []
    sys.audit("subprocess.Popen", "program", [], None, None)
    assert (machine.wakes, second.wakes) == (1, 0)
    machine.brake.disarm()
    second.arm()
    second.brake.disarm()
    assert machine.limits.soft is None


def test_a_forked_child_may_end_the_brake_and_arm_another(machine: Machine) -> None:
    """It takes over its parent's, as the one that is armed."""
    machine.arm()
    machine.brake.after_fork_in_child()
    second = Machine()
    with pytest.raises(ConfigError, match="armed already"):
        second.arm()
    machine.brake.disarm()
    second.arm()
    second.brake.disarm()


def test_a_child_forked_while_another_thread_arms_is_unbound(machine: Machine) -> None:
    """That thread is not in the child, and what it had begun is undone there."""
    machine.limits.at_binds = lambda: _fork_and_see(machine)
    machine.arm()


def _fork_and_see(machine: Machine) -> None:
    bound = machine.limits.soft
    machine.brake.after_fork_in_child()
    assert (bound is None, machine.limits.soft) == (False, None)
    _assert_nothing_is_left(machine)


def _assert_nothing_is_left(machine: Machine) -> None:
    """No member of the register, and nobody who listens: another one can be armed."""
    assert machine.registry.members == []
    other = Machine()
    other.arm()
    assert other.registry.members == [other.brake]
    other.brake.disarm()
    assert other.registry.members == []


def test_the_hard_limit_is_kept() -> None:
    """A soft limit above it would be refused; below it nothing changes."""
    machine = Machine(soft=150 * MIB, hard=200 * MIB)
    machine.arm()
    assert machine.limits.limits[0] == (150 * MIB, 200 * MIB)
    machine.brake.disarm()
    assert machine.limits.limits[0] == (150 * MIB, 200 * MIB)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"limit": None}, "no limit to keep"),
        ({"used": 390 * MIB}, "would leave no room"),
        ({"data": 500 * MIB}, "mapped and not touched"),
        ({"is_kept": False}, "does not hold all private memory"),
        ({"soft": 55 * MIB}, "ulimit -d"),
    ],
)
def test_where_it_cannot_help_it_says_so_and_changes_nothing(
    change: dict[str, int | None], says: str
) -> None:
    """One line, and the limit that was there before; no hook stays, and no place is taken."""
    change = dict(change)
    machine = Machine(soft=change.pop("soft", None))
    before, hooks = machine.limits.soft, (sys.excepthook, threading.excepthook)
    for name, value in change.items():
        setattr(machine.limits if name == "is_kept" else machine, name, value)
    with pytest.raises(ConfigError, match=says) as caught:
        machine.arm()
    assert "\n" not in str(caught.value)
    assert machine.limits.soft == before
    assert not machine.brake.state.is_armed
    assert (sys.excepthook, threading.excepthook) == hooks
    _assert_nothing_is_left(machine)


def test_armed_at_a_later_try_it_keeps_what_stands_by_then(machine: Machine) -> None:
    """What a refused one had read is not given back in the end."""
    machine.limits.is_kept = False
    with pytest.raises(ConfigError):
        machine.arm()
    machine.limits.is_kept = True
    machine.limits.limits[0] = (300 * MIB, None)
    machine.arm()
    assert machine.limits.soft == 300 * MIB
    machine.brake.disarm()
    assert machine.limits.soft == 300 * MIB


def test_want_of_memory_while_arming_leaves_nothing_behind(machine: Machine) -> None:
    """The limit that was set by then is gone, too."""

    def fail() -> None:
        raise MemoryError

    machine.limits.at_binds = fail
    with pytest.raises(MemoryError):
        machine.arm()
    assert machine.limits.soft is None
    _assert_nothing_is_left(machine)


def test_a_limit_that_the_kernel_refuses_to_set_leaves_nothing_behind(machine: Machine) -> None:
    """Its error comes through, for whoever armed the brake."""
    machine.limits.error = OSError("not permitted")
    with pytest.raises(OSError, match="not permitted"):
        machine.arm()
    _assert_nothing_is_left(machine)


def test_coming_near_the_limit_is_a_hit_told_once_and_lets_the_reserve_go(
    machine: Machine,
) -> None:
    """Staying there is no further hit; with room again the reserve is held back again."""
    machine.arm()
    machine.grow(machine.room() - NEAR // 2)
    machine.tick(0.02)
    assert machine.brake.state.is_reserve_released
    assert machine.room() >= reserve_of(LIMIT)
    machine.tick()
    machine.tick()
    (told,) = machine.recorder.of(BrakeHit)
    assert told.times == 1
    assert machine.brake.state.hits == 1
    machine.grow(-100 * MIB)
    machine.tick()
    assert machine.room() == LIMIT - machine.used - KEPT_FREE


def test_a_limit_that_comes_near_a_sleeper_is_no_hit(machine: Machine) -> None:
    """A group that shrinks has refused nothing yet; what then grows up to it meets it."""
    machine.arm()
    machine.limit = machine.used + margin_of(0) + 3 * MIB
    for _ in range(3):
        machine.tick()
    assert machine.room() == 3 * MIB
    assert machine.recorder.of(BrakeHit) == []
    assert machine.brake.state.hits == 0
    assert machine.brake.state.is_reserve_released
    machine.grow(2 * MIB)
    machine.tick()
    assert machine.brake.state.hits == 1


def test_a_memory_error_that_ends_a_sleeper_is_a_hit(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is proof enough, whether anything has grown or not."""
    monkeypatch.setattr(sys, "excepthook", lambda *_error: None)
    machine.arm()
    machine.limit = machine.used
    machine.tick()
    machine.tick()
    sys.excepthook(MemoryError, MemoryError(), None)
    machine.tick()
    assert [told.times for told in machine.recorder.of(BrakeHit)] == [1]
    machine.brake.disarm()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_lost_to_a_memory_error_is_a_hit_and_lets_its_hoard_go(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hook set before is called first; then the traceback keeps nothing alive."""
    seen: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", seen.append)
    machine.arm()

    def hoard(error: type[BaseException]) -> None:
        kept = [0] * 10
        raise error(len(kept))

    for error in (MemoryError, OverBudgetError, ValueError):
        thread = threading.Thread(target=hoard, args=(error,))
        thread.start()
        thread.join()
    locals_left = []
    for args in seen:
        trace = args.exc_traceback
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        assert trace is not None
        locals_left.append("kept" in trace.tb_frame.f_locals)
    assert locals_left == [False, True, True]
    assert machine.brake.state.hits == 1
    assert machine.brake.state.is_reserve_released
    assert machine.room() >= LIMIT - machine.used - margin_of(LIMIT)


def test_hooks_of_others_are_left_alone_when_it_ends(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours are taken back only where they still are the ones, and the rest pass on."""
    passed: list[type] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, _error, _trace: passed.append(kind))
    thread_hook = threading.excepthook
    machine.arm()
    ours = sys.excepthook

    def theirs(*error: Any) -> None:
        ours(*error)

    monkeypatch.setattr(sys, "excepthook", theirs)
    machine.brake.disarm()
    assert sys.excepthook is theirs
    assert threading.excepthook is thread_hook
    sys.excepthook(MemoryError, MemoryError(), None)
    assert passed == [MemoryError]
    assert machine.brake.state.hits == 0


def test_a_child_is_made_under_the_old_limit(machine: Machine) -> None:
    """It stands for a few milliseconds, a tick is asked for, and the next one ends it."""
    machine.arm()
    braked = machine.limits.soft
    sys.audit("subprocess.Popen", "program", [], None, None)
    assert machine.limits.soft is None
    assert machine.tick(EASED / 2) is None
    assert machine.wakes == 2
    assert machine.tick(EASED) == braked


def test_disarmed_it_listens_no_more(machine: Machine) -> None:
    """The audit hook stays in the interpreter and does nothing."""
    machine.arm()
    machine.brake.disarm()
    before = machine.limits.sets
    sys.audit("subprocess.Popen", "program", [], None, None)
    machine.tick()
    assert machine.limits.sets == before


def test_a_forked_child_is_free_for_a_while_and_then_braked_for_itself(machine: Machine) -> None:
    """With its own baseline: a child that execs at once is never bound."""
    machine.arm()
    machine.brake.after_fork_in_child()
    assert machine.limits.soft is None
    machine.data += 40 * MIB
    assert machine.tick(SETTLED / 2) is None
    machine.tick(SETTLED)
    assert machine.room() == LIMIT - machine.used - KEPT_FREE


def test_a_forked_child_without_room_stays_free_and_says_so_once(machine: Machine) -> None:
    """It is as it would be without a brake."""
    machine.arm()
    machine.brake.after_fork_in_child()
    machine.used = LIMIT
    with pytest.raises(ConfigError, match="no room"):
        machine.tick(SETTLED)
    assert machine.tick() is None


def test_children_born_with_our_limit_get_the_old_one(tmp_path: Path) -> None:
    """Those of every thread, and what they have started themselves; nobody else's limit moves."""
    limits = FakeLimits()
    ours, theirs = (100 * MIB, None), (90 * MIB, None)
    limits.limits |= {1: ours, 2: ours, 3: ours, 4: theirs, 5: ours}
    tree = {"self/task/7": "1 4 6", "self/task/8": "2", "1/task/1": "3", "4/task/4": "5"}
    for folder, pids in tree.items():
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "children").write_text(pids)
    (tmp_path / "2" / "task").mkdir(parents=True)
    (tmp_path / "3" / "task").mkdir(parents=True)
    Children(limits, str(tmp_path)).look([100 * MIB], 300 * MIB)
    freed = (300 * MIB, None)
    assert limits.limits == {0: (None, None), 1: freed, 2: freed, 3: freed, 4: theirs, 5: ours}


def test_children_are_looked_for_once_a_second_and_each_only_once(tmp_path: Path) -> None:
    """However often the loop ticks; with many threads more rarely still."""
    limits, clock = FakeLimits(), FakeClock()
    folder = tmp_path / "self" / "task" / "7"
    folder.mkdir(parents=True)
    (tmp_path / "1" / "task").mkdir(parents=True)
    children = Children(limits, str(tmp_path), clock.now)
    children.look([5], None)
    (folder / "children").write_text("1")
    limits.limits[1] = (5, None)
    sets = []
    for _ in range(4):
        clock.advance(0.5)
        children.look([5], None)
        sets.append(limits.sets)
    assert sets == [0, 1, 1, 1]


@pytest.mark.parametrize(
    ("noted", "soft", "hard", "then"),
    [
        ("none", 100, None, None),
        ("none", 100, 500, 500),
        ("300", 100, None, 300),
        ("300", 100, 200, 200),
        ("50", 100, None, 100),
        ("300", None, None, None),
        ("soon", 100, None, 100),
        ("", 100, None, 100),
    ],
)
def test_a_launched_python_has_its_launchers_limit_back(
    noted: str, soft: int | None, hard: int | None, then: int | None
) -> None:
    """Only ever raised, and never above the hard one; what is no number is nobody's note."""
    limits = FakeLimits(soft, hard)
    restore_launch_limit({LAUNCH_DATA_LIMIT: noted}, limits)
    assert limits.limits[0] == (then, hard)


@pytest.mark.parametrize("soft", [None, 12345])
def test_the_launch_limit_survives_the_environment(soft: int | None) -> None:
    """What a launcher notes is what its programs get."""
    environ: dict[str, str] = {}
    note_launch_limit(environ, FakeLimits(soft))
    limits = FakeLimits(1)
    restore_launch_limit(environ, limits)
    assert limits.soft == soft


def test_the_limit_of_the_kernel_binds_and_is_given_back() -> None:
    """The real one: a refusal in this very process, and none afterwards."""
    from membudget.brake.limit import KernelDataLimits
    from membudget.probes.process import ProcessProbe

    probe, limits = ProcessProbe(), KernelDataLimits()
    own = OwnLimit(limits)
    own.begin()
    try:
        own.set(probe().parts["data"] + 64 * MIB)
        assert limits.binds(256 * MIB)
        assert not limits.binds(16 * MIB)
    finally:
        own.give_back()
        probe.close()
    assert limits.get()[0] == own.before
    assert not limits.binds(256 * MIB)
