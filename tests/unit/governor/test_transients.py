"""What comes and goes: learned at once, forgotten slowly, and no cover for what stays."""

import pytest

from fakes import MIB, FakeClock, FakeMemory, Recorder
from membudget.core import Level, Marks
from membudget.governor import Governor
from membudget.governor.transients import WINDOW, Transients
from membudget.registry import Registry

LIMIT = 400
HOUR = 3600.0


class Life:
    """Readings of a process and its holders, in MiB, a tenth of a second apart."""

    def __init__(self) -> None:
        self.transients = Transients()
        self.at = 0.0
        self.read(100, 60)

    def read(self, own: float, held: float, seconds: float = 0.1, *, at_once: int = 0) -> None:
        for _ in range(round(seconds * 10)):
            self.at += 0.1
            sizes = int(own * MIB), int(held * MIB)
            self.transients.follow(self.at, *sizes, LIMIT * MIB, at_once * MIB)

    @property
    def highest(self) -> int:
        return self.transients.state().highest // MIB


@pytest.fixture
def life() -> Life:
    return Life()


def test_what_rose_and_fell_is_learned_at_once_with_a_margin(life: Life) -> None:
    """It is a transient once half of it is gone, and not while it stands."""
    life.read(220, 60)
    assert life.transients.kept == 0
    life.read(150, 60)
    assert life.highest == 120
    assert life.transients.kept == 130 * MIB
    assert life.transients.state().an_hour == 1


def test_what_is_there_of_it_is_told_and_goes_with_it(life: Life) -> None:
    """At most what room is kept for."""
    for own, passing in ((220, 0), (100, 0), (150, 50), (300, 130), (100, 0)):
        life.read(own, 60)
        assert life.transients.passing == passing * MIB


def test_what_holders_take_in_and_let_go_is_none(life: Life) -> None:
    """Nor are the holes that they leave, whenever the memory is given back."""
    for own, held in ((300, 260), (302, 160), (302, 160), (200, 160), (200, 100), (230, 190)):
        life.read(own, held, 3.0)
    assert life.highest == 0


def test_a_large_value_that_was_there_before_holders_took_it_in_is_none(life: Life) -> None:
    """Nor is what they let go of for it, nor one that comes and goes between two readings."""
    life.read(130, 60)
    life.read(160, 70, at_once=60)
    life.read(110, 70)
    life.transients.peaked(170 * MIB)
    life.read(110, 70, at_once=60)
    life.transients.peaked(170 * MIB)
    assert life.highest == 0
    life.read(170, 70)
    life.read(110, 70)
    assert life.highest == 60


def test_a_load_beside_holes_is_measured_without_them(life: Life) -> None:
    life.read(300, 260)
    life.read(300, 180)
    life.read(350, 180)
    life.read(300, 180)
    assert life.highest == 50


def test_where_holders_gave_back_while_it_rose_the_fall_shows_it_all(life: Life) -> None:
    """A load of 150 beside which holders let go of 100, and the use of both is seen alone."""
    life.read(300, 260)
    life.read(350, 210)
    life.read(350, 160)
    life.read(200, 160)
    assert life.highest == 150


def test_what_stays_is_none_nor_when_it_goes_at_last(life: Life) -> None:
    life.read(200, 60, WINDOW + 1)
    assert life.transients.passing == 0
    assert life.transients.resting == 140 * MIB
    life.read(100, 60, 1)
    assert life.highest == 0


def test_a_leak_is_none(life: Life) -> None:
    for step in range(600):
        life.read(100 + step / 10, 60, 1.0)
    assert life.highest == 0


def test_little_is_none(life: Life) -> None:
    life.read(107, 60)
    life.read(100, 60)
    assert life.transients.kept == 0


def test_the_highest_counts_in_full_for_an_hour_and_fades_until_six(life: Life) -> None:
    """Lower ones in between do not replace it, and count where it has faded."""
    life.read(220, 60)
    life.read(100, 60)
    for hours, highest in ((0.9, 120), (3.5, 60), (5.9, 40), (11.1, 0)):
        life.at = hours * HOUR
        life.read(100, 60, 0.2)
        assert life.highest == pytest.approx(highest, abs=1)
        if hours == 3.5:
            life.at = 5.0 * HOUR
            life.read(140, 60)
            life.read(100, 60)


def test_a_peak_that_no_reading_saw_is_learned_from_the_kernels_mark(life: Life) -> None:
    """What holders held at the most since the last look is taken off."""
    life.transients.peaked(0)
    life.read(180, 140)
    life.transients.peaked(260 * MIB)
    life.read(180, 140)
    assert life.highest == 80


def test_samples_of_an_earlier_life_bring_it_back(life: Life) -> None:
    """With the age that they have by now; each sample tells what came since the one before."""
    life.read(220, 60)
    life.read(100, 60)
    assert [life.transients.latest(), life.transients.latest()] == [120 * MIB, 0]
    after = Life()
    for hours in (0.5, 3.5, 5.9):
        after.transients.recall(after.at - hours * HOUR, 100 * MIB)
    after.read(100, 60)
    assert after.highest == 100
    after.at += 2.5 * HOUR
    after.read(100, 60)
    assert after.highest == pytest.approx(60, abs=1)


class Scene:
    """A governor without a thread over 100 MiB of its own, in a limit of 400."""

    def __init__(self, *, is_active: bool = True) -> None:
        self.clock = FakeClock()
        self.memory = FakeMemory(self.clock, 100 * MIB, LIMIT * MIB)
        self.recorder = Recorder()
        self.governor = Governor(
            self.memory,
            Marks(),
            sinks=[self.recorder],
            registry=Registry(),
            own=self.memory.own,
            is_active=is_active,
            clock=self.clock,
        )

    def use(self, used: float, seconds: float = 0.5) -> Level:
        """Step 50 times a second; the highest level meanwhile."""
        highest = Level.NORMAL
        for _ in range(round(seconds * 50)):
            self.clock.advance(0.02)
            self.memory.used = int(used * MIB)
            self.governor.step()
            highest = max(highest, self.governor.pressure.level)
        return highest


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    for used in (100, 220, 100):
        scene.use(used)
    return scene


def test_caches_stop_where_what_was_learned_still_fits(scene: Scene) -> None:
    """Below the emergency mark, less a little; lower than they would otherwise."""
    assert scene.governor.meter.mark == (380 - 8 - 130) * MIB
    assert scene.governor.transients.state().highest == 120 * MIB


def test_one_that_is_higher_than_the_room_leaves_caches_a_little() -> None:
    scene = Scene()
    for used in (100, 390, 100):
        scene.use(used)
    assert scene.governor.meter.mark == (100 + LIMIT / 64) * MIB


def test_a_load_that_fits_raises_no_level_and_use_is_told_as_it_is(scene: Scene) -> None:
    scene.use(240, WINDOW)
    assert scene.use(360) is Level.NORMAL
    assert scene.governor.pressure.used == 360 * MIB
    assert scene.use(240) is Level.NORMAL


def test_the_first_of_its_kind_raises_it_and_so_does_one_up_to_the_emergency_mark(
    scene: Scene,
) -> None:
    first = Scene()
    first.use(240, WINDOW)
    assert first.use(365) >= Level.CRITICAL
    scene.use(260, WINDOW)
    assert scene.use(380) is Level.EMERGENCY


def test_where_nobody_keeps_room_no_load_fits() -> None:
    scene = Scene(is_active=False)
    for used in (100, 220, 100):
        scene.use(used)
    scene.use(240, WINDOW)
    assert scene.use(360) >= Level.WARNING


@pytest.mark.parametrize("rate", [1, 10])
def test_a_leak_after_loads_is_judged_the_window_later_at_most(scene: Scene, rate: int) -> None:
    """And before the emergency mark is passed, however fast it is."""
    scene.use(240, WINDOW)
    used = 240.0
    while used < 400 and scene.use(used, 0.1) is Level.NORMAL:
        used += rate / 10
    assert used <= min(320 + WINDOW * rate + 1, 381)
