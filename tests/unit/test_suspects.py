"""When it is looked for what grows, and which registered parts may be accused."""

from collections.abc import Callable, Generator
from typing import Any

import pytest

from fakes import FakeClock, FakeMemory
from membudget.core import Level, Sample
from membudget.heap import Census, Garbage
from membudget.inspection.suspects import Suspects
from membudget.leaks import Confidence
from sampling_scene import governed, sampled


class Standing:
    """Stands where a verdict does; only how sure it is is asked."""

    def __init__(self, confidence: Confidence) -> None:
        self.confidence = confidence
        self.rate = 1e6
        self.growth = 10_000_000


class Scene:
    """A chore with a verdict and a pressure that are set by hand."""

    def __init__(self) -> None:
        self.verdict: Any = None
        self.clock = FakeClock()
        self.accused: list[tuple[Any, ...]] = []
        self.accuse = self.accused.append
        self.garbage: Garbage | None = None
        self.governor = governed(FakeMemory(self.clock))
        self.governor.collector = self
        watch: Any = self
        self.ring = self
        self.chore = Suspects(self.governor, watch, wall=self.clock.now)

    def press(self, level: Level) -> None:
        self.governor.pressure = self.governor.pressure.replace(level=level)

    def reading(self) -> Generator[None, None, list[Sample]]:
        """A part that grows, read in slices as the ring does."""
        samples = [sampled(60.0 * place, place) for place in range(2000)]
        yield
        return samples


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_without_a_suspicion_nobody_looks(scene: Scene) -> None:
    """Neither before the first verdict nor after one that clears."""
    assert not scene.chore.due(0.0)
    scene.verdict = Standing(Confidence.NONE)
    assert not scene.chore.due(0.0)
    scene.verdict = Standing(Confidence.LOW)
    assert scene.chore.due(0.0)


def test_under_pressure_nobody_looks(scene: Scene) -> None:
    """A census walks the whole heap, and memory is short."""
    scene.verdict = Standing(Confidence.HIGH)
    scene.press(Level.WARNING)
    assert not scene.chore.due(0.0)


def test_a_look_goes_on_in_slices_and_the_next_comes_an_hour_later(scene: Scene) -> None:
    """It is due until it is done, then not before the hour is over."""
    scene.verdict = Standing(Confidence.LOW)
    scene.chore.run(scene.clock.now())  # No time at all: it has only begun.
    assert scene.chore.due(scene.clock.now())
    for _ in range(100_000):
        if not scene.chore.due(scene.clock.now()):
            break
        scene.chore.run(float("inf"))
    assert not scene.chore.due(scene.clock.now() + 3599.0)
    assert scene.chore.due(scene.clock.now() + 3600.0)
    assert scene.chore.found == ()


def test_a_child_knows_nothing_of_its_parents_looks(scene: Scene) -> None:
    scene.verdict = Standing(Confidence.LOW)
    scene.chore.run(scene.clock.now())
    scene.chore.after_fork_in_child()
    assert scene.chore.due(scene.clock.now())


def freed(name: str, size: int) -> Garbage:
    """What a collection freed, most of it of one type."""
    types = {name: 900, "cell": 2000}
    return Garbage(garbage=3000, types=types, bytes=size, uncollectable=2, kept="shop.Stuck")


def _see_through(scene: Scene) -> None:
    while scene.chore.due(scene.clock.now()):
        scene.chore.run(float("inf"))


@pytest.fixture
def nothing_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("membudget.heap.taker.CensusTaker", Nothing)


@pytest.mark.usefixtures("nothing_there")
def test_what_a_collection_freed_is_told_by_type_without_waiting_for_a_third_look(
    scene: Scene,
) -> None:
    """With its share of the growth, and with what nothing frees."""
    scene.verdict = Standing(Confidence.LOW)
    _see_through(scene)
    assert scene.accused == []
    scene.garbage = freed("shop.Node", 9_000_000)
    _see_through(scene)
    (found,) = scene.accused
    assert (found[0].kind, found[0].name) == ("garbage", "shop.Node")
    assert found[0].share == pytest.approx(0.9)
    assert "freed 3000 objects" in found[0].note
    assert "2 more wait in gc.garbage" in found[0].note
    assert "most of them shop.Stuck" in found[0].note
    _see_through(scene)
    assert len(scene.accused) == 1


@pytest.mark.usefixtures("nothing_there")
def test_the_little_garbage_that_there_always_is_is_not_told(scene: Scene) -> None:
    """A hundredth of the growth explains nothing."""
    scene.verdict = Standing(Confidence.LOW)
    scene.garbage = freed("shop.Node", 100_000).replace(uncollectable=0)
    _see_through(scene)
    assert scene.accused == []


@pytest.mark.usefixtures("nothing_there")
def test_what_was_freed_under_an_earlier_suspicion_is_no_news_in_the_next(scene: Scene) -> None:
    """A new one collects anew."""
    scene.verdict = Standing(Confidence.LOW)
    scene.garbage = freed("shop.Node", 9_000_000)
    _see_through(scene)
    assert scene.accused
    scene.accused.clear()
    scene.verdict = Standing(Confidence.NONE)
    assert not scene.chore.due(scene.clock.now())
    scene.verdict = Standing(Confidence.LOW)
    for _ in range(5):
        _see_through(scene)
        scene.clock.advance(3600.0)
    assert "garbage" not in [one.kind for found in scene.accused for one in found]


class Nothing:
    """Takes the census of an empty process."""

    def __init__(
        self, _before: Census | None, *, extra: Any, now: Callable[[], float], redact: object = None
    ) -> None:
        del extra
        assert redact is None
        self._now = now

    def step(self, _until: float) -> Census:
        at = self._now()
        return Census(at=at, objects=0, took=0, longest_slice=0, counts={}, details={})


@pytest.mark.usefixtures("nothing_there")
def test_ranking_goes_on_in_slices_however_long_the_history_is(scene: Scene) -> None:
    """The governor's thread is away for some milliseconds and then looks after the memory again."""
    scene.verdict = Standing(Confidence.HIGH)
    slices = 0
    while not scene.chore.found:
        scene.clock.advance(3600.0)
        while scene.chore.due(scene.clock.now()):
            scene.chore.run(scene.clock.now())  # As little as can be.
            slices += 1
    assert "book" in [one.name for one in scene.chore.found]
    assert slices > 2000 / 32


def test_a_look_that_pressure_interrupts_keeps_nothing_alive(scene: Scene) -> None:
    """What it was about to enter may be what the program lets go of."""
    scene.verdict = Standing(Confidence.HIGH)
    scene.chore.run(scene.clock.now())
    scene.press(Level.WARNING)
    assert not scene.chore.due(scene.clock.now())
    scene.press(Level.NORMAL)
    assert not scene.chore.due(scene.clock.now() + 3599.0)
    assert scene.chore.due(scene.clock.now() + 3600.0)


def test_upkeep_that_is_asked_for_begins_no_look_before_its_time(scene: Scene) -> None:
    """`maintain` runs every chore, due or not: nobody is suspected, so nobody looks."""
    scene.chore.run(float("inf"))
    scene.verdict = Standing(Confidence.LOW)
    assert scene.chore.due(scene.clock.now())


def test_a_look_ends_with_the_budget(scene: Scene) -> None:
    """One that waits for a slice that never comes would keep objects alive."""
    scene.verdict = Standing(Confidence.LOW)
    scene.chore.run(scene.clock.now())
    scene.chore.end()
    assert not scene.chore.due(scene.clock.now() + 3599.0)


@pytest.mark.usefixtures("nothing_there")
def test_looks_are_dated_by_the_clock_of_the_samples_where_there_is_one(scene: Scene) -> None:
    """Rates of both are compared, whatever time the samples tell."""
    scene.chore._wall = lambda: 5000.0
    scene.verdict = Standing(Confidence.HIGH)
    scene.chore.run(scene.clock.now())
    (census,) = scene.chore._censuses
    assert census.at == 5000.0
