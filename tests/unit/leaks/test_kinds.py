"""The kind of growth: who shows it, and what it is when it is no leak."""

from collections.abc import Callable
from math import exp, nan, sin

import pytest

from leak_scene import MIB, UNASKED, cut, followed, jitter, last, sample, series
from membudget.core import Sample
from membudget.leaks import Collected, Confidence, Kind, Rules
from membudget.leaks.series import PartSeries, Series
from membudget.leaks.verdict import judge, revised

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


def test_blocks_that_ceased_to_grow_do_not_make_a_leak_in_c_one_of_python() -> None:
    """A module was loaded and a cache filled up meanwhile: floors that rise, and ever slower."""
    blocks = [1e5 + 8000 * (1 - exp(-hour / 3)) + 4 * hour for hour in HOURS]
    assert last(series(grows, noise=0.2, blocks=blocks)).kind is Kind.NATIVE


def by_turns(hour: float) -> float:
    """5 MiB an hour on average, now faster and now slower."""
    return 100 + 5 * hour + 2.2 * sin(hour * 2.1)


@pytest.mark.parametrize(
    ("gained", "kind"), [(by_turns, Kind.PYTHON), (grows, Kind.NATIVE)], ids=["along", "not"]
)
def test_few_blocks_speak_for_python_where_they_rise_when_the_memory_does(
    gained: Callable[[float], float], kind: Kind
) -> None:
    """Some 400 an hour in both cases, and in both a little noise."""
    blocks = [1e5 + 80 * gained(hour) + 20 * jitter(step + 7) for step, hour in enumerate(HOURS)]
    assert last(series(by_turns, noise=0.1, blocks=blocks)).kind is kind


FEW = [1e5 + 400 * hour for hour in HOURS]
STILL = [1e5] * COUNT
MANY = [1e5 + 8e3 * hour for hour in HOURS]


@pytest.mark.parametrize(
    ("blocks", "reached", "kind"),
    [
        (FEW, None, Kind.PYTHON),
        (FEW, 0.05, Kind.NATIVE),
        (FEW, 0.3, Kind.PYTHON),
        (STILL, None, Kind.NATIVE),
        (STILL, 0.9, Kind.PYTHON),
        (MANY, 0.05, Kind.PYTHON),
    ],
    ids=["few", "few, not held", "few, in part", "still", "still, held", "many, not held"],
)
def test_where_the_counters_cannot_tell_who_holds_the_growth_does(
    blocks: list[float], reached: float | None, kind: Kind
) -> None:
    """A key for each large buffer, and what leaking C code leaves behind, count alike."""
    whole = series(grows, noise=0.2, blocks=blocks)
    _, state = followed(cut(whole, 11.5))
    verdict, _ = judge(whole, UNASKED, state.replace(reached=reached))
    assert verdict.kind is kind


def test_a_verdict_is_revised_by_who_looked_and_says_so() -> None:
    """At once, with its sentence; one whose kind was sure stays, and so does one of no leak."""
    before = last(series(grows, noise=0.2, blocks=FEW))
    assert "left behind by C code" in before.reason
    after = revised(before, 0.02)
    assert (after.kind, after.confidence) == (Kind.NATIVE, before.confidence)
    assert "what Python can reach does not" in after.reason
    assert revised(before, None) is before
    sure = last(series(grows, noise=0.2))
    assert revised(sure, 0.02) is sure
    calm = last(series(lambda _: 100.0))
    assert revised(calm, 0.02) is calm


def test_what_was_reached_is_forgotten_with_the_suspicion() -> None:
    ended = series(lambda hour: 100 + 10 * min(hour, 8.0), 16.0, noise=0.2)
    _, during = followed(cut(ended, 8.0))
    _, state = followed(ended, before=during.replace(reached=0.9), since=8.5)
    assert state.level is Confidence.NONE
    assert state.reached is None


def freed(*shares: tuple[float, float]) -> list[float]:
    """What full collections freed at some hours; none ran at the others."""
    found = [nan] * COUNT
    for hour, share in shares:
        found[round(hour * 12)] = share
    return found


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ({"collecting": False}, Kind.GARBAGE),
        ({"collecting": True}, Kind.PYTHON),
        ({"collecting": False, "blocks": STILL}, Kind.NATIVE),
        ({"collecting": False, "gc_efficiency": freed((11.0, 0.01))}, Kind.PYTHON),
        ({"collecting": False, "gc_efficiency": freed((11.0, 0.3))}, Kind.PYTHON),
        ({"gc_efficiency": freed((0.5, 0.3))}, Kind.GARBAGE),
        ({"gc_efficiency": freed((0.5, 0.01))}, Kind.PYTHON),
        ({"gc_efficiency": [0.3] * COUNT}, Kind.PYTHON),
    ],
    ids=[
        "off",
        "on",
        "off, but no objects",
        "off, collected by hand",
        "off, collected by hand for much",
        "the last freed much, long ago",
        "the last freed little",
        "each freed much, and it grew on",
    ],
)
def test_garbage_is_what_a_collection_would_free(columns: dict[str, object], kind: Kind) -> None:
    """What has outlived a full collection is none; nor is memory in which no objects live."""
    assert last(series(grows, noise=0.2, **columns)).kind is kind  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("freed_mib", "kind", "level"),
    [(1, Kind.PYTHON, Confidence.MEDIUM), (50, Kind.GARBAGE, Confidence.NONE)],
)
def test_with_collection_off_one_that_was_tried_decides(
    freed_mib: int, kind: Kind, level: Confidence
) -> None:
    """Who turned it off may have none of it: before, it may be garbage; after, it is or is not."""
    whole = series(grows, noise=0.2, collecting=False)
    verdicts, state = followed(cut(whole, 11.5), Rules())
    assert verdicts[-1].wants_collection
    assert verdicts[-1].kind is Kind.GARBAGE
    done = Collected(at=verdicts[-1].at, freed=freed_mib * MIB)
    verdict, _ = judge(whole, Rules(), state.replace(collected=done))
    assert (verdict.kind, verdict.confidence) == (kind, level)


def hourly(blocks: float, hours: float = 12.0, onset: float = 0.0, place: int = 0) -> list[Sample]:
    """A leak of malloc's, in samples of which one an hour knows it; so many blocks an hour grow."""
    gains = [max(0.0, step / 12 - onset) for step in range(round(hours * 12) + 1)]
    return [
        sample(
            step / 12,
            100 + 5 * gain + 0.2 * jitter(step),
            malloc=round((50 + 4.9 * gain) * MIB) if step % 12 == place or not step else None,
            blocks=round(1e5 + blocks * gain),
            gc_thresholds=(700, 10, 10),
        )
        for step, gain in enumerate(gains)
    ]


@pytest.mark.parametrize("onset", [0.0, 6.0])
@pytest.mark.parametrize("place", [0, 6])
@pytest.mark.parametrize(
    ("blocks", "kind"), [(400, Kind.PYTHON), (0, Kind.NATIVE)], ids=["Python's buffers", "C"]
)
def test_malloc_asked_once_an_hour_is_no_allocator_slack(
    blocks: float, kind: Kind, onset: float, place: int
) -> None:
    """Between two answers nothing is known of it, which is not that it stood still."""
    state, told = None, {}
    for half in range(2, 31):
        verdict, state = judge(Series.of(hourly(blocks, half / 2, onset, place)), UNASKED, state)
        if verdict.confidence > Confidence.NONE:
            told[half / 2 - onset] = verdict
    assert {one.kind for one in told.values()} == {kind}
    assert min(told) <= 3.0
    assert min(hour for hour, one in told.items() if one.is_leak) <= 7.0


def test_malloc_that_stands_still_at_each_hour_is_slack_all_the_same() -> None:
    """Asked seldom, it says no less."""
    samples = [
        one.replace(malloc=None if one.malloc is None else 50 * MIB, blocks=100_000)
        for one in hourly(0)
    ]
    verdicts, _ = followed(Series.of(samples))
    assert {one.kind for one in verdicts if one.confidence} == {Kind.SLACK}
    assert not any(one.is_leak for one in verdicts)


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


def test_what_a_process_takes_as_it_starts_is_no_step() -> None:
    """Modules and a model in the first quarter of an hour, and nothing since."""
    verdict = last(series(lambda hour: 60 + 80 * (hour >= 0.25), noise=0.2))
    assert verdict.kind is Kind.NONE
    late = last(series(lambda hour: 60 + 80 * (hour >= 0.25) + 30 * (hour >= 8), noise=0.2))
    assert late.kind is Kind.STEP
    assert late.step is not None
    assert late.step.at / 3600 == pytest.approx(8, abs=0.3)


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
    for held in (series(grows, 8.0, noise=0.2), series(lambda _: 100.0, 8.0)):
        for verdict in followed(held, UNASKED)[0]:
            assert verdict.reason.endswith(".")
            assert any(letter.isdigit() for letter in verdict.reason)
