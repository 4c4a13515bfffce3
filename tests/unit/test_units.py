"""Text with units: what is read, what is refused, and that nothing is lost on the way."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from membudget.cache.cache import Cache
from membudget.errors import ConfigError
from membudget.registry import Registry
from membudget.settings import resolve
from membudget.units import (
    LONGEST_NAME,
    MOST_BYTES,
    MOST_SECONDS,
    as_bytes,
    as_seconds,
    checked_name,
    format_bytes,
    format_fraction,
    format_seconds,
    found_name,
    human_bytes,
    human_seconds,
    human_span,
    one_line,
    parse_bytes,
    parse_fraction,
    parse_mark,
    parse_seconds,
    until_limit,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("400MiB", 400 << 20),
        ("1.5 GiB", 3 << 29),
        ("64Mi", 64 << 20),
        ("10kb", 10_000),
        ("1_000B", 1000),
    ],
)
def test_a_size_with_a_unit_is_read(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    "text", ["400", "lots", "-5MiB", "0MiB", "4M", "", "MiB", "1e3MiB", "nanMiB"]
)
def test_a_size_that_must_be_guessed_is_refused_with_a_way_out(text: str) -> None:
    """The error names the value and shows what would be right."""
    with pytest.raises(ConfigError) as caught:
        parse_bytes(text, name="limit")
    assert repr(text) in str(caught.value)
    assert "MiB" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5m", 300), ("1h", 3600), ("2d", 172800), ("250ms", 0.25)]
)
def test_a_time_with_a_unit_is_read(text: str, seconds: float) -> None:
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["5", "5 minutes", "-1s", "0s", "soon"])
def test_a_time_without_a_known_unit_is_refused(text: str) -> None:
    """A bare number of seconds or minutes cannot be told apart."""
    with pytest.raises(ConfigError, match="time"):
        parse_seconds(text)


@pytest.mark.parametrize("text", ["0%", "101%", "0.8", "80", "-5%"])
def test_a_share_outside_its_range_is_refused(text: str) -> None:
    """A share needs its percent sign and lies above 0 and up to 100."""
    with pytest.raises(ConfigError, match="share"):
        parse_fraction(text)


def test_a_mark_is_a_share_or_a_size() -> None:
    """The percent sign decides which of the two a text is."""
    assert parse_mark("80%") == pytest.approx(0.8)
    assert parse_mark("500MiB") == 500 << 20


@pytest.mark.parametrize("value", [True, 1.5, 0, -1, None, []])
def test_an_argument_that_is_no_size_is_refused(value: object) -> None:
    """A bool or a float is not quietly taken as bytes."""
    with pytest.raises(ConfigError):
        as_bytes(value)  # type: ignore[arg-type]  # that is the case under test


@pytest.mark.parametrize("value", [True, 0, -1.0, float("inf"), float("nan"), None])
def test_an_argument_that_is_no_time_is_refused(value: object) -> None:
    """Endless and empty times are refused as well."""
    with pytest.raises(ConfigError):
        as_seconds(value)  # type: ignore[arg-type]  # that is the case under test


@given(st.integers(min_value=1, max_value=1 << 60))
def test_parsing_a_formatted_size_gives_it_back(size: int) -> None:
    """Parse ∘ format is the identity for sizes."""
    assert parse_bytes(format_bytes(size)) == size


@given(st.floats(min_value=0.001, max_value=1e9))
def test_parsing_a_formatted_time_gives_it_back(seconds: float) -> None:
    """Parse ∘ format is the identity for times, up to a float's own precision."""
    if "e" in repr(seconds):
        return
    assert parse_seconds(format_seconds(seconds)) == pytest.approx(seconds, rel=1e-12)


@given(st.integers(min_value=1, max_value=1000).map(lambda n: n / 1000))
def test_parsing_a_formatted_share_gives_it_back(share: float) -> None:
    assert parse_fraction(format_fraction(share)) == pytest.approx(share)


@pytest.mark.parametrize(
    "value",
    [2**63, 10**400, 10**5000, "8388608TiB", "9" * 60 + "B", "9" * 5000 + "B", "0" * 5000 + "1B"],
    ids=range(7),
)
def test_a_size_beyond_all_machines_is_refused_in_a_short_line(value: int | str) -> None:
    """An overflow deep inside would not say which setting it was."""
    with pytest.raises(ConfigError, match="limit") as caught:
        as_bytes(value, name="limit")
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "value", [10**400, 10**5000, "9" * 60 + "s", "9" * 5000 + ".5d", 1e300], ids=range(5)
)
def test_a_time_beyond_a_thousand_years_is_refused_in_a_short_line(value: float | str) -> None:
    """Python's own conversions would raise something else."""
    with pytest.raises(ConfigError, match="delay") as caught:
        as_seconds(value, name="delay")
    assert len(str(caught.value)) < 200


def test_the_largest_size_and_time_are_accepted() -> None:
    """The bounds themselves are within, and go through text."""
    assert as_bytes(MOST_BYTES) == parse_bytes(format_bytes(MOST_BYTES)) == 2**63 - 1
    assert as_seconds("365250d") == as_seconds(MOST_SECONDS) == MOST_SECONDS


@pytest.mark.parametrize("number", [10**400, -(10**400), 10**5000, 1 << 64], ids=range(4))
def test_no_figure_is_too_large_to_be_written(number: int) -> None:
    """A line that cannot be told would hide the event that it is about."""
    for write in (format_bytes, format_seconds, human_bytes, human_seconds):
        assert 0 < len(write(number)) < 30


def test_what_is_over_the_limit_is_not_called_at_it() -> None:
    told = [until_limit(0, over) for over in (-1, 0, 1)]
    assert told == ["at the limit", "at the limit", "over the limit"]
    assert [until_limit(left) for left in (0.2, 6.3)] == [
        *("reaches the limit within a second", "limit in 6.3 s"),
    ]


def test_people_read_about_three_figures() -> None:
    """Sizes and times for people are rounded, never scientific."""
    assert human_bytes(381 << 20) == "381 MiB"
    assert human_bytes(int(1.21 * (1 << 30))) == "1.21 GiB"
    assert human_bytes(12) == "12 B"
    assert human_seconds(0.0123) == "12 ms"
    assert human_seconds(0.0004) == "0.4 ms"
    assert human_seconds(19 * 3600) == "19 h"


def test_a_span_names_its_unit_once() -> None:
    """Unless the two are far apart."""
    assert human_span(8 << 20, 12 << 20) == "8.00 to 12.0 MiB"
    assert human_span(8 << 10, 12 << 20) == "8.00 KiB to 12.0 MiB"


FOREIGN = st.text(st.characters() | st.sampled_from("\n\r\x1b\x07\x00\u2028\u202e\ud800\x85\t "))
"""Text with what ends lines, moves cursors, turns directions, and cannot be encoded."""


@given(FOREIGN, st.integers(8, 300))
def test_foreign_text_becomes_one_printable_line_that_is_not_long(text: str, most: int) -> None:
    """Whatever it holds; and to do it again changes nothing."""
    line = one_line(text, most)
    assert len(line) <= most
    assert line.isprintable()
    assert len(line.encode().splitlines()) <= 1
    assert one_line(line, most) == line


def test_what_is_not_printable_is_still_to_be_seen() -> None:
    """As Python would write it; plain words stay as they are."""
    assert one_line("a\nb\x1b[31m \u202eärgern 5 °C") == "a b\\x1b[31m \\u202eärgern 5 °C"
    assert one_line("x" * 100) == "x" * 77 + "..."
    assert one_line("x" * 1_000_000, 10) == "xxxxxxx..."


def test_an_error_that_cannot_be_told_is_told_by_its_type() -> None:
    """Its own method is not ours, and may raise."""

    class OddError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert one_line(OddError()) == "a OddError without words"


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("", "is not a text"),
        (5, "is not a text"),
        ("x" * 201, r"has 201 characters, and 200 are the most: name it after"),
        ("a\nb", r"has the character '\\n', which no line can show: leave it out"),
        ("a\u202eb", r"has the character '\\u202e'"),
        ("a\ud800b", r"has the character '\\ud800'"),
    ],
)
def test_a_name_is_printable_and_short_or_refused(name: object, rule: str) -> None:
    """The value, the rule, and what to do; in one line."""
    with pytest.raises(ConfigError, match=rule) as raised:
        checked_name(name, "it after what it holds")
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 300


@given(FOREIGN)
def test_a_name_that_was_found_becomes_one_that_may_be_given(name: str) -> None:
    """A function's name is not the user's fault, and two long ones stay two."""
    long = name * 100 + "x" * LONGEST_NAME
    assert checked_name(found_name(f"f{name}"), "it")
    assert checked_name(found_name(long), "it")
    assert found_name(f"{long}a") != found_name(f"{long}b")


def test_a_good_name_stays_as_it_is() -> None:
    for name in ("prices", "Größe 5", "x" * LONGEST_NAME):
        assert checked_name(name, "it") == found_name(name) == name


def test_a_timedelta_stands_wherever_seconds_do() -> None:
    """As an argument and as a setting, in the compiled table too, and checked like a number."""
    assert as_seconds(timedelta(minutes=5)) == 300
    registry = Registry()
    cache = Cache[str, int]("prices", ttl=timedelta(hours=1), registry=registry)
    cache.set("a", 1)
    cache.set("b", 1, ttl=timedelta(minutes=1))
    assert cache.ttl_left("a") == pytest.approx(3600, abs=5)
    assert cache.ttl_left("b") == pytest.approx(60, abs=5)
    settings = resolve({"cleanup": {"settle": timedelta(seconds=2)}}, {})
    assert settings["cleanup.settle"] == 2
    for value in (timedelta(0), timedelta(days=-1)):
        with pytest.raises(ConfigError, match=r"ttl .* is not above zero"):
            cache.set("c", 1, ttl=value)
