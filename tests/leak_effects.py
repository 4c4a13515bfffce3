"""That the settings of `leaks` do what they say."""

import contextlib
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import membudget
from applying_scene import Applying
from effects import LONG, SHORT, shows, started
from fakes import FakeClock, FakeMemory
from membudget.core import Sample
from membudget.inspection.leak_watch import LeakWatch
from membudget.inspection.suspects import Suspects
from membudget.leaks import Confidence, Kind
from membudget.sampling.form import SampleRing
from sampling_scene import day, governed


@shows("leaks.enabled")
def _leaks_enabled(_: Path) -> None:
    for enabled in (True, False):
        with started(leaks={"enabled": enabled}) as (budget, _recorder):
            budget.step()
            assert (budget.inspection.status()["leak"] is not None) is enabled


def judged(samples: Iterator[Sample], **leaks: Any) -> LeakWatch:
    """The leak watch of a budget with these settings, once it has judged these samples."""
    clock, ring = FakeClock(), SampleRing(1000)
    watch = LeakWatch(governed(FakeMemory(clock), **leaks), ring)
    for one in samples:
        ring.add(one)
        watch.after_sample(one)
        while watch.due(clock.now()):
            watch.run(clock.now() + 1)
    return watch


@shows("leaks.min_duration", "leaks.min_samples")
def _early(_: Path) -> None:
    assert judged(day(20, 5)).verdict is not None
    assert judged(day(20, 5), min_duration="6h").verdict is None
    assert judged(day(20, 5), min_samples=70).verdict is None


@shows("leaks.minimum_rate", "leaks.threshold_mb_per_hour")
def _rates(_: Path) -> None:
    told = judged(day(20, 8)).verdict
    assert told is not None
    assert told.confidence > Confidence.NONE
    assert told.facts.is_above
    small = judged(day(20, 8), minimum_rate="50MiB/h", threshold_mb_per_hour=50).verdict
    assert small is not None
    assert small.confidence is Confidence.NONE
    assert not small.facts.is_above


@shows("leaks.gc_efficiency")
def _gc_efficiency(_: Path) -> None:
    for least, kind in (("5%", Kind.GARBAGE), ("50%", Kind.PYTHON)):
        samples = [
            one.replace(gc_efficiency=0.2 if at == 1 else None) for at, one in enumerate(day(20, 8))
        ]
        found = judged(iter(samples), gc_efficiency=least).verdict
        assert found is not None
        assert found.kind is kind


@contextlib.contextmanager
def suspecting(**leaks: Any) -> Iterator[membudget.Budget]:
    """A budget that is sure of a leak."""
    verdict = judged(day(20, 24)).verdict
    assert verdict is not None
    with started(leaks=leaks) as (budget, _recorder):
        budget.step()
        (watch,) = [one for one in budget.governor.chores if isinstance(one, LeakWatch)]
        watch.verdict = verdict.replace(confidence=Confidence.HIGH, wants_collection=False)
        yield budget


@shows("leaks.census_every")
def _census_every(_: Path) -> None:
    for every, is_due in ((LONG, False), (SHORT, True)):
        with suspecting(census_every=every) as budget:
            (looks,) = [one for one in budget.governor.chores if isinstance(one, Suspects)]
            clock = budget.governor.clock

            def is_under_way(looks: Suspects = looks) -> bool:
                return looks._taker is not None or looks._steps is not None

            looks.run(clock.now())
            assert is_under_way()
            while is_under_way():
                looks.run(clock.now() + 10)
            assert looks.due(clock.now() + 60) is is_due


@shows("leaks.trace")
def _trace(_: Path) -> None:
    with suspecting() as budget:
        budget.step()
        assert not tracemalloc.is_tracing()
    with suspecting(trace="10s") as budget:
        budget.step()
        assert tracemalloc.is_tracing()
    assert not tracemalloc.is_tracing()


@shows("leaks.apply_proposals")
def _apply_proposals(_: Path) -> None:
    for applies in (True, False):
        scene = Applying(leaks={"apply_proposals": applies})
        scene.live()
        scene.budget.stop()
        assert bool(scene.applied) is applies
