"""Admission: what fits is granted, what does not is refused, and nothing is lost."""

from __future__ import annotations

import asyncio

import pytest

from fakes import MIB, FakeClock, FakeMemory, FakeReclaimer, Recorder
from membudget.core import AdmissionRefused, Marks
from membudget.errors import LeaseError, OverBudgetError
from membudget.governor.loop import Governor
from membudget.registry import Registry


class Scene:
    """A governor without a thread over a fake memory of 100 MiB, at 50 MiB."""

    def __init__(self, *reclaimable: int) -> None:
        self.clock = FakeClock()
        self.memory = FakeMemory(self.clock, used=50 * MIB)
        self.recorder = Recorder()
        self.governor = Governor(
            self.memory,
            Marks(),
            [FakeReclaimer(self.memory, size * MIB) for size in reclaimable],
            [self.recorder],
            registry=Registry(),
            own=self.memory.own,
            clock=self.clock,
        )
        self.governor.step()


def test_what_fits_below_critical_is_granted_and_given_back() -> None:
    """40 MiB fit between 50 and 90; while they are held, no more does."""
    scene = Scene()
    with scene.governor.admit(40 * MIB):
        assert scene.governor.admission.reserved == 40 * MIB
        with pytest.raises(OverBudgetError), scene.governor.admit(MIB):
            pass
    assert scene.governor.admission.reserved == 0


def test_a_refusal_says_how_much_room_there_is_and_is_told() -> None:
    """The error names the size, the room and what to do; sinks hear of it."""
    scene = Scene()
    with pytest.raises(OverBudgetError, match=r"no room for 60\.0 MiB: 40\.0 MiB of room"):
        scene.governor.admit(60 * MIB).acquire()
    assert [event.asked for event in scene.recorder.of(AdmissionRefused)] == [60 * MIB]


def test_a_load_that_came_in_is_not_counted_twice() -> None:
    """As the process grows by what was reserved, the reservation gives way to the real use."""
    scene = Scene()
    with scene.governor.admit(30 * MIB):
        assert scene.governor.admission.room() == 10 * MIB
        scene.memory.used += 30 * MIB
        assert scene.governor.admission.room() == 10 * MIB


def test_with_patience_room_is_made() -> None:
    """A waiting request has caches shrunk; without a thread the caller's own step does it."""
    scene = Scene(40)
    with pytest.raises(OverBudgetError):
        scene.governor.admit(60 * MIB).acquire()
    with scene.governor.admit(60 * MIB, timeout=1.0):
        assert scene.memory.used == 30 * MIB


def test_an_error_inside_gives_the_reservation_back() -> None:
    """A load that fails leaves nothing reserved."""
    scene = Scene()
    with pytest.raises(ValueError, match="broken"), scene.governor.admit(10 * MIB):
        raise ValueError("broken")
    assert scene.governor.admission.reserved == 0


def test_a_lease_is_held_once() -> None:
    """Entering twice or releasing twice is an error that says so."""
    lease = Scene().governor.admit(MIB)
    with pytest.raises(LeaseError):
        lease.release()
    lease.acquire()
    with pytest.raises(LeaseError):
        lease.acquire()
    lease.release()


def test_coroutines_reserve_with_async_with() -> None:
    """The same door without blocking the event loop."""
    scene = Scene(40)

    async def load() -> int:
        async with scene.governor.admit(60 * MIB, timeout=1.0):
            return scene.governor.admission.reserved

    assert asyncio.run(load()) == 60 * MIB
    assert scene.governor.admission.reserved == 0


def test_without_a_limit_everything_is_admitted() -> None:
    """No limit, no refusal."""
    scene = Scene()
    scene.memory.limit = None
    scene.governor.step()
    with scene.governor.admit(1 << 40):
        pass


def test_shut_admission_refuses_even_what_fits() -> None:
    """After the last protection attempt nothing is let in until the level is NORMAL."""
    scene = Scene()
    scene.governor.admission.is_shut = True
    with pytest.raises(OverBudgetError, match="admission is shut"):
        scene.governor.admit(1).acquire()
