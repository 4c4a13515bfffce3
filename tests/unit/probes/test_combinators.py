"""Laws of the functions that make probes out of probes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from membudget.core import Reading
from membudget.errors import ConfigError, ProbeError
from membudget.probes import every, tightest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from membudget.core import Probe

SIZES = st.integers(1, 1 << 40)
READINGS = st.builds(
    Reading,
    at=st.floats(0, 1e6),
    used=SIZES,
    limit=st.none() | SIZES,
    source=st.sampled_from("abcdef"),
    parts=st.dictionaries(st.sampled_from(["rss", "anon", "file"]), SIZES),
)


def always(reading: Reading) -> Probe:
    return lambda: reading


def broken() -> Reading:
    """A foreign source with a fault of its own."""
    raise KeyError("gone")


def unreadable() -> Reading:
    """A source that cannot be read."""
    raise ProbeError("cannot read /proc/x")


@given(st.lists(READINGS, min_size=1, max_size=5))
def test_the_source_nearest_to_its_limit_is_told(readings: list[Reading]) -> None:
    """Use, limit and source are those of one reading, and no other has a higher fraction."""
    told = tightest(*map(always, readings))()
    limited = [reading for reading in readings if reading.limit is not None]
    assert (told.used, told.limit, told.source) in [
        (reading.used, reading.limit, reading.source) for reading in limited or readings[:1]
    ]
    assert told.fraction == max([reading.fraction for reading in readings])


@given(st.lists(READINGS, min_size=1, max_size=5))
def test_no_part_is_lost_and_time_never_goes_back(readings: list[Reading]) -> None:
    """Every part of every source is told, as one of them has it, at the latest of their times."""
    told = tightest(*map(always, readings))()
    assert set(told.parts) == {name for reading in readings for name in reading.parts}
    for name, size in told.parts.items():
        assert size in [reading.parts.get(name) for reading in readings]
    assert told.at == max([reading.at for reading in readings])


def test_the_parts_of_the_source_told_take_precedence() -> None:
    """Where two sources know the same part, the one that is judged is believed."""
    loose = Reading(at=0.0, used=1, limit=100, parts={"rss": 1, "swap": 5})
    tight = Reading(at=0.0, used=9, limit=10, parts={"rss": 2})
    for probes in ((loose, tight), (tight, loose)):
        assert tightest(*map(always, probes))().parts == {"rss": 2, "swap": 5}


def test_a_source_that_fails_is_listed_and_the_others_count() -> None:
    """One broken source is told beside the reading and does not hide the rest."""
    reading = Reading(at=0.0, used=9, limit=10)
    told = tightest(broken, always(reading), unreadable)()
    assert (told.used, told.limit) == (9, 10)
    assert [str(error) for error in told.errors] == [
        "probe broken failed (KeyError: 'gone'): mend it, or leave it out",
        "cannot read /proc/x",
    ]
    assert isinstance(told.errors[0].__cause__, KeyError)


def test_errors_of_nested_readings_are_kept() -> None:
    """What one combination could not read is still told by the one around it."""
    inner = tightest(unreadable, always(Reading(at=0.0, used=1)))
    assert len(tightest(inner)().errors) == 1


def test_when_all_fail_the_error_names_them_all() -> None:
    """Nothing to judge is an error with every reason in it."""
    with pytest.raises(ProbeError, match=r"probe broken failed .*; cannot read /proc/x"):
        tightest(broken, unreadable)()


def test_no_sources_are_refused() -> None:
    """A combination of nothing could never tell anything."""
    with pytest.raises(ConfigError, match="at least one"):
        tightest()


def test_a_slow_source_is_asked_only_so_often() -> None:
    """Between two askings the last reading is told again, with the time it was taken."""
    at = 0.0
    asked: list[float] = []

    def slow() -> Reading:
        asked.append(at)
        return Reading(at=at, used=1)

    probe = every(2.0, slow, lambda: at)
    for at in (0.0, 1.0, 1.9, 2.0, 3.9):
        assert probe().at == (0.0 if at < 2.0 else 2.0)
    assert asked == [0.0, 2.0]


def test_a_slow_source_that_fails_is_asked_again_at_once() -> None:
    """An error is not repeated for the whole interval, nor hidden behind an old reading."""
    answers: Iterator[Reading | ProbeError] = iter(
        [Reading(at=0.0, used=1), ProbeError("gone"), Reading(at=3.0, used=3)]
    )

    def slow() -> Reading:
        answer = next(answers)
        if isinstance(answer, ProbeError):
            raise answer
        return answer

    at = 0.0
    probe = every(2.0, slow, lambda: at)
    assert probe().used == 1
    at = 2.0
    with pytest.raises(ProbeError, match="gone"):
        probe()
    assert probe().used == 3


def test_another_source_is_read_only_while_the_first_has_no_limit() -> None:
    """The machine's memory is no reason to shrink where the process has a limit of its own."""
    asked: list[str] = []
    first = [Reading(at=1.0, used=5, source="own")]

    def machine() -> Reading:
        asked.append("machine")
        return Reading(at=2.0, used=50, limit=100, source="machine")

    probe = tightest(lambda: first[0], otherwise=machine)
    assert (probe().source, probe().used) == ("machine", 50)
    asked.clear()
    first[0] = Reading(at=3.0, used=5, limit=10, source="own")
    assert probe().source == "own"
    assert asked == []
    first[0] = Reading(at=4.0, used=5, source="own")
    assert probe().source == "machine"


def test_where_the_first_cannot_be_read_the_other_is_told_with_the_error() -> None:
    """And where neither can, that is an error."""
    reading = tightest(
        unreadable, otherwise=always(Reading(at=1.0, used=1, limit=9, source="machine"))
    )()
    assert (reading.source, len(reading.errors)) == ("machine", 1)
    alone = tightest(always(Reading(at=1.0, used=1, source="own")), otherwise=unreadable)()
    assert (alone.source, len(alone.errors)) == ("own", 1)
    with pytest.raises(ProbeError, match="cannot read"):
        tightest(unreadable, otherwise=unreadable)()


def test_a_source_without_a_limit_is_read_where_there_is_a_reason() -> None:
    """Else now and then: a limit may be set at any time."""
    asked: list[int] = []

    def group() -> Reading:
        asked.append(1)
        return Reading(at=1.0, used=7)

    reasons = [False, True, False]
    probe = every(5.0, group, lambda: 0.0, is_due=lambda _last: reasons.pop(0))
    for _ in range(4):
        probe()
    assert len(asked) == 2
