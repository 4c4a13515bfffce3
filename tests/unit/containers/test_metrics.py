"""The metrics collector: last samples by series, within bounds, and what they come to."""

import contextlib
import copy
import json
import pickle
import signal
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from beside import in_threads
from fakes import Asking, FakeClock
from membudget.cache.upkeep import Sweeper
from membudget.containers.metrics import LEAST, SAMPLE_BYTES, MetricsCollector
from membudget.core import Holder, Reclaimer
from membudget.core.protocols import ForkAware
from membudget.errors import ConfigError
from membudget.registry import Registry
from steps import steps

FOREVER = float("inf")


def made(**more: Any) -> MetricsCollector:
    more.setdefault("registry", Registry())
    return MetricsCollector("metrics", **more)


def check(metrics: MetricsCollector) -> None:
    """Its sum agrees with its series."""
    assert metrics.held_bytes() == sum(one.bytes for one in metrics._series.values())


def test_it_is_what_the_budget_looks_for() -> None:
    for protocol in (Holder, Reclaimer, ForkAware):
        assert isinstance(made(), protocol)


def test_a_summary_says_what_the_samples_come_to() -> None:
    metrics = made(max_samples=100)
    for number in range(250):
        assert metrics.record("latency", number * 1.5)
    kept = [number * 1.5 for number in range(150, 250)]
    summary: Any = metrics.summary("latency")
    cuts = statistics.quantiles(kept, n=100, method="inclusive")
    assert (summary.count, summary.total, summary.last) == (100, 250, kept[-1])
    assert (summary.min, summary.max) == (min(kept), max(kept))
    assert summary.mean == pytest.approx(statistics.fmean(kept))
    assert summary.p50 == pytest.approx(statistics.median(kept))
    assert (summary.p95, summary.p99) == pytest.approx((cuts[94], cuts[98]))
    assert metrics.latest("latency") == kept[-1]


@pytest.mark.parametrize("most", [1, 3, 16, 17, 100, 1000])
def test_every_window_holds_the_last_samples(most: int) -> None:
    metrics = made(max_samples=most)
    for number in range(260):
        metrics.record("a", number)
        window = metrics._series["a"].window()
        assert list(window) == list(range(max(0, number + 1 - most), number + 1))
    check(metrics)
    stats = metrics.stats()
    assert (stats.added, stats.samples, stats.dropped["samples"]) == (
        260,
        min(260, most),
        max(0, 260 - most),
    )


def test_of_one_sample_everything_is_that() -> None:
    metrics = made()
    metrics.record("one", 2.5)
    summary: Any = metrics.summary("one")
    assert {summary.min, summary.max, summary.mean, summary.p50, summary.p99} == {2.5}
    assert metrics.summary("none") is None
    assert metrics.latest("none") is None


def test_samples_too_old_do_not_count(clock: FakeClock) -> None:
    """In no answer; a series with no others is swept by the one sweeper."""
    registry = Registry()
    metrics = made(ttl="1m", clock=clock, registry=registry)
    metrics.record("a", 1)
    clock.advance(30)
    metrics.record("a", 2)
    metrics.record("b", 3)
    clock.advance(30)
    summary: Any = metrics.summary("a")
    assert (summary.count, summary.min, summary.total) == (1, 2, 2)
    clock.advance(30)
    assert metrics.latest("a") is None
    assert metrics.summary("a") is None
    assert metrics.as_dict() == {}
    assert metrics.has_expired(clock.now())
    sweeper = Sweeper(registry, clock=clock)
    clock.advance(2)
    assert sweeper.due(clock.now())
    sweeper.run(clock.now() + 1)
    assert metrics.names() == []
    assert metrics.held_bytes() == 0
    assert metrics.stats().dropped["expired"] == 3
    assert not metrics.has_expired(clock.now())


def test_recording_frees_the_place_of_samples_too_old(clock: FakeClock) -> None:
    metrics = made(ttl=10, clock=clock)
    for number in range(100):
        clock.advance(1)
        metrics.record("a", number)
    assert metrics._series["a"].count == 10
    assert metrics._series["a"].capacity == LEAST


def test_a_time_may_be_given(clock: FakeClock) -> None:
    metrics = made(ttl=60, clock=clock)
    metrics.record("a", 1, at=clock.now() - 100)
    metrics.record("a", 2, at=clock.now() - 10)
    assert metrics.latest("a") == 2
    assert metrics.stats().oldest_age == 10


def test_the_series_longest_silent_goes() -> None:
    metrics = made(max_series=2)
    for series in "abac":
        metrics.record(series, 1)
    assert metrics.names() == ["a", "c"]
    assert "b" not in metrics
    assert metrics.stats().dropped["series"] == 1


def test_a_bound_in_bytes_is_kept() -> None:
    """A series grows while there is room; for a new one the widest window is cut to half."""
    metrics = made(max_bytes="4KiB", max_samples=10_000)
    for number in range(1000):
        metrics.record("first", number)
        assert metrics.held_bytes() <= 4096
    assert metrics.held_bytes() > 4096 - SAMPLE_BYTES
    wide = metrics._series["first"].capacity
    for number in range(100):
        metrics.record("second", number)
        metrics.record("first", number)
        assert metrics.held_bytes() <= 4096
    assert metrics.names() == ["second", "first"]
    assert LEAST < metrics._series["first"].capacity < wide
    for number in range(20):
        metrics.record(f"more {number}", number)
        assert metrics.held_bytes() <= 4096
    assert len(metrics) > 3
    assert metrics.names()[-1] == "more 19"
    check(metrics)
    tiny = made(max_bytes=100)
    assert not tiny.record("a", 1)
    assert (len(tiny), tiny.stats().refused) == (0, 1)


def test_what_is_no_number_is_not_taken_in() -> None:
    """NaN would spoil every figure; it is counted. Infinity is a number."""
    metrics = made()
    assert not metrics.record("a", float("nan"))
    assert metrics.names() == []
    assert metrics.stats().refused == 1
    for value in (float("inf"), float("inf"), 1.0):
        assert metrics.record("a", value)
    summary: Any = metrics.summary("a")
    assert summary.max == summary.p99 == float("inf")
    with pytest.raises(ValueError, match="could not convert"):
        metrics.record("a", "text")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="not a text"):
        metrics.record(5, 1)  # type: ignore[arg-type]


def test_it_can_be_exported() -> None:
    metrics = made()
    metrics.record("a", 1)
    metrics.record("b", 2)
    exported = json.loads(json.dumps(metrics.as_dict()))
    assert exported["b"] == {
        **dict.fromkeys(("count", "total"), 1),
        **dict.fromkeys(("min", "max", "mean", "last", "p50", "p95", "p99"), 2.0),
    }
    assert list(exported) == ["a", "b"]


def test_a_reclaim_cuts_windows_before_it_takes_series() -> None:
    metrics = made(max_samples=1024)
    for number in range(3 * 1024):
        metrics.record(f"series {number % 3}", number)
    before = metrics.held_bytes()
    freed = metrics.reclaim(512 * SAMPLE_BYTES + 1, FOREVER)
    assert freed == before - metrics.held_bytes() >= 512 * SAMPLE_BYTES + 1
    assert len(metrics) == 3
    metrics.reclaim(metrics.held_bytes() - 3 * 1000, FOREVER)
    assert len(metrics) == 3
    assert [metrics.latest(name) for name in metrics.names()] == [3069, 3070, 3071]
    check(metrics)
    metrics.reclaim(1 << 40, FOREVER)
    assert len(metrics) == metrics.held_bytes() == 0
    assert metrics.stats().dropped["pressure"] == 3 * 1024


def test_what_it_takes_in_is_claimed() -> None:
    registry = Registry()
    registry.meter = meter = Asking()
    metrics = made(registry=registry)
    for number in range(1000):
        metrics.record("a", number)
    assert sum(meter.claims) == metrics.held_bytes()
    assert len(meter.claims) < 10
    meter.wanted = 1 << 30
    metrics.record("b", 1)
    assert len(metrics) == 0


def test_it_can_be_resized_and_cleared() -> None:
    metrics = made()
    for number in range(300):
        metrics.record(f"series {number % 3}", number)
    metrics.resize(max_samples=10)
    assert metrics.stats().samples == 30
    metrics.resize(max_series=2)
    assert metrics.names() == ["series 1", "series 2"]
    assert metrics.discard("series 1")
    assert not metrics.discard("series 1")
    check(metrics)
    metrics.clear()
    assert len(metrics) == metrics.held_bytes() == 0
    assert "0 series" in repr(metrics)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"max_samples": 0}, "max_samples 0"),
        ({"max_samples": None}, "max_samples None"),
        ({"max_series": -1}, "max_series -1"),
        ({"ttl": "5"}, "ttl '5' has no unit"),
        ({"max_bytes": "5"}, "has no unit"),
    ],
)
def test_an_argument_that_is_none_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        made(**wrong)


def test_threads_leave_it_in_order() -> None:
    metrics = made(max_samples=50, max_series=4)

    def work(seed: int) -> None:
        for number in range(1000):
            metrics.record(f"series {(number + seed) % 5}", number)
            if number % 50 == 0:
                metrics.as_dict()
                metrics.reclaim(100, FOREVER)

    in_threads(*(partial(work, seed) for seed in range(4)))
    check(metrics)
    stats = metrics.stats()
    assert stats.added == 4000 == stats.samples + sum(stats.dropped.values())


def crowd(count: int, **more: Any) -> MetricsCollector:
    """A collector of so many series, each with as few samples as there can be."""
    metrics = made(**more)
    for number in range(count):
        metrics.record(f"series {number:06}", number)
    return metrics


def test_many_series_give_way_one_by_one_at_the_same_price() -> None:
    def work(count: int) -> int:
        metrics = crowd(count)
        cost = steps(lambda: metrics.reclaim(metrics.held_bytes(), FOREVER))
        assert len(metrics) == 0
        return cost

    assert work(800) < 2.5 * work(400)


def test_a_new_series_at_the_bound_costs_the_same_among_many() -> None:
    def work(count: int) -> int:
        metrics = crowd(count, max_bytes=700 * count)
        held = len(metrics)
        cost = steps(lambda: [metrics.record(f"new {number}", 1) for number in range(50)])
        assert held < count
        assert len(metrics) <= held + 3
        check(metrics)
        return cost

    assert work(1600) < 1.2 * work(400)


def test_of_windows_alike_the_one_longest_silent_is_cut() -> None:
    """And the widest first, so that all end at about the same width."""
    metrics = made(max_samples=256)
    for number in range(256):
        metrics.record("wide", number)
    for number in range(64):
        metrics.record("silent", number)
        metrics.record("busy", number)
    metrics.record("busy", 1)
    for _ in range(3):
        metrics.reclaim(1, FOREVER)
    capacities = {name: metrics._series[name].capacity for name in metrics.names()}
    assert capacities == {"wide": 64, "silent": 64, "busy": 64}
    metrics.reclaim(1, FOREVER)
    check(metrics)


def test_an_exception_from_a_signal_leaves_it_in_order() -> None:
    metrics = made(max_samples=64, max_bytes="4KiB")

    class StopHereError(Exception):
        pass

    is_armed = False

    def interrupt(_number: int, _frame: object) -> None:
        if is_armed:  # It may come once all is recorded.
            raise StopHereError

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for number in range(300):
            with contextlib.suppress(StopHereError):
                is_armed = True
                signal.setitimer(signal.ITIMER_REAL, 2e-5 * (1 + number % 20))
                for sample in range(200):
                    metrics.record(f"series {sample % 7}", number)
                is_armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            check(metrics)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    held = metrics.held_bytes()
    assert metrics.reclaim(1 << 40, FOREVER) == held > 0
    assert len(metrics) == metrics.held_bytes() == 0


def test_a_time_of_another_clock_is_refused(clock: FakeClock) -> None:
    """A sample that would be young for years would keep all others; nothing is begun for it."""
    metrics = made(ttl="1m", clock=clock)
    with pytest.raises(ConfigError, match="ahead of the clock"):
        metrics.record("wall", 1, at=clock.now() + 1e9)
    with pytest.raises(ValueError, match="could not convert"):
        metrics.record("text", 1, at="noon")  # type: ignore[arg-type]
    assert metrics.names() == []
    metrics.record("a little ahead", 1, at=clock.now() + 5)
    assert metrics.names() == ["a little ahead"]


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_copy_is_refused_in_words(again: Callable[[Any], Any]) -> None:
    """Two collectors that share their series would each count the bytes."""
    with pytest.raises(TypeError, match="make another MetricsCollector"):
        again(made())
