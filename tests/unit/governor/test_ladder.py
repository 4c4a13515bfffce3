"""The ladder: who is asked, for how much, and when it is left alone."""

import pytest

from fakes import MIB, FakeClock, FakeMemory, FakeReclaimer, Recorder, raising
from membudget.core import Level, Meter, Pressure, Reclaimed, Rung
from membudget.governor.floor import Floor
from membudget.governor.ladder import LONGEST_PAUSE, SETTLE, Ladder, Pause
from membudget.governor.telling import Teller
from membudget.registry import Registry


class Scene:
    """A ladder over a fake memory of 100 MiB."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.memory = FakeMemory(self.clock)
        self.recorder = Recorder()
        self.registry = Registry()
        self.meter = meter = Meter(self.memory.own, self.held)
        self.floor = Floor(SETTLE)
        tell = Teller([self.recorder], self.clock)
        self.ladder = Ladder([], self.registry, meter, tell, floor=self.floor, clock=self.clock)

    def held(self) -> int:
        return sum(one.holds for one in self.registry.reclaimers())  # type: ignore[attr-defined]  # fakes

    def reclaimer(self, holds: int, **options: object) -> FakeReclaimer:
        made = FakeReclaimer(self.memory, holds * MIB, **options)  # type: ignore[arg-type]  # passed on
        self.ladder.add(made)
        return made

    def relieve(self, used: int, level: Level, left: float | None = None, wanted: int = 0) -> int:
        """A step at so many MiB; the MiB claimed."""
        self.memory.used = used * MIB
        excess = max(0, used - 70) * MIB
        pressure = Pressure(
            level=level, used=used * MIB, limit=100 * MIB, excess=excess, seconds_left=left
        )
        return self.ladder.relieve(pressure, wanted * MIB) // MIB


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_warning_asks_only_the_gentle_rung(scene: Scene) -> None:
    gentle = scene.reclaimer(1, rung=Rung.GENTLE)
    moderate = scene.reclaimer(50)
    scene.relieve(85, Level.WARNING)
    assert len(gentle.asked) == 1
    assert not moderate.asked


def test_a_rung_stops_when_the_excess_is_met(scene: Scene) -> None:
    first, second, third = scene.reclaimer(15), scene.reclaimer(50), scene.reclaimer(50)
    assert scene.relieve(92, Level.CRITICAL) == 22
    assert first.asked == [22 * MIB]
    assert second.asked == [7 * MIB]
    assert not third.asked


def test_order_on_the_list_is_the_order_of_asking(scene: Scene) -> None:
    scene.reclaimer(1, name="b")
    scene.reclaimer(1, name="a")
    scene.relieve(92, Level.CRITICAL)
    told = [event.by for event in scene.recorder.events if isinstance(event, Reclaimed)]
    assert told == ["b", "a"]


def test_a_claim_the_meter_does_not_show_is_not_asked_for_again(scene: Scene) -> None:
    """One sticky figure does not empty a cache: within its time a claim counts as headroom."""
    sticky = scene.reclaimer(80, shows=0.0)
    assert scene.relieve(92, Level.CRITICAL) == 22
    for _ in range(10):
        scene.clock.advance(0.1)
        assert scene.relieve(92, Level.CRITICAL) == 0
    assert sticky.holds == 58 * MIB
    assert scene.ladder.credit == 22 * MIB


def test_who_gives_the_little_that_is_asked_is_asked_again(scene: Scene) -> None:
    """40 KiB of 40 KiB is all there was to do, not a round in vain."""
    cache = scene.reclaimer(50)
    little = 40 << 10
    for times in range(1, 4):
        used = 92 * MIB + little * times
        scene.memory.used = used
        scene.ladder.relieve(
            Pressure(level=Level.CRITICAL, used=used, limit=100 * MIB, excess=little * times)
        )
        scene.clock.advance(0.1)
        assert len(cache.asked) == times


def test_growth_beyond_the_claim_is_asked_for(scene: Scene) -> None:
    """Credit covers what was claimed and no more."""
    scene.reclaimer(80, shows=0.0)
    scene.relieve(92, Level.CRITICAL)
    scene.clock.advance(0.1)
    assert scene.relieve(94, Level.CRITICAL) == 2


def test_an_excess_that_stands_after_settling_brings_the_aggressive_rung(scene: Scene) -> None:
    """The meter has the last word once it had its time."""
    scene.reclaimer(80, shows=0.0)
    aggressive = scene.reclaimer(5, rung=Rung.AGGRESSIVE)
    scene.relieve(92, Level.CRITICAL)
    scene.clock.advance(4.9)
    scene.relieve(92, Level.CRITICAL)
    assert not aggressive.asked
    scene.clock.advance(0.2)
    scene.relieve(92, Level.CRITICAL)
    assert aggressive.asked == [22 * MIB]


def test_with_little_time_left_settling_is_shorter(scene: Scene) -> None:
    """Half of the seconds left is all the patience there is."""
    scene.reclaimer(80, shows=0.0)
    aggressive = scene.reclaimer(5, rung=Rung.AGGRESSIVE)
    scene.relieve(92, Level.CRITICAL, left=1.0)
    scene.clock.advance(0.6)
    scene.relieve(92, Level.CRITICAL, left=1.0)
    assert aggressive.asked


def test_emergency_asks_every_rung_until_the_excess_is_met(scene: Scene) -> None:
    """All are asked, gentle first, and the last is spared when it is enough."""
    gentle = scene.reclaimer(3, rung=Rung.GENTLE)
    moderate = scene.reclaimer(3)
    last = scene.reclaimer(50, rung=Rung.EMERGENCY)
    assert scene.relieve(96, Level.EMERGENCY) == 26
    assert [bool(one.asked) for one in (gentle, moderate, last)] == [True, True, True]
    assert last.asked == [20 * MIB]


def test_twice_without_effect_is_left_alone_and_the_next_is_asked(scene: Scene) -> None:
    """What frees nothing backs off, doubling; others are asked all the same."""
    useless = scene.reclaimer(50, name="useless")
    useless.error = RuntimeError("nothing to give")
    other = scene.reclaimer(90)
    for used in (91, 92, 93, 94):
        scene.clock.advance(0.2)
        scene.relieve(used, Level.CRITICAL)
    assert len(useless.asked) == 2
    assert len(other.asked) == 4
    scene.clock.advance(2)
    scene.relieve(95, Level.CRITICAL)
    assert len(useless.asked) == 3


def test_a_reclaimer_with_nothing_is_not_asked(scene: Scene) -> None:
    """Count, then free: 0 means do not ask."""
    empty = scene.reclaimer(0)
    scene.relieve(92, Level.CRITICAL)
    assert not empty.asked


def test_work_goes_in_slices_with_a_pause_for_others(scene: Scene) -> None:
    """A large clear is many short ones, and the clock sees the pauses."""
    slow = scene.reclaimer(30, at_once=MIB)
    scene.relieve(92, Level.CRITICAL)
    assert len(slow.asked) == 22


class Planner(FakeReclaimer):
    """Looks at what it holds for some calls before it lets go of any, a slice of time each."""

    looks = 4

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene.memory, 50 * MIB)
        self._clock = scene.clock

    @property
    def is_under_way(self) -> bool:
        return 0 < len(self.asked) < self.looks

    def reclaim(self, target: int, until: float) -> int:
        if len(self.asked) + 1 < self.looks:
            self.asked.append(target)
            self._clock.time = until
            return 0
        return super().reclaim(target, until)


def test_what_looks_before_it_lets_go_is_asked_on(scene: Scene) -> None:
    """Nothing yet is not nothing: only one that has nothing under way is done."""
    planner = Planner(scene)
    scene.ladder.add(planner)
    assert scene.relieve(92, Level.CRITICAL) == 22
    assert len(planner.asked) == Planner.looks


def test_one_that_looks_for_longer_than_a_step_is_not_left_alone(scene: Scene) -> None:
    """It goes on at the next step, and the one after that."""
    planner = Planner(scene)
    planner.looks = 1 << 30
    scene.ladder.add(planner)
    for step in range(1, 5):
        before = len(planner.asked)
        scene.relieve(92, Level.CRITICAL)
        assert len(planner.asked) > before, step


class GivingBack(Planner):
    """What gives memory of holders back to the kernel, and has to look where it lies before."""

    gives_back = True
    looks = 200

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.rung = Rung.AGGRESSIVE


@pytest.mark.parametrize("level", [Level.CRITICAL, Level.EMERGENCY])
def test_what_gives_back_goes_on_before_others_let_go_here_and_there(
    scene: Scene, level: Level
) -> None:
    """What they let go of did not show; in an EMERGENCY it may look for a second."""
    sticky = scene.reclaimer(90, shows=0.0)
    giving = GivingBack(scene)
    scene.ladder.add(giving)
    scene.relieve(92, Level.CRITICAL)
    scene.clock.advance(SETTLE + 1)
    held = sticky.holds
    for _ in range(3):
        scene.relieve(92, level)
        assert scene.ladder.is_giving_back
    assert sticky.holds == held
    for _ in range(30):
        scene.clock.advance(0.1)
        scene.relieve(92, level)
    assert not scene.ladder.is_giving_back
    assert (giving.holds < 50 * MIB) is (level is Level.CRITICAL)
    assert (sticky.holds < held) is (level is Level.EMERGENCY)


class Stubborn(FakeReclaimer):
    """Lets go of nothing; whether it is under way is a method of its own."""

    def is_under_way(self) -> bool:
        return False

    def reclaim(self, target: int, until: float) -> int:
        self.asked.append(target)
        return 0


class Broken(Stubborn):
    @property
    def is_under_way(self) -> bool:  # type: ignore[override]  # as the protocol has it
        raise RuntimeError("nobody knows")


def test_one_that_cannot_say_whether_it_is_under_way_is_told_and_rests(scene: Scene) -> None:
    broken = Broken(scene.memory, 50 * MIB)
    scene.ladder.add(broken)
    kept = scene.reclaimer(50)
    assert scene.relieve(92, Level.CRITICAL) == 22
    assert len(broken.asked) == 1
    assert kept.asked


def test_a_method_of_that_name_is_no_work_under_way(scene: Scene) -> None:
    """It is true, and says nothing: one that let go of nothing has nothing."""
    stubborn = Stubborn(scene.memory, 50 * MIB)
    scene.ladder.add(stubborn)
    scene.relieve(92, Level.CRITICAL)
    assert len(stubborn.asked) == 1


def test_room_that_somebody_waits_for_is_made_at_any_level(scene: Scene) -> None:
    """A wish asks caches even at NORMAL."""
    cache = scene.reclaimer(50)
    assert scene.relieve(60, Level.NORMAL, wanted=10) == 10
    assert cache.holds == 40 * MIB


def test_caches_are_asked_least_worthy_first(scene: Scene) -> None:
    kept, given = FakeReclaimer(scene.memory, 50 * MIB), FakeReclaimer(scene.memory, 50 * MIB)
    kept.hits_per_byte = lambda: 2.0  # type: ignore[attr-defined]  # optional by contract
    given.hits_per_byte = lambda: 1.0  # type: ignore[attr-defined]
    scene.registry.add(kept)
    scene.registry.add(given)
    scene.relieve(92, Level.CRITICAL)
    assert not kept.asked
    assert given.asked


def test_a_cache_that_cannot_tell_its_worth_keeps_nobody_from_being_asked(scene: Scene) -> None:
    broken, given = FakeReclaimer(scene.memory, 50 * MIB), FakeReclaimer(scene.memory, 50 * MIB)
    broken.hits_per_byte = raising(RuntimeError("no figures"))  # type: ignore[attr-defined]
    given.hits_per_byte = lambda: 1.0  # type: ignore[attr-defined]
    scene.registry.add(broken)
    scene.registry.add(given)
    scene.relieve(92, Level.CRITICAL)
    assert given.asked
    assert not broken.asked


def above_the_brim(scene: Scene, used: int) -> None:
    """A reading of so many MiB, with the mark at 72 and the brim at 75."""
    scene.memory.used = used * MIB
    scene.meter.rebase(
        used * MIB, 100 * MIB, mark=72 * MIB, brim=75 * MIB, ceiling=95 * MIB, own=used * MIB
    )


def test_above_the_brim_free_pages_are_given_back_before_caches_are_drained(scene: Scene) -> None:
    """At NORMAL, for as much as lies above it: caches keep what they hold."""
    trim = scene.reclaimer(50, rung=Rung.GENTLE)
    cache = FakeReclaimer(scene.memory, 50 * MIB)
    scene.registry.add(cache)
    above_the_brim(scene, 74)
    assert scene.relieve(74, Level.NORMAL) == 0
    above_the_brim(scene, 78)
    assert scene.relieve(78, Level.NORMAL) == 3
    assert trim.asked == [3 * MIB]
    assert not cache.asked


def test_what_inserting_threads_have_not_paid_is_collected_from_the_least_worthy() -> None:
    """At NORMAL as well: one cache does not pay alone for what all of them owe."""
    scene = Scene()
    kept, given = FakeReclaimer(scene.memory, 50 * MIB), FakeReclaimer(scene.memory, 50 * MIB)
    kept.hits_per_byte = lambda: 2.0  # type: ignore[attr-defined]  # optional by contract
    given.hits_per_byte = lambda: 1.0  # type: ignore[attr-defined]
    scene.registry.add(kept)
    scene.registry.add(given)
    above_the_brim(scene, 70)
    scene.memory.used = 74 * MIB
    assert scene.meter.claim(MIB) > 0
    owed = scene.meter.owed()
    assert owed > 4 * MIB
    reclaimed = scene.ladder.reclaimed
    assert scene.relieve(74, Level.NORMAL) == owed // MIB
    assert given.asked == [owed]
    assert not kept.asked
    assert scene.ladder.reclaimed == reclaimed + owed


def test_a_forgotten_cache_is_not_kept_alive_by_the_ladder(scene: Scene) -> None:
    """The register is weak and so is the ladder's memory of it."""
    cache = FakeReclaimer(scene.memory, 50 * MIB)
    scene.registry.add(cache)
    scene.relieve(92, Level.CRITICAL)
    del cache
    assert scene.registry.reclaimers() == []


def test_a_pause_doubles_up_to_half_a_minute_and_ends_with_success() -> None:
    """1, 2, 4 … 30 seconds after two vain rounds; one effective round starts anew."""
    pause, lengths = Pause(), []
    pause.note(0.0, effective=False)
    assert pause.ends == float("-inf")
    for _ in range(7):
        pause.note(0.0, effective=False)
        lengths.append(pause.ends)
    assert lengths == [1, 2, 4, 8, 16, LONGEST_PAUSE, LONGEST_PAUSE]
    pause.note(0.0, effective=True)
    assert pause.ends == float("-inf")
