"""The last resort: three attempts, what they end in, and that it never latches."""

import pytest

from fakes import MIB, FakeClock, FakeMemory, Recorder
from membudget.core import Level, Marks, ProtectionTried
from membudget.errors import OverBudgetError
from membudget.governor import Governor
from membudget.governor.floor import Protection
from membudget.registry import Registry


class Scene:
    """A governor with protection over a fake memory that can be stuck at any use."""

    def __init__(self, *, exits: bool = False) -> None:
        self.clock = FakeClock()
        self.memory = FakeMemory(self.clock, used=50 * MIB)
        self.recorder = Recorder()
        self.done: list[str] = []

        def protection(owner: Governor) -> Protection:
            return Protection(
                lambda: self.done.append("attempt"),
                owner.tell,
                most=3,
                cooldown=60.0,
                restart_after=300.0,
                dump=lambda: self.done.append("dump"),
                leave=(lambda: self.done.append("exit")) if exits else None,
            )

        self.governor = Governor(
            self.memory,
            Marks(),
            sinks=[self.recorder],
            registry=Registry(),
            own=self.memory.own,
            clock=self.clock,
        )
        self.governor.protection = protection(self.governor)

    def stay(self, used: int, seconds: float) -> None:
        """Stay at so many MiB, stepping twice a second."""
        self.memory.used = used * MIB
        for _ in range(int(seconds * 2)):
            self.governor.step()
            self.clock.advance(0.5)

    def outcomes(self) -> list[str]:
        return [event.outcome for event in self.recorder.of(ProtectionTried)]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_three_attempts_a_minute_apart_then_admission_is_shut(scene: Scene) -> None:
    """Without the exit opted in, the process stays alive and lets nothing in."""
    scene.stay(99, 58)
    assert scene.done == ["attempt"]
    scene.stay(99, 140)
    assert scene.done == ["attempt", "attempt", "attempt", "dump"]
    assert scene.outcomes() == ["not enough", "not enough", "admission shut"]
    assert scene.governor.admission.is_shut


def test_with_the_exit_opted_in_the_process_leaves_after_the_third() -> None:
    scene = Scene(exits=True)
    scene.stay(99, 300)
    assert scene.done == ["attempt", "attempt", "attempt", "dump", "exit"]


def test_an_attempt_that_helps_is_told_as_recovered(scene: Scene) -> None:
    """Below the shutdown mark the attempt has worked."""
    scene.stay(99, 2)
    scene.stay(60, 5)
    assert scene.outcomes() == ["recovered"]
    assert scene.governor.pressure.level is Level.NORMAL


def test_admission_opens_again_at_normal_even_between_the_marks(scene: Scene) -> None:
    """No latch: idle at 75 % for a minute opens the door."""
    scene.stay(99, 200)
    scene.stay(75, 90)
    assert not scene.governor.admission.is_shut
    try:
        with scene.governor.admit(MIB):
            pass
    except OverBudgetError:
        raise AssertionError("the door stayed shut") from None


def test_attempts_count_anew_after_five_minutes_at_normal(scene: Scene) -> None:
    """A later emergency has its three attempts again, a quick one does not."""
    scene.stay(99, 200)
    scene.stay(50, 100)
    scene.stay(99, 10)
    assert scene.done.count("attempt") == 3
    scene.stay(50, 310)
    scene.stay(99, 10)
    assert scene.done.count("attempt") == 4
