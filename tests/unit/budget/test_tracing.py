"""When a window of tracemalloc is opened, and what comes of it."""

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from fakes import FakeClock, FakeMemory
from membudget.core import Level
from membudget.heap import window
from membudget.inspection.suspects import Tracing
from membudget.leaks import Confidence
from membudget.profiling import profile_memory
from sampling_scene import governed


class Standing:
    """Stands where a verdict does; only how sure it is is asked."""

    def __init__(self, confidence: Confidence) -> None:
        self.confidence = confidence


class Scene:
    """A chore with a verdict and a pressure that are set by hand."""

    def __init__(self, seconds: float = 20.0) -> None:
        self.verdict: Any = Standing(Confidence.MEDIUM)
        self.clock = FakeClock()
        self.kept: list[bytearray] = []
        self.governor = governed(FakeMemory(self.clock), trace=seconds)
        watch: Any = self
        self.chore = Tracing(self.governor, watch)

    def press(self, level: Level) -> None:
        self.governor.pressure = self.governor.pressure.replace(level=level)

    def live(self, seconds: float) -> None:
        """Leak for so long, a second at a time."""
        for _ in range(int(seconds)):
            self.clock.advance(1.0)
            for _ in range(20):
                self.kept.append(bytearray(1000))  # the line that is looked for
            self.step()

    def step(self) -> None:
        if self.chore.due(self.clock.now()):
            self.chore.run(self.clock.now() + 3600.0)


@pytest.fixture
def scene() -> Iterator[Scene]:
    one = Scene()
    yield one
    one.chore.end()
    assert not tracemalloc.is_tracing()


def test_nothing_is_traced_before_a_leak_is_sure(scene: Scene) -> None:
    """A low suspicion is not worth a process that is five times slower."""
    for verdict in (None, Standing(Confidence.NONE), Standing(Confidence.LOW)):
        scene.verdict = verdict
        scene.step()
        assert not tracemalloc.is_tracing()


def test_the_line_of_a_leak_that_is_sure_is_found_once(scene: Scene) -> None:
    """Then tracing is over, until another suspicion."""
    scene.step()
    assert tracemalloc.is_tracing()
    scene.live(25)
    assert not tracemalloc.is_tracing()
    assert scene.chore.lines[0].file == __file__
    assert scene.chore.lines[0].bytes > 100_000
    scene.clock.advance(1e6)
    scene.step()
    assert not tracemalloc.is_tracing()
    assert scene.chore.lines
    scene.verdict = Standing(Confidence.NONE)
    scene.step()
    assert scene.chore.lines == ()
    scene.verdict = Standing(Confidence.HIGH)
    scene.step()
    assert tracemalloc.is_tracing()


def test_where_somebody_else_traces_nothing_is_done(scene: Scene) -> None:
    """Neither then nor when they end it; an hour later it is tried anew."""
    tracemalloc.start(3)
    try:
        scene.step()
        scene.live(30)
        assert scene.chore.lines == ()
        assert tracemalloc.get_traceback_limit() == 3
    finally:
        tracemalloc.stop()
    scene.step()
    assert not tracemalloc.is_tracing()
    scene.clock.advance(3600.0)
    scene.step()
    assert tracemalloc.is_tracing()


def test_pressure_ends_a_window_and_opens_none(scene: Scene) -> None:
    """Traces take memory themselves."""
    scene.step()
    scene.press(Level.WARNING)
    scene.step()
    assert not tracemalloc.is_tracing()
    scene.press(Level.NORMAL)
    scene.step()
    assert not tracemalloc.is_tracing()
    scene.clock.advance(3600.0)
    scene.step()
    assert tracemalloc.is_tracing()


def test_a_suspicion_that_clears_ends_the_window(scene: Scene) -> None:
    scene.step()
    scene.verdict = Standing(Confidence.NONE)
    scene.step()
    assert not tracemalloc.is_tracing()


def test_a_forked_child_is_traced_no_more(scene: Scene) -> None:
    scene.step()
    scene.chore.after_fork_in_child()
    assert not tracemalloc.is_tracing()


def test_a_window_whose_traces_take_too_much_ends_early(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.step()
    scene.live(8)
    monkeypatch.setattr(window, "_MOST", 1)
    scene.live(1)
    assert not tracemalloc.is_tracing()
    assert scene.chore.lines[0].file == __file__


def test_adding_up_goes_on_in_slices(scene: Scene) -> None:
    scene.step()
    scene.live(8)
    more = [[number] for number in range(5000)]
    scene.clock.advance(60.0)
    steps = 0
    while not scene.chore.lines:
        assert scene.chore.due(scene.clock.now())
        scene.chore.run(scene.clock.now())  # As little as can be.
        steps += 1
    assert steps >= len(more) / 500


def test_tracing_that_somebody_else_began_anew_goes_on(scene: Scene) -> None:
    """Ours was over by then: what is on at the end of the window is theirs."""
    scene.step()
    tracemalloc.stop()
    tracemalloc.start()
    try:
        scene.live(25)
        assert tracemalloc.is_tracing()
        scene.chore.end()
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()


def test_a_profile_that_began_within_a_window_is_complete(scene: Scene) -> None:
    """The window is over before it, and tracing is not; after both it is."""
    scene.step()
    profiler = profile_memory("load")
    with profiler:
        scene.live(25)
        held = bytearray(1 << 20)
        assert scene.chore.lines
    assert profiler.last is not None
    assert profiler.last.is_complete
    assert profiler.last.held >= len(held)
    assert not tracemalloc.is_tracing()


def test_a_window_outlives_a_profile_within_it(scene: Scene) -> None:
    scene.step()
    with profile_memory("load"):
        scene.live(2)
    assert tracemalloc.is_tracing()
    scene.live(25)
    assert scene.chore.lines[0].file == __file__
    assert not tracemalloc.is_tracing()


def test_a_window_that_fails_is_closed_and_rests(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where memory is short, a list of traces is what it is shortest for."""

    def fail() -> None:
        raise MemoryError

    scene.step()
    monkeypatch.setattr(tracemalloc, "take_snapshot", fail)
    with pytest.raises(MemoryError):
        scene.live(25)
    assert not tracemalloc.is_tracing()
    scene.clock.advance(60.0)
    scene.step()
    assert not tracemalloc.is_tracing()
    scene.clock.advance(3600.0)
    scene.step()
    assert tracemalloc.is_tracing()
