"""What a hit of the brake lets go, and how it is told."""

import sys
import threading
from typing import Any

import pytest

from brake_scene import KEPT_FREE, LIMIT, Machine
from fakes import MIB
from membudget.brake.brake import NEAR
from membudget.brake.room import margin_of, reserve_of
from membudget.core import BrakeHit
from membudget.errors import OverBudgetError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the brake is Linux's")


def test_coming_near_the_limit_is_a_hit_told_once_and_lets_the_reserve_go(machine: Machine) -> None:
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
