"""Laws of the verdict that hold for any history."""

from functools import partial
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from leak_scene import UNASKED, cut, followed, jitter, last, series
from membudget.leaks import Confidence, Rules
from membudget.leaks.evidence import weigh
from membudget.leaks.series import Series
from membudget.leaks.verdict import judge
from membudget.leaks.windows import columns, windows

ANYWHERE = Rules(
    collect_first=False,
    minimum_rate=0.0,
    minimum_share=0.0,
    minimum_growth=0.0,
    minimum_growth_share=0.0,
)
"""Rules without absolute sizes: what is left depends on shape alone."""

WALKS = st.lists(st.integers(-3, 5), min_size=100, max_size=100)
FEW = settings(max_examples=20, deadline=None)


def walk(steps: list[int], scale: float = 1.0, level: float = 1024.0) -> Series:
    """A history of binary fractions, so that scaling and shifting change no bit."""
    held, rss = level, []
    for step in steps:
        held += step
        rss.append(held * scale)
    return Series(hours=[place / 8 for place in range(len(rss))], rss=rss)


def findings(whole: Series) -> tuple[Confidence, tuple[str, ...]]:
    found = weigh(list(windows(columns(whole, ANYWHERE.settled))), ANYWHERE)
    return found.level, found.failed


def line(rate: float, hour: float) -> float:
    return 100 + rate * hour


@FEW
@given(WALKS, st.sampled_from([0.25, 0.5, 2.0, 8.0]))
def test_the_unit_of_memory_does_not_matter(steps: list[int], scale: float) -> None:
    """Scaled by a power of two, the same windows pass and fail for the same reasons."""
    assert findings(walk(steps)) == findings(walk(steps, scale))


@FEW
@given(WALKS, st.integers(-400, 4000))
def test_the_level_of_memory_does_not_matter(steps: list[int], shift: int) -> None:
    """Where no rule is a share of it."""
    assert findings(walk(steps)) == findings(walk(steps, level=1024.0 + shift))


@FEW
@given(WALKS, st.integers(0, 2**31))
def test_the_hour_of_the_calendar_does_not_matter(steps: list[int], origin: int) -> None:
    """A verdict depends on the hours since the process began only."""
    whole = walk(steps)
    here, _ = judge(whole, UNASKED, None)
    there, _ = judge(whole.replace(origin=float(origin)), UNASKED, None)
    assert (here.kind, here.rate, here.reason) == (there.kind, there.rate, there.reason)


@FEW
@given(st.floats(1.0, 1e6), st.integers(2, 48))
def test_a_constant_never_leaks(level: float, hours: int) -> None:
    verdict = last(series(lambda _: level, float(hours)), ANYWHERE, since=hours - 1.0)
    assert verdict.confidence is Confidence.NONE


@FEW
@given(WALKS, st.integers(0, 512))
def test_a_constant_explained_part_changes_nothing(steps: list[int], part: int) -> None:
    """A full cache is no growth and hides none."""
    whole = walk(steps, level=2048.0)
    held = whole.replace(explained=[float(part)] * len(whole.hours))
    assert findings(held) == findings(whole)


@FEW
@given(st.lists(st.floats(0.0, 40.0), min_size=2, max_size=5))
def test_the_faster_the_growth_the_surer_the_verdict(rates: list[float]) -> None:
    """At the same noise, more growth is never told with less confidence."""
    told = [
        last(series(partial(line, rate), 13.0, noise=0.3), since=11.5).confidence
        for rate in sorted(rates)
    ]
    assert all(slower <= faster for slower, faster in pairwise(told))


@FEW
@given(WALKS)
def test_what_falls_or_stands_still_never_leaks(steps: list[int]) -> None:
    falling = walk([min(step, 0) for step in steps])
    verdicts, _ = followed(falling, ANYWHERE)
    assert not [one for one in verdicts if one.confidence > Confidence.NONE]


@FEW
@given(st.floats(50.0, 500.0), st.floats(1.0, 50.0))
def test_a_restart_never_counts_as_growth(before: float, more: float) -> None:
    """The newest process alone is judged, whatever the one before it held."""
    rss = [before + more + 0.1 * jitter(step) for step in range(120)]
    hours = [step / 12 for step in range(120)]
    _, state = followed(series(lambda hour: before + 5 * hour, 10.0))
    verdict, _ = judge(Series(hours=hours, rss=rss, origin=1e6), UNASKED, state)
    assert verdict.confidence is Confidence.NONE


@FEW
@given(WALKS)
def test_the_same_samples_and_state_give_the_same_verdict(steps: list[int]) -> None:
    """Judging is pure."""
    whole = walk(steps)
    _, state = judge(cut(whole, 8.0), UNASKED, None)
    assert judge(whole, UNASKED, state) == judge(whole, UNASKED, state)


@FEW
@given(WALKS)
def test_a_verdict_is_of_one_piece(steps: list[int]) -> None:
    """Scores are shares, intervals hold their rate, and an alarm has a score to match."""
    verdicts, _ = followed(walk(steps))
    for one in verdicts:
        assert 0.0 <= one.score <= 1.0
        assert one.rate_low <= one.rate <= one.rate_high
        assert 0.0 <= one.growing_share <= 1.0
        assert one.onset is None or one.onset <= one.at
