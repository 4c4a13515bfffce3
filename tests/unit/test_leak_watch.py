"""The leak chore: when it judges, what it tells, and what it does before it accuses."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest

from commands import lines_of
from fakes import MIB, FakeClock, FakeMemory, Recorder
from membudget.core import LeakSuspected, Sample, Severity
from membudget.core.nouns import LeakState
from membudget.core.wire import plain
from membudget.inspection.leak_watch import LeakWatch, fewer
from membudget.leaks import Confidence, Kind
from membudget.leaks.culprit import Culprit
from membudget.sampling.form import SampleRing
from sampling_scene import BEGAN, STEP, day, governed, sample


class TickingClock(FakeClock):
    """A clock on which every look takes a millisecond, so that slices end."""

    def now(self) -> float:
        self.time += 0.001
        return self.time


class Scene:
    """A leak chore over samples made by hand."""

    def __init__(self, *, collect: Any = None, **leaks: Any) -> None:
        self.clock = TickingClock()
        self.recorder = Recorder()
        self.ring = SampleRing()
        self.slices: list[int] = []
        governor = governed(FakeMemory(self.clock), self.recorder, **leaks)
        governor.collector = collect
        self.imports = governor.imports
        self.watch = LeakWatch(governor, self.ring)

    def live(self, samples: Iterable[Sample]) -> None:
        """Take samples, and do the chore after each until nothing is due."""
        for one in samples:
            self.ring.add(one)
            self.watch.after_sample(one)
            slices = 0
            while self.watch.due(self.clock.time) and slices < 1000:
                self.watch.run(self.clock.time + 0.005)
                slices += 1
            self.slices.append(slices)

    @property
    def told(self) -> list[LeakSuspected]:
        return self.recorder.of(LeakSuspected)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_nothing_is_judged_before_there_is_enough_to_judge(scene: Scene) -> None:
    """Two hours and 24 samples; until then only why."""
    scene.live([sample(0)])
    assert scene.watch.state() == LeakState(confidence=None, reason="1 sample so far, 24 are due")
    scene.live(day(20, 22 * STEP / 3600, first=1))
    assert scene.watch.state() == LeakState(confidence=None, reason="23 samples so far, 24 are due")
    scene.live([sample(23)])
    assert scene.watch.verdict is not None
    assert scene.slices[:23] == [0] * 23


def test_what_judges_is_imported_with_the_first_verdict() -> None:
    """A process that lives for an hour does not pay for it."""
    program = (
        "import sys\n"
        "from fakes import FakeClock, FakeMemory\n"
        "from sampling_scene import day, governed\n"
        "from membudget.inspection.leak_watch import LeakWatch\n"
        "from membudget.sampling.form import SampleRing\n"
        "ring = SampleRing()\n"
        "watch = LeakWatch(governed(FakeMemory(FakeClock())), ring)\n"
        "for number, one in enumerate(day(5, 2)):\n"
        "    ring.add(one); watch.after_sample(one)\n"
        "    while watch.due(0.0): watch.run(0.0)\n"
        "    print(number, any(name.startswith('membudget.leaks') for name in sys.modules))\n"
    )
    assert lines_of(program) == [f"{n} {n == 23}" for n in range(24)]


def test_what_judges_is_imported_a_module_at_a_time() -> None:
    """So that no slice takes as long as all of them, and judging itself imports no more."""
    program = (
        "import sys\n"
        "import membudget\n"
        "budget = membudget.start('4GiB', thread=False); budget.step(); budget.stop()\n"
        "from importlib import import_module\n"
        "from membudget.inspection.leak_watch import NEEDED\n"
        "def ours(): return {m for m in sys.modules if m.startswith('membudget.')}\n"
        "for name in NEEDED:\n"
        "    before = ours(); import_module('membudget.' + name)\n"
        "    print(len(ours() - before))\n"
        "before = ours()\n"
        "from membudget.leaks.verdict import judging\n"
        "from membudget.leaks.advice import proposing\n"
        "from membudget.forecast import forecast\n"
        "print(sorted(ours() - before))\n"
    )
    *counts, rest = lines_of(program)
    assert set(counts) == {"1"}
    assert rest == "[]"


@pytest.mark.parametrize("step", [0.5, 60.0, 90.0, 300.0])
def test_of_many_samples_about_900_of_three_days_are_judged(step: float) -> None:
    """However dense they are, no slice grows with the history, and enough is left to judge."""
    samples = [sample(number, wall=BEGAN + step * number) for number in range(2880)]
    found = fewer(samples)
    assert (found[0], found[-1]) == (samples[0], samples[-1])
    assert max(b.wall - a.wall for a, b in pairwise(found)) < 300.0 + step
    lately = [one for one in found if samples[-1].wall - one.wall <= 72 * 3600]
    assert 700 <= len(lately) <= 1000
    assert fewer(samples[:900]) == samples[:900]
    restarted = [*samples[:1000], *(one.replace(pid=8) for one in samples[1001:1004])]
    assert fewer(restarted)[-1].pid == 8


def test_a_leak_is_told_when_it_gets_surer_and_not_at_every_look(scene: Scene) -> None:
    """Each level once, the surest last, with rate, beginning and reason."""
    scene.live(day(20, 20))
    levels = [event.confidence for event in scene.told]
    assert levels[-1] == "high"
    assert levels == [one for one in ("low", "medium", "high") if one in levels]
    last = scene.told[-1]
    assert last.rate_low is not None
    assert last.rate_high is not None
    assert last.rate_low <= last.rate <= last.rate_high
    assert 15 * MIB < last.rate < 25 * MIB
    assert last.onset is not None
    assert BEGAN <= last.onset < BEGAN + 4 * 3600
    assert last.growth > 50 * MIB
    assert last.kind == Kind.PYTHON
    assert "/h" in last.reason
    assert last.severity is Severity.WARNING
    row = plain(scene.watch.state())
    assert (row["confidence"], row["kind"]) == ("high", last.kind)


def test_a_process_that_stands_still_is_never_told(scene: Scene) -> None:
    scene.live(day(0, 24))
    assert not scene.told
    assert scene.watch.verdict is not None
    assert scene.watch.verdict.confidence is Confidence.NONE


def test_a_suspicion_that_ends_is_taken_back(scene: Scene) -> None:
    """Growth that stops is told as over, once."""
    scene.live(day(20, 36, until=9))
    assert "medium" in [event.confidence for event in scene.told]
    assert [event.confidence for event in scene.told].count("none") == 1
    assert scene.told[-1].confidence == "none"
    assert scene.told[-1].severity is Severity.INFO


def test_a_verdict_is_made_in_slices(scene: Scene) -> None:
    """Other threads have their turn, and the governor its readings."""
    scene.live(day(20, 12))
    assert scene.slices[-1] >= 3


class Collecting:
    """What collecting gives, and how often it was asked."""

    def __init__(
        self, answer: Callable[[], tuple[int, int] | None], *, may_stop: bool = True
    ) -> None:
        self.answer = answer
        self.asked: list[int] = []
        self.may_stop = lambda: may_stop

    def __call__(self, wanted: int) -> tuple[int, int] | None:
        self.asked.append(wanted)
        return self.answer()


def test_before_it_accuses_it_collects_once() -> None:
    """Where that gives nothing back, the accusation follows."""
    collecting = Collecting(lambda: (0, 0))
    scene = Scene(collect=collecting)
    scene.live(day(20, 20))
    assert len(collecting.asked) == 1
    assert collecting.asked[0] > 20 * MIB
    assert scene.told[-1].confidence == "high"


def test_what_a_collection_gives_back_is_no_leak() -> None:
    """It is named as garbage, and nobody is accused."""
    collecting = Collecting(lambda: (500 * MIB, 500 * MIB))
    scene = Scene(collect=collecting)
    scene.live(day(20, 9))
    assert len(collecting.asked) == 1
    assert (scene.told[1].confidence, scene.told[1].kind) == ("none", Kind.GARBAGE)
    assert {event.confidence for event in scene.told} <= {"low", "none"}


def test_while_collections_rest_it_waits() -> None:
    """The cooldown is kept; the accusation waits with it."""
    collecting = Collecting(lambda: None)
    scene = Scene(collect=collecting)
    scene.live(day(20, 14))
    assert len(collecting.asked) > 1
    assert {event.confidence for event in scene.told} == {"low"}
    collecting.answer = lambda: (0, 0)
    before = len(collecting.asked)
    scene.live(day(20, 6, first=14 * 12))
    assert len(collecting.asked) == before + 1
    assert scene.told[-1].confidence == "high"


def test_where_the_process_may_not_be_stopped_it_accuses_without() -> None:
    """A verdict that waited for a collection that is never made would be none."""
    collecting = Collecting(lambda: None, may_stop=False)
    scene = Scene(collect=collecting)
    scene.live(day(20, 20))
    assert not collecting.asked
    assert scene.told[-1].confidence == "high"


def holder(name: str) -> tuple[Culprit, ...]:
    """Who is found to hold what grew."""
    return (Culprit(name=name, kind="dict", items_per_hour=9.0, bytes_per_hour=2e7, share=0.9),)


def test_a_culprit_is_told_once_it_is_found_and_with_each_level_from_then_on(scene: Scene) -> None:
    """Until the suspicion ends; the same one found again is no news."""
    scene.live(day(20, 4))
    assert [one.culprit for one in scene.told] == [""]
    scene.watch.accuse(holder("app.sessions"))
    scene.watch.accuse(holder("app.sessions"))
    assert [one.culprit for one in scene.told] == ["", "app.sessions"]
    scene.live(day(20, 32, first=48, until=10))
    assert [one.culprit for one in scene.told if one.confidence == "medium"] == ["app.sessions"]
    assert (scene.told[-1].confidence, scene.told[-1].culprit) == ("none", "")
    assert scene.watch.state().culprits == ()


def native(growth: float) -> tuple[Culprit, ...]:
    """What is found where nothing that grew is within reach."""
    nobody = Culprit(
        name="native or mmap", kind="native", items_per_hour=None, bytes_per_hour=growth, share=0.98
    )
    return (nobody,)


def test_who_holds_the_growth_tells_the_kind_where_counters_do_not(scene: Scene) -> None:
    """At once, in what is told and shown, and in every verdict from then on."""
    few = [one.replace(blocks=100_000 + 40 * number) for number, one in enumerate(day(20, 14))]
    scene.live(few[:48])
    assert scene.watch.state().kind == Kind.PYTHON
    scene.watch.accuse(native(20.0 * MIB))
    assert scene.watch.state().kind == Kind.NATIVE
    assert (scene.told[-1].culprit, scene.told[-1].kind) == ("native or mmap", Kind.NATIVE)
    scene.live(few[48:])
    assert scene.told[-1].confidence == "high"
    assert {one.kind for one in scene.told[1:]} == {Kind.NATIVE}


def test_settings_are_the_rules() -> None:
    """What is not worth a word is the owner's to say."""
    scene = Scene(minimum_rate="30MiB/h")
    scene.live(day(20, 14))
    assert not scene.told
    quick = Scene(min_samples=6, min_duration="30m")
    quick.live(day(20, 0.5))
    assert quick.watch.verdict is not None


def test_samples_of_an_earlier_process_are_no_part_of_the_verdict(scene: Scene) -> None:
    """Restored ones are there to be shown."""
    scene.ring.restore([one.replace(began=BEGAN - 5, pid=6) for one in day(50, 12)])
    scene.live(day(0, 3, first=200))
    assert scene.watch.verdict is not None
    assert scene.watch.verdict.facts.samples <= 36
    assert not scene.told


def test_a_forked_child_begins_with_no_verdict(scene: Scene) -> None:
    scene.live(day(20, 14))
    scene.watch.after_fork_in_child()
    scene.ring.clear()
    assert scene.watch.state().confidence is None
    assert not scene.watch.due(0.0)
    told = len(scene.told)
    scene.live([one.replace(pid=8, began=BEGAN + 9) for one in day(0, 4)])
    assert scene.watch.verdict is not None
    assert len(scene.told) == told


def test_a_child_forked_amid_an_import_gives_up(scene: Scene) -> None:
    """Importing what its parent was importing could take for ever."""
    with scene.imports:
        scene.imports.after_fork_in_child()
    scene.watch.after_fork_in_child()
    scene.live(day(20, 4))
    assert scene.watch.verdict is None
