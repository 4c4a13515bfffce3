"""What a budget foretells: a near limit once, the pressure's time left, settings that would fit."""

import signal
from collections.abc import Iterable, Iterator
from math import sin, tau
from pathlib import Path
from typing import Any

import pytest

from applying_scene import Applying
from fakes import MIB, FakeClock, FakeMemory, Recorder
from membudget.core import (
    Failed,
    LimitForeseen,
    Marks,
    ProposalApplied,
    Sample,
    SettingsReloaded,
    Severity,
)
from membudget.inspection.leak_watch import LeakWatch
from membudget.sampling.form import SampleRing
from membudget.sinks import line_of
from sampling_scene import day, governed, part, sample

HOUR = 3600.0


class Scene:
    """A governor over a memory set by hand, whose samples are judged and looked ahead from."""

    def __init__(self, *, limit: int) -> None:
        self.clock = FakeClock()
        self.recorder = Recorder()
        self.memory = FakeMemory(self.clock, used=190 * MIB, limit=limit)
        self.ring = SampleRing()
        self.governor = governed(self.memory, self.recorder)
        self.watch = LeakWatch(self.governor, self.ring)
        self.governor.chores.append(self.watch)

    def live(self, samples: Iterable[Sample]) -> None:
        """Take samples five minutes apart, and step after each until nothing is due."""
        for one in samples:
            now = one.replace(limit=self.memory.limit)
            self.clock.advance(300.0)
            self.memory.used = now.used
            self.ring.add(now)
            self.watch.after_sample(now)
            while self.watch.due(self.clock.now()):
                self.governor.step()
        self.governor.step()

    @property
    def told(self) -> list[LimitForeseen]:
        return self.recorder.of(LimitForeseen)


def test_a_limit_that_comes_near_is_told_once_and_the_pressure_knows_the_hours() -> None:
    """20 MiB an hour under 550 MiB: 18 h are left at the start, and 12 h come six hours later."""
    scene = Scene(limit=550 * MIB)
    scene.live(day(20, 4))
    assert not scene.told
    left = scene.governor.pressure.seconds_left
    assert left is not None
    assert left / HOUR == pytest.approx(14, abs=1)
    scene.live(day(20, 10, first=48))
    (event,) = scene.told
    assert event.seconds_left is not None
    assert event.seconds_left / HOUR == pytest.approx(11.8, abs=0.4)
    assert event.soonest is not None
    assert event.latest is not None
    assert event.soonest <= event.seconds_left <= event.latest
    assert event.limit == 550 * MIB
    assert event.rate / MIB == pytest.approx(20, rel=0.05)
    assert event.severity is Severity.WARNING
    line = line_of(event)
    assert line is not None
    assert line.startswith("the limit of 550 MiB will be reached in 12 h (")
    left = scene.governor.pressure.seconds_left
    assert left is not None
    assert left / HOUR == pytest.approx(4, abs=0.5)
    assert scene.governor.pressure.cause == "warning"  # 89 % are; the hours raise no level.


def test_a_near_limit_is_told_again_only_after_it_was_taken_back() -> None:
    """A larger limit puts it out of sight, which is told; the smaller one is told anew."""
    scene = Scene(limit=400 * MIB)
    scene.live(day(20, 5))
    assert [one.seconds_left is None for one in scene.told] == [False]
    scene.memory.limit = 4000 * MIB
    scene.live(day(20, 2 / 12, first=60))
    assert len(scene.told) == 1  # Two forecasts are not enough to take it back.
    scene.live(day(20, 1, first=62))
    assert [one.seconds_left is None for one in scene.told] == [False, True]
    assert scene.told[1].severity is Severity.INFO
    assert "no longer near" in str(line_of(scene.told[1]))
    scene.memory.limit = 550 * MIB
    scene.live(day(20, 2, first=74))
    assert [one.seconds_left is None for one in scene.told] == [False, True, False]


def test_a_rise_that_comes_every_day_is_told_on_the_first_at_most() -> None:
    """It comes back before the limit, each time."""
    scene = Scene(limit=400 * MIB)
    scene.live(
        sample(place).replace(used=int((180 + 80 * sin(place / 288 * tau)) * MIB))
        for place in range(2 * 288)
    )
    assert [one.seconds_left is None for one in scene.told] == [False, True]


def test_a_limit_that_is_met_is_told_as_met() -> None:
    """Not as one that will be, in no time."""
    scene = Scene(limit=100 * MIB)
    scene.live(day(20, 4))
    (event,) = scene.told
    assert event.seconds_left == 0
    assert str(line_of(event)).startswith("the limit of 100 MiB is reached: ")


def test_one_odd_forecast_is_not_told() -> None:
    """The next one must agree."""
    scene = Scene(limit=4000 * MIB)
    scene.live(day(20, 4))
    scene.memory.limit = 400 * MIB
    scene.live(day(20, 1 / 12, first=48))
    scene.memory.limit = 4000 * MIB
    scene.live(day(20, 2, first=49))
    assert not scene.told


def test_a_cache_that_fills_to_its_bound_foretells_no_limit() -> None:
    """What it takes in ends where the cache does."""
    scene = Scene(limit=400 * MIB)
    grown = [
        one.replace(
            explained=int(20 * MIB * place / 12),
            parts=(part(bytes=int(20 * MIB * place / 12), most_bytes=150 * MIB),),
        )
        for place, one in enumerate(day(20, 7))
    ]
    scene.live(grown)
    assert not scene.told
    assert scene.governor.foretold is None
    scene.live([one.replace(explained=0, parts=()) for one in day(20, 4, first=84)])
    assert scene.governor.foretold is not None  # What nobody explains is.


def test_a_forked_child_foretells_nothing_of_its_parents() -> None:
    """Neither hours nor proposals."""
    scene = Scene(limit=400 * MIB)
    scene.live(day(20, 5))
    assert scene.governor.foretold is not None
    scene.governor.after_fork_in_child()
    scene.watch.after_fork_in_child()
    scene.governor.step()
    assert vars(scene.governor)["foretold"] is None
    assert scene.watch.proposals == ()
    assert scene.governor.pressure.seconds_left is None
    scene.governor.stop()


@pytest.fixture
def budgets() -> Iterator[list[Applying]]:
    started: list[Applying] = []
    yield started
    for one in started:
        one.budget.stop()


def test_proposals_are_shown_and_change_nothing_unless_told_to(budgets: list[Applying]) -> None:
    scene = Applying()
    budgets.append(scene)
    scene.live()
    proposed = {one.setting: one.told for one in scene.budget.inspection.proposed()}
    assert proposed["thresholds.warning"] == "50%"
    assert proposed["maxlen of book"] == "450"
    assert not scene.applied
    assert scene.budget.governor.marks == Marks()
    assert {one.setting for one in scene.budget.report().proposals} == set(proposed)


def test_where_told_to_what_tightens_is_put_in_force_and_told(budgets: list[Applying]) -> None:
    """Marks and a watched deque's bound, each with its reason; a rate waits for a restart."""
    scene = Applying(leaks={"apply_proposals": True})
    budgets.append(scene)
    scene.live()
    assert scene.applied == {
        "thresholds.warning": ("80%", "50%"),
        "thresholds.low": ("70%", "40%"),
        "components.book.max_items": ("", "450"),
    }
    assert (scene.budget.governor.marks.low, scene.budget.governor.marks.warning) == (0.4, 0.5)
    assert scene.budget.settings["thresholds.warning"] == 0.5
    assert scene.budget.settings.origins["thresholds.warning"] == "its own history"
    (told, *_) = scene.recorder.of(ProposalApplied)
    assert "99 of 100 samples" in told.reason
    line = line_of(told)
    assert line is not None
    assert line.startswith("thresholds.warning is 50% from now on in place of 80%, as proposed:")
    (watched,) = [one for one in scene.budget.governor.registry.chores() if one.name == "book"]
    assert watched.stats().max_items == 450  # type: ignore[attr-defined]
    before = len(scene.recorder.of(ProposalApplied))
    scene.live()
    assert len(scene.recorder.of(ProposalApplied)) == before  # What holds is not told again.


def test_no_limit_is_ever_loosened(budgets: list[Applying]) -> None:
    """A process that needs more is told so; limit and marks stay as they were."""
    scene = Applying(leaks={"apply_proposals": True}, thresholds={"warning": "50%", "low": "40%"})
    budgets.append(scene)
    scene.live(2800)
    proposed = {one.setting: one.told for one in scene.budget.inspection.proposed()}
    assert proposed["thresholds.warning"] == "76%"
    scene.live(3900)
    assert "limit" in {one.setting for one in scene.budget.inspection.proposed()}
    assert set(scene.applied) <= {"components.book.max_items"}
    assert scene.budget.governor.marks.warning == 0.5
    assert scene.budget.settings["limit"] == 4096 * MIB


def test_a_bound_that_the_program_gave_is_its_own(budgets: list[Applying]) -> None:
    """It is proposed, and left alone."""
    scene = Applying(leaks={"apply_proposals": True})
    budgets.append(scene)
    scene.budget.watch("book", scene.book, max_items=50_000, replace=True)
    most = part("book", kind="watched deque", items=300, most_items=50_000, most_bytes=None)
    scene.live(parts=(most,))
    proposed = {one.setting: one.now for one in scene.budget.inspection.proposed()}
    assert proposed["maxlen of book"] == "50000"
    assert "components.book.max_items" not in scene.applied


def test_what_a_reload_reads_holds_again_until_the_next_look(
    budgets: list[Applying], tmp_path: Path
) -> None:
    """The file is the owner's; what it changes back is told, and so is the proposal anew."""
    file = tmp_path / "membudget.yaml"
    file.write_text("memory:\n  leaks: {apply_proposals: true}\n")
    scene = Applying(config=file)
    budgets.append(scene)
    scene.live()
    assert scene.budget.governor.marks.warning == 0.5
    handler: Any = signal.getsignal(signal.SIGHUP)
    handler(signal.SIGHUP, None)
    (told,) = scene.recorder.of(SettingsReloaded)
    assert {"thresholds.low", "thresholds.warning"} < set(told.applied)
    assert scene.budget.governor.marks.warning == 0.8
    scene.live()
    assert scene.budget.governor.marks.warning == 0.5
    keys = [one.key for one in scene.recorder.of(ProposalApplied)]
    assert keys.count("thresholds.warning") == 2


def test_a_mark_that_lies_lower_than_what_is_proposed_stays(budgets: list[Applying]) -> None:
    scene = Applying(leaks={"apply_proposals": True}, thresholds={"low": "1KiB"})
    budgets.append(scene)
    scene.live()
    assert not scene.recorder.of(Failed)
    assert scene.budget.governor.marks.low == 1024
    assert scene.budget.governor.marks.warning == 0.5
