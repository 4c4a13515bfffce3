"""The laws of judging, for any sequence of readings."""

from hypothesis import given
from hypothesis import strategies as st

from membudget.core import Level, Marks, Reading
from membudget.pressure import Judgement, judge

LIMIT = 1_000_000
MARKS = Marks()

_uses = st.lists(st.integers(min_value=0, max_value=LIMIT * 2), min_size=1, max_size=40)
_gaps = st.floats(min_value=0.005, max_value=5.0)


def _judged(uses: list[int], gap: float, passing: int = 0) -> Judgement:
    judgement: Judgement | None = None
    for step, used in enumerate(uses):
        reading = Reading(at=step * gap, used=used, limit=LIMIT, source="x")
        judgement = judge(reading, MARKS, judgement, passing=passing)
    assert judgement is not None
    return judgement


@given(_uses, _gaps, *[st.integers(min_value=0, max_value=LIMIT)] * 2)
def test_more_use_never_means_less_pressure(
    uses: list[int], gap: float, more: int, passing: int
) -> None:
    """Judging is monotone: raising the last reading never lowers the level.

    Whatever of it is to go again; and from EMERGENCY's mark on that counts in full.
    """
    higher = [*uses[:-1], uses[-1] + more]
    level = _judged(higher, gap, passing).pressure.level
    assert level >= _judged(uses, gap, passing).pressure.level
    if higher[-1] >= LIMIT * 0.95:
        assert level is Level.EMERGENCY


@given(_uses, _gaps, st.integers(min_value=0, max_value=int(LIMIT * 0.7)))
def test_from_any_state_calm_returns_to_normal(uses: list[int], gap: float, rest: int) -> None:
    """No latch: at or below low, three readings and a second later, the level is NORMAL."""
    calm = max(4, int(1.0 / gap) + 4)
    assert _judged([*uses, *[rest] * calm], gap).pressure.level is Level.NORMAL


@given(_uses, st.integers(min_value=0, max_value=int(LIMIT * 0.79)))
def test_idle_below_its_mark_no_level_lasts(uses: list[int], rest: int) -> None:
    """No latch in between either: idle below WARNING's mark for a minute is NORMAL."""
    assert _judged([*uses, *[rest] * 70], 1.0).pressure.level is Level.NORMAL


@given(_uses, _gaps, st.integers(min_value=int(LIMIT * 0.95), max_value=LIMIT * 2))
def test_use_that_stays_settles_on_the_level_of_its_mark(
    uses: list[int], gap: float, rest: int
) -> None:
    """Judging settles: what stays above 95 % is EMERGENCY, whatever came before."""
    assert _judged([*uses, rest, rest], gap).pressure.level is Level.EMERGENCY
