"""Snapshots: when a sample is told."""

from fakes import MIB, FakeClock, FakeMemory, Recorder
from membudget.core import Pressure, Sampled
from membudget.governor.telling import Snapshots, Teller
from membudget.registry import Registry


def test_a_child_may_rest_before_its_first_sample_and_keeps_the_interval_after() -> None:
    """A worker that lives for less than a minute loads and touches nothing for it."""
    clock, recorder = FakeClock(), Recorder()
    memory = FakeMemory(clock, used=MIB)
    snapshots = Snapshots(Teller([recorder], clock), Registry(), 300.0)
    snapshots.begin(60.0)
    began = clock.now()
    for _ in range(800):
        snapshots.follow(memory(), Pressure())
        clock.advance(1.0)
    assert [event.at - began for event in recorder.of(Sampled)] == [60, 360, 660]


def test_a_rest_is_no_longer_than_the_interval() -> None:
    """Who asks for a sample every two seconds has the first after two."""
    clock, recorder = FakeClock(), Recorder()
    memory = FakeMemory(clock, used=MIB)
    snapshots = Snapshots(Teller([recorder], clock), Registry(), 2.0)
    snapshots.begin(60.0)
    for _ in range(4):
        snapshots.follow(memory(), Pressure())
        clock.advance(1.0)
    assert len(recorder.of(Sampled)) == 1
