"""The governor's step: what is told, what is fenced, and when it looks again."""

import threading
from typing import Any

import pytest

from fakes import MIB, FakeClock, FakeMemory, FakeReclaimer, Recorder, raising
from membudget.core import (
    Failed,
    Level,
    Marks,
    Pressure,
    PressureChanged,
    Reading,
    Sample,
    Sampled,
    Started,
    Stopped,
)
from membudget.errors import ConfigError, ProbeError
from membudget.governor import Governor
from membudget.governor.watch import FAST, interval_for
from membudget.registry import Registry
from own_threads import own_threads
from waiting import eventually


class Chore:
    name = "count"

    def __init__(self, *, is_due: bool = False, comes_early: bool = False) -> None:
        self.runs = 0
        self.is_due = is_due
        self.comes_early = comes_early

    def due(self, now: float) -> bool:
        return self.is_due

    def run(self, until: float) -> int:
        self.runs += 1
        return 0


class Scene:
    """A governor without a thread over a fake memory of 100 MiB."""

    def __init__(self, *reclaimers: FakeReclaimer, chores: tuple[Chore, ...] = ()) -> None:
        self.clock = FakeClock()
        self.memory = FakeMemory(self.clock, used=50 * MIB)
        self.recorder = Recorder()
        self.registry = Registry()
        self.governor = Governor(
            self.memory,
            Marks(),
            reclaimers,
            [self.recorder],
            chores=chores,
            registry=self.registry,
            own=self.memory.own,
            clock=self.clock,
        )

    def at(self, used: int, steps: int = 2) -> Pressure:
        """Step so often at so many MiB, a second apart."""
        self.memory.used = used * MIB
        for _ in range(steps):
            self.clock.advance(1)
            self.governor.step()
        return self.governor.pressure


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_start_tells_the_limit_and_stop_the_summary(scene: Scene) -> None:
    """A user reads at the start what is kept, and at the end what it came to."""
    scene.governor.start(thread=False)
    scene.at(85)
    scene.at(50, 5)
    scene.governor.stop()
    scene.governor.stop()
    assert len(scene.recorder.of(Started)) == 1
    (stopped,) = scene.recorder.of(Stopped)
    assert stopped.peak == 85 * MIB
    assert set(stopped.levels) == {"NORMAL", "WARNING"}


def test_the_limit_is_told_before_what_is_over_it(scene: Scene) -> None:
    """A process that begins over its limit reads first what that is."""
    scene.memory.used = 120 * MIB
    scene.governor.start(thread=False)
    scene.governor.stop()
    kinds = [type(event) for event in scene.recorder.events]
    assert kinds[:2] == [Started, PressureChanged]
    assert kinds.count(Started) == 1


def test_every_change_of_level_is_told_once(scene: Scene) -> None:
    scene.at(85, 4)
    scene.at(50, 6)
    changes = [event.pressure.level for event in scene.recorder.of(PressureChanged)]
    assert changes == [Level.WARNING, Level.NORMAL]


def test_a_failing_probe_is_told_and_the_loop_goes_on(scene: Scene) -> None:
    """A reading that cannot be had leaves the last judgement standing."""
    scene.at(50)
    scene.memory.error = ProbeError("memory.stat cannot be read")
    scene.at(50)
    scene.memory.error = None
    assert scene.at(85).level is Level.WARNING
    (failure,) = scene.recorder.of(Failed)
    assert failure.where == "probe"


def test_followers_get_each_reading_before_anything_is_asked_for() -> None:
    """The brake lives by them: none without a reading, and one that fails stops nobody."""
    reclaimer = FakeReclaimer(FakeMemory(FakeClock()), 50 * MIB)
    scene = Scene(reclaimer)
    seen: list[tuple[int, Level, int]] = []

    def broken(*_: object) -> None:
        raise RuntimeError("cannot follow")

    def follow(reading: Reading, pressure: Pressure) -> None:
        seen.append((reading.used // MIB, pressure.level, len(reclaimer.asked)))

    scene.governor.followers += [broken, follow]
    scene.at(50, 1)
    scene.memory.error = ProbeError("memory.stat cannot be read")
    scene.at(60, 1)
    scene.memory.error = None
    scene.at(92, 2)
    assert seen == [(50, Level.NORMAL, 0), (92, Level.NORMAL, 0), (92, Level.CRITICAL, 0)]
    assert reclaimer.asked
    assert "follower" in {event.where for event in scene.recorder.of(Failed)}


def test_a_failing_sink_is_told_to_the_others(scene: Scene) -> None:
    """One broken sink neither stops the loop nor hides from the rest."""
    scene.governor.tell.sinks.insert(0, raising(RuntimeError("disk full")))  # type: ignore[arg-type]  # it raises
    scene.governor.start(thread=False)
    assert scene.recorder.of(Started)
    (failure,) = scene.recorder.of(Failed)
    assert "sink" in failure.where
    assert failure.error.__traceback__ is None
    scene.governor.stop()


def test_a_failing_reclaimer_does_not_keep_the_next_from_being_asked(scene: Scene) -> None:
    broken = FakeReclaimer(scene.memory, 50 * MIB, name="broken")
    broken.error = RuntimeError("no connection")
    working = FakeReclaimer(scene.memory, 50 * MIB)
    scene.governor.ladder.add(broken)
    scene.governor.ladder.add(working)
    scene.at(92)
    assert working.asked
    (failure,) = scene.recorder.of(Failed)
    assert failure.where == "reclaimer broken"


def test_the_same_failure_is_told_once_a_minute(scene: Scene) -> None:
    """A part that fails at every tick does not fill the log."""
    scene.memory.error = ProbeError("gone")
    scene.at(50, 50)
    assert len(scene.recorder.of(Failed)) == 1
    scene.at(50, 20)
    told = scene.recorder.of(Failed)
    assert len(told) == 2
    assert told[1].times == 60


def test_a_step_that_meets_a_step_returns(scene: Scene) -> None:
    """A reclaimer that calls the governor does not recurse, and does not wait for ever."""
    levels: list[Level] = []

    class Reentrant(FakeReclaimer):
        def reclaim(self, target: int, until: float) -> int:
            levels.append(scene.governor.step().level)
            return super().reclaim(target, until)

    scene.governor.ladder.add(Reentrant(scene.memory, 50 * MIB))
    scene.at(92)
    assert levels == [Level.CRITICAL]


def test_chores_run_when_due_and_light_ones_come_early_above_low() -> None:
    """Sweeping comes early under pressure, at most once a second; a full collection does not."""
    due, light, heavy = Chore(is_due=True), Chore(comes_early=True), Chore()
    scene = Scene(chores=(due, light, heavy))
    scene.at(50, 3)
    assert (due.runs, light.runs, heavy.runs) == (3, 0, 0)
    scene.at(75, 3)
    assert (light.runs, heavy.runs) == (3, 0)
    scene.governor.maintain()
    assert heavy.runs == 1


def test_chores_run_by_hand_never_meet_a_step(scene: Scene) -> None:
    """They are one thread's work: another thread waits, and a chore that asks for them returns."""
    during: list[bool] = []

    class Busy(Chore):
        def run(self, until: float) -> int:
            other = threading.Thread(target=scene.governor.maintain)
            other.start()
            other.join(0.05)
            during.append(other.is_alive())
            scene.governor.maintain()
            self.others = [*getattr(self, "others", ()), other]
            self.is_due = False
            return super().run(until)

    busy = Busy(is_due=True)
    counted = Chore()
    scene.governor.chores += [busy, counted]
    scene.at(50)
    assert during[0]
    scene.governor.chores.remove(busy)
    for other in busy.others:
        other.join()
    assert counted.runs == 1


def test_samples_come_at_their_interval(scene: Scene) -> None:
    scene.at(50, 601)
    assert len(scene.recorder.of(Sampled)) == 3


def test_a_sample_is_taken_by_the_first_step_after_the_start() -> None:
    """A start does not wait for it; the event carries it."""
    scene, taken = Scene(), []

    def take(reading: Reading) -> Sample:
        taken.append(reading.at)
        return Sample(at=reading.at, wall=0.0, used=reading.used, rss=1)

    governor = Governor(
        scene.memory, Marks(), sinks=[scene.recorder], registry=Registry(), clock=scene.clock
    )
    governor.snapshots.take = take
    governor.start(thread=False)
    assert not scene.recorder.of(Sampled)
    for _ in range(601):
        scene.clock.advance(1)
        governor.step()
    governor.stop()
    told = scene.recorder.of(Sampled)
    assert [event.sample.at for event in told if event.sample] == taken
    assert len(told) == 3


def test_a_sample_that_fails_is_told_and_the_loop_goes_on(scene: Scene) -> None:
    fail: Any = raising(OSError("gone"))
    governor = Governor(
        scene.memory, Marks(), sinks=[scene.recorder], registry=Registry(), clock=scene.clock
    )
    governor.snapshots.take = fail
    governor.step()
    (failed,) = scene.recorder.of(Failed)
    assert failed.where == "sample"
    (sampled,) = scene.recorder.of(Sampled)
    assert sampled.sample is None


def test_only_watching_reclaims_nothing(scene: Scene) -> None:
    """With cleanup turned off the level is told and nobody is asked."""
    cache = FakeReclaimer(scene.memory, 50 * MIB)
    governor = Governor(
        scene.memory, Marks(), [cache], registry=Registry(), is_active=False, clock=scene.clock
    )
    scene.memory.used = 96 * MIB
    governor.step()
    assert governor.pressure.level is Level.EMERGENCY
    assert not cache.asked


def test_a_second_budget_in_a_process_is_refused_with_a_way_out(scene: Scene) -> None:
    """Two governors over the same holders would fight."""
    scene.governor.start(thread=False)
    other = Governor(scene.memory, Marks(), registry=scene.registry, clock=scene.clock)
    with pytest.raises(ConfigError, match="registry="):
        other.start(thread=False)
    scene.governor.stop()
    other.start(thread=False)
    other.stop()


def test_the_meter_stops_caches_between_low_and_warning(scene: Scene) -> None:
    """A full cache is a healthy state: inserting threads evict before WARNING is reached."""
    scene.at(50)
    meter = scene.governor.meter
    assert 70 * MIB < meter.mark < meter.brim < 80 * MIB
    cache = FakeReclaimer(scene.memory, 60 * MIB)
    cache.held_bytes = lambda: cache.holds  # type: ignore[attr-defined]  # makes it a holder
    scene.registry.add(cache)
    scene.memory.used = 71 * MIB
    assert meter.claim(meter.quantum) == 0
    scene.memory.used = 76 * MIB
    assert meter.claim(meter.quantum) >= 4 * MIB


def test_the_thread_starts_steps_and_ends() -> None:
    registry, clock = Registry(), FakeClock()
    memory = FakeMemory(clock, used=MIB)
    stepped = threading.Event()

    def probe() -> object:
        if governor.watch.is_own_thread:
            stepped.set()
        return memory()

    listed = threading.active_count()
    governor = Governor(probe, Marks(), registry=registry, interval=0.01)  # type: ignore[arg-type]  # a reading
    with governor:
        assert stepped.wait(10)
        assert own_threads() == 1
        assert threading.active_count() == listed
    eventually(lambda: own_threads() == 0)


@pytest.mark.parametrize(
    ("fraction", "growth", "expected"),
    [(0.3, 0, 1.0), (0.65, 0, 0.1), (0.85, 0, FAST), (0.3, 100, 0.35), (0.3, 1e9, FAST)],
)
def test_the_interval_shortens_with_use_and_with_haste(
    fraction: float, growth: float, expected: float
) -> None:
    """1 s at rest, 100 ms warm, 10 ms hot; never more than half of the seconds left."""
    pressure = Pressure(used=int(100 * fraction), limit=100, growth=growth)
    assert interval_for(pressure) == pytest.approx(expected)


def test_hours_that_the_samples_foretell_hide_no_growth_of_this_moment() -> None:
    pressure = Pressure(used=50, limit=100, growth=100.0)
    soon = interval_for(pressure)
    assert soon < 1.0
    assert interval_for(pressure.replace(seconds_left=36_000.0)) == soon


def test_a_process_that_computes_is_looked_at_more_often() -> None:
    """One that sleeps does not grow."""
    pressure = Pressure(used=30, limit=100)
    assert interval_for(pressure, is_busy=True) == pytest.approx(0.25)
    assert interval_for(pressure, 5.0, is_busy=True) == pytest.approx(5.0)


def test_one_that_rests_looks_on_and_tells_and_asks_nobody() -> None:
    """Others do; who waits for room is attended to all the same."""
    chore = Chore(is_due=True)
    scene = Scene(reclaimer := FakeReclaimer(FakeMemory(FakeClock()), 20 * MIB), chores=(chore,))
    scene.governor.rests = lambda _pressure: True
    assert scene.at(92, steps=1).level is Level.CRITICAL  # As it stands, without a history.
    assert scene.at(81, steps=1).level is Level.WARNING
    scene.at(92)
    assert (scene.recorder.events, reclaimer.asked, chore.runs) == ([], [], 0)
    scene.governor.admission.wanted = 20 * MIB
    scene.at(92, steps=1)
    assert reclaimer.asked
    scene.at(98)
    scene.recorder.events.clear()
    scene.governor.rests = lambda _pressure: False
    scene.at(98, steps=1)
    (told,) = scene.recorder.of(PressureChanged)
    assert (told.before, told.pressure.level) == (Level.CRITICAL, Level.EMERGENCY)


def test_one_that_rests_looks_seldom(scene: Scene) -> None:
    """Its thread is still there, for whoever asks or rings."""
    looks: list[Pressure] = []
    governor = Governor(
        scene.memory, Marks(), registry=Registry(), own=scene.memory.own, interval=0.01
    )

    def rests(pressure: Pressure) -> bool:
        looks.append(pressure)
        return len(looks) > 5

    governor.rests = rests
    with governor:
        eventually(lambda: len(looks) == 6)
        assert not threading.Event().wait(0.3)
        assert len(looks) == 6
        governor.watch.ring()
        eventually(lambda: len(looks) == 7)
