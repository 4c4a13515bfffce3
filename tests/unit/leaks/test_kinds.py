"""The kind of growth: who shows it, and what it is when it is no leak."""

from __future__ import annotations

from math import exp

import pytest

from leak_scene import MIB, UNASKED, followed, last, series
from membudget.leaks.records import Confidence, Kind
from membudget.leaks.series import PartSeries

COUNT = 145
HOURS = [step / 12 for step in range(COUNT)]


def grows(hour: float) -> float:
    """5 MiB an hour."""
    return 100 + 5 * hour


def test_a_leak_whose_objects_live_is_one_of_python() -> None:
    """Live blocks grow with it."""
    assert last(series(grows, noise=0.2)).kind is Kind.PYTHON


def test_a_leak_in_large_buffers_is_one_of_python_too() -> None:
    """Their memory is malloc's; what holds them shows in the blocks, little but steadily."""
    blocks = [1e5 + 40 * hour for hour in HOURS]
    assert last(series(grows, noise=0.2, blocks=blocks)).kind is Kind.PYTHON


def test_a_leak_that_only_malloc_shows_is_native() -> None:
    """Python's own blocks stand still."""
    blocks = [1e5 + 50 * (step % 5) for step in range(COUNT)]
    assert last(series(grows, noise=0.2, blocks=blocks)).kind is Kind.NATIVE


def test_growth_with_collection_off_is_garbage_first_of_all() -> None:
    """Whoever turned collection off is told so."""
    verdict = last(series(grows, noise=0.2, collecting=False))
    assert verdict.kind is Kind.GARBAGE


def test_collections_that_free_much_speak_for_garbage() -> None:
    """A tenth or more of what was looked at; a hundredth does not."""
    much = last(series(grows, noise=0.2, gc_efficiency=[0.3] * COUNT))
    little = last(series(grows, noise=0.2, gc_efficiency=[0.01] * COUNT))
    assert much.kind is Kind.GARBAGE
    assert little.kind is Kind.PYTHON


def test_growth_that_is_page_cache_is_called_so() -> None:
    """The kernel takes it back: it is told, and is no alarm."""
    file = [20 + 4 * hour for hour in HOURS]
    verdict = last(series(grows, noise=0.2, file=file))
    assert verdict.kind is Kind.FILE
    assert not verdict.is_leak


def test_children_that_grow_are_told_and_not_accused() -> None:
    """The process itself stands still; a sum over children is low at most."""
    verdict = last(series(lambda _: 100.0, noise=0.2, children=[50 + 9 * hour for hour in HOURS]))
    assert verdict.kind is Kind.CHILDREN
    assert verdict.confidence is Confidence.LOW
    assert verdict.rate == pytest.approx(9 * MIB, rel=0.05)


def test_a_step_has_its_time_and_its_size() -> None:
    """A model loaded at eight o'clock."""
    verdict = last(series(lambda hour: 100 + 40 * (hour >= 8), noise=0.2))
    assert verdict.kind is Kind.STEP
    assert verdict.step is not None
    assert verdict.step.at / 3600 == pytest.approx(8, abs=0.3)
    assert verdict.step.size == pytest.approx(40 * MIB, rel=0.05)


def test_a_warm_up_levels_off_at_its_plateau() -> None:
    """Told before it is reached."""
    verdict = last(series(lambda hour: 100 + 60 * (1 - exp(-hour / 4)), noise=0.1))
    assert verdict.kind is Kind.LEVELLING
    assert verdict.levels_off_at == pytest.approx(160 * MIB, rel=0.1)


def test_a_part_that_fills_up_is_named_with_the_time_it_is_full() -> None:
    """1000 items of 80 KiB by 20 000: full in 12 hours at 1.5 GiB."""
    items = [800 * hour for hour in HOURS]
    held = [count * 80 / 1024 for count in items]
    part = PartSeries(name="prices", items=items, held=held, most_items=20_000)
    verdict = last(
        series(lambda hour: 100 + 800 * hour * 80 / 1024, explained=held, parts=(part,), noise=0.2)
    )
    assert verdict.kind is Kind.FILLING
    (filling,) = verdict.filling
    assert filling.name == "prices"
    assert filling.full_in == pytest.approx((20_000 - 9600) / 800 * 3600, rel=0.02)
    assert filling.full_at == pytest.approx(20_000 * 80 * 1024, rel=0.01)
    assert filling.fill == pytest.approx(0.48, abs=0.01)
    assert "prices is filling up" in verdict.reason
    assert "full in 13 h" in verdict.reason


def test_a_full_part_fills_no_more() -> None:
    """What turns over at its bound is not filling."""
    items = [min(1000.0, 500 * hour) for hour in HOURS]
    part = PartSeries(name="prices", items=items, held=items, most_items=1000)
    assert last(series(lambda _: 100.0, parts=(part,), explained=items)).filling == ()


def test_what_stands_still_has_no_kind() -> None:
    """And no step, no plateau, no fill."""
    verdict = last(series(lambda _: 100.0, noise=0.3))
    assert verdict.kind is Kind.NONE
    assert (verdict.step, verdict.levels_off_at, verdict.filling) == (None, None, ())


@pytest.mark.parametrize("onset", [0.0, 9.0, 14.0])
def test_the_onset_is_where_the_trend_begins(onset: float) -> None:
    """Flat before, 8 MiB an hour after."""
    held = series(lambda hour: 100 + 8 * max(0.0, hour - onset), 24.0, noise=0.3)
    verdict = last(held)
    assert verdict.is_leak
    assert verdict.onset is not None
    assert verdict.onset / 3600 == pytest.approx(onset, abs=1.0)


def test_every_verdict_has_a_sentence() -> None:
    """With figures in it, whatever it says."""
    for held in (series(grows, 8.0, noise=0.2), series(lambda _: 100.0, 8.0)):
        for verdict in followed(held, UNASKED)[0]:
            assert verdict.reason.endswith(".")
            assert any(letter.isdigit() for letter in verdict.reason)
