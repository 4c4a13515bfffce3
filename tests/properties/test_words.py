"""What people read: no figure that cannot be, whatever is told."""

import re

from hypothesis import given
from hypothesis import strategies as st

from membudget.core import (
    AdmissionRefused,
    BrakeHit,
    FloorFound,
    Late,
    LeakSuspected,
    Level,
    LimitExceeded,
    LimitForeseen,
    Pressure,
    PressureChanged,
    Reading,
    Reclaimed,
    Started,
    Stopped,
)
from membudget.sinks import line_of
from membudget.units import (
    human_bytes,
    human_seconds,
    human_span,
    parse_bytes,
    parse_seconds,
    signed,
    until_limit,
    wrapped,
)

CANNOT_BE = re.compile(
    r"nan|\binf|-0 |0\.0 ms|\d{5,} [KMGTPE]?i?B|None|[-+]-\d| 0 B of 0 B", re.IGNORECASE
)

FAR = (
    0,
    1,
    1023,
    2**53,
    2**62,
    2**63 - 1,
    2**63,
    2**64,
    10**400,
    float("inf"),
    1e308,
    float("nan"),
)
SIZES = st.sampled_from(FAR) | st.sampled_from((-0.5, 0.5)) | st.floats() | st.integers()
COUNTS = st.sampled_from([0, 1, 2**40, 2**63 - 1, 2**64]) | st.integers(0, 2**63)
RATES = st.sampled_from([0.0, -0.0, -0.3, 0.4, 1e308]) | st.floats(allow_nan=False)
TIMES = st.sampled_from([0.0, 5e-324, 1e-5, 1e-4, 0.3, 1e9, 1e308, float("inf")])


@given(SIZES)
def test_no_figure_is_one_that_cannot_be(size: float) -> None:
    """Neither nan, infinite, minus nothing, nor more digits than a unit leaves."""
    for told in (human_bytes(size), signed(size), until_limit(size), human_span(size, size)):
        assert not CANNOT_BE.search(told), told
    assert re.fullmatch(r"(-?\d{1,4}(\.\d+)?|\?) [KMGTPE]?i?B", human_bytes(size))
    assert re.fullmatch(r"(\d{1,6}(\.\d)?|\?) (ms|s|min|h|d)", human_seconds(size))


@given(st.integers(1, 2**49), st.floats(0.01, 1e9))
def test_what_people_read_is_near_what_is_meant(size: int, seconds: float) -> None:
    """To the figures that are shown."""
    assert abs(parse_bytes(human_bytes(size)) - size) <= size * 0.006
    told = human_seconds(seconds).replace("min", "m")
    assert abs(parse_seconds(told) - seconds) <= seconds * 0.06


@given(COUNTS, COUNTS, st.none() | COUNTS.filter(bool), RATES, st.none() | TIMES, TIMES)
def test_no_line_has_a_figure_that_cannot_be(  # noqa: PLR0917
    one: int, two: int, limit: int | None, rate: float, left: float | None, took: float
) -> None:
    """Of each event with sizes, rates or times; shares of the limit are the exception."""
    pressure = Pressure(
        level=Level.CRITICAL, used=min(one, limit or one), limit=limit, growth=rate,
        seconds_left=left, cause="time", floor=two, elsewhere=two,
    )  # fmt: skip
    reading = Reading(at=0.0, used=pressure.used, limit=limit, source="configured")
    for event in (
        Started(at=0.0, reading=reading),
        Stopped(at=0.0, peak=one, limit=limit, reclaimed=two, levels={"NORMAL": took}, lasted=took),
        PressureChanged(at=0.0, before=Level.NORMAL, pressure=pressure),
        FloorFound(at=0.0, pressure=pressure, kept=two),
        FloorFound(at=0.0, pressure=pressure, kept=two, is_last=True),
        Reclaimed(at=0.0, by="x", rung=None, asked=one, claimed=two, measured=two - one, took=took),
        AdmissionRefused(at=0.0, asked=one, room=two, waited=took),
        BrakeHit(at=0.0, mapped=one, limit=two),
        LimitExceeded(at=0.0, name="x", used=one, limit=two),
        LeakSuspected(at=0.0, rate=rate, culprit="", confidence="low"),
        LimitForeseen(
            at=0.0, seconds_left=left, soonest=left, latest=left, rate=rate, used=one, limit=limit
        ),
        Late(at=0.0, by=took),
    ):
        line = str(line_of(event))
        assert not CANNOT_BE.search(line), line


@given(
    st.lists(st.sampled_from(["peak", "12.0 MiB", "3 s", "81 %", "of", "B", "7"])),
    st.integers(9, 40),
)
def test_no_figure_stands_on_another_line_than_its_unit(parts: list[str], width: int) -> None:
    """And the words stay as they are."""
    text = " ".join(parts)
    lines = wrapped(text, width)
    assert " ".join(lines) == text
    assert not any(re.match(r"(MiB|s|%)( |$)", line) for line in lines)
    assert all(len(line) <= width for line in lines)
