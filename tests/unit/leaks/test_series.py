"""From samples to columns: one process, hours and MiB, restarts cut away."""

import pytest

from leak_scene import MIB, UNASKED, sample
from membudget.core import PartSample
from membudget.leaks import Confidence
from membudget.leaks.series import Series
from membudget.leaks.verdict import judge

BOUNDED = PartSample(name="prices", kind="Cache", items=5, bytes=2 * MIB, most_items=10, ttl=7200.0)
FREE = PartSample(name="orders", kind="watched dict", items=9)


def test_columns_are_hours_since_the_process_began_and_mib() -> None:
    """Counters become rates, bytes MiB; the origin is when the process began."""
    samples = [
        sample(hour, 100 + hour, malloc=50 * MIB, blocks=1000, requests=int(3600 * hour))
        for hour in (1.0, 2.0, 3.0)
    ]
    columns = Series.of(samples)
    assert list(columns.hours) == pytest.approx([1.0, 2.0, 3.0])
    assert list(columns.rss) == pytest.approx([101.0, 102.0, 103.0])
    assert columns.malloc == [50.0] * 3
    assert columns.requests == pytest.approx([1.0, 1.0, 1.0])
    assert columns.origin == 1000.0


def test_what_nobody_measured_is_no_column() -> None:
    """And what is missing now and then keeps the last figure that was known."""
    samples = [sample(1, 100), sample(2, 100, malloc=MIB), sample(3, 100)]
    columns = Series.of(samples)
    assert (columns.file, columns.children, columns.requests, columns.blocks) == (None,) * 4
    assert columns.malloc == [1.0, 1.0, 1.0]
    assert columns.asked == [False, True, False]
    assert Series.of(samples[1:2]).asked is None
    assert Series.of(samples[:1]).asked is None


def test_only_the_newest_process_is_in_a_series() -> None:
    before = [sample(hour, 500, pid=1, began=0.0) for hour in (1, 2)]
    after = [sample(hour, 100, pid=2, began=9000.0) for hour in (1, 2)]
    columns = Series.of([*before, *after])
    assert list(columns.rss) == [100.0, 100.0]


def test_a_restart_is_no_growth() -> None:
    """From 50 MiB to 400 within a step: another process, another series."""
    before = [sample(step / 12, 50, pid=1, began=0.0) for step in range(100)]
    after = [sample(step / 12, 400, pid=2, began=40_000.0) for step in range(60)]
    verdict, _ = judge(Series.of([*before, *after]), UNASKED, None)
    assert verdict.confidence is Confidence.NONE
    assert verdict.growth == 0


def test_bounded_parts_become_columns_and_others_do_not() -> None:
    """Only a declared bound makes growth one with an end."""
    columns = Series.of([sample(1, 100), sample(2, 100, parts=(BOUNDED, FREE), explained=2 * MIB)])
    (part,) = columns.parts
    assert part.name == "prices"
    assert list(part.items or ()) == [0.0, 5.0]
    assert list(part.held or ()) == [0.0, 2.0]
    assert (part.most_items, part.most_held, part.ttl) == (10, None, 2.0)
    assert list(columns.unexplained) == [100.0, 98.0]
    assert BOUNDED.is_bounded
    assert not FREE.is_bounded


def test_collection_that_never_starts_is_off() -> None:
    """By gc.disable, or by a first threshold of zero."""
    on = sample(1, 100, gc_thresholds=(700, 10, 10))
    assert Series.of([on]).collecting is True
    assert Series.of([on.replace(gc_enabled=False)]).collecting is False
    assert Series.of([on.replace(gc_thresholds=(0, 0, 0))]).collecting is False


def test_no_samples_are_an_empty_series() -> None:
    assert list(Series.of([]).hours) == []
