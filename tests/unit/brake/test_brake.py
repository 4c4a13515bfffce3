"""The brake: armed, told of another limit, ended, and what it leaves behind."""

import sys
import threading

import pytest

from brake_scene import Machine
from fakes import MIB
from membudget.brake import STEP, OwnLimit
from membudget.brake.brake import SETTLED
from membudget.brake.room import margin_of, reserve_of
from membudget.errors import ConfigError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the brake is Linux's")


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
    def fail() -> None:
        raise MemoryError

    machine.limits.at_binds = fail
    with pytest.raises(MemoryError):
        machine.arm()
    assert machine.limits.soft is None
    _assert_nothing_is_left(machine)


def test_a_limit_that_the_kernel_refuses_to_set_leaves_nothing_behind(machine: Machine) -> None:
    machine.limits.error = OSError("not permitted")
    with pytest.raises(OSError, match="not permitted"):
        machine.arm()
    _assert_nothing_is_left(machine)


def test_disarmed_it_listens_no_more(machine: Machine) -> None:
    """The audit hook stays in the interpreter and does nothing."""
    machine.arm()
    machine.brake.disarm()
    before = machine.limits.sets
    sys.audit("subprocess.Popen", "program", [], None, None)
    machine.tick()
    assert machine.limits.sets == before


def test_the_limit_of_the_kernel_binds_and_is_given_back() -> None:
    """The real one: a refusal in this very process, and none afterwards."""
    from membudget.brake import DataLimits
    from membudget.probes.process import ProcessProbe

    probe, limits = ProcessProbe(), DataLimits()
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
