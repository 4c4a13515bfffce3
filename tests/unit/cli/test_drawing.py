"""Charts of shares, and lines drawn over those drawn before."""

import io
import sys

import pytest

from membudget.cli.drawing import Screen, fitted


class Terminal(io.StringIO):
    """A terminal of 60 columns and 6 lines that keeps what is written to it."""

    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard output, from within a test: pytest has its own until then."""
    written = Terminal()
    monkeypatch.setattr(sys, "stdout", written)
    for name, text in (("TERM", "xterm"), ("NO_COLOR", ""), ("COLUMNS", "60"), ("LINES", "6")):
        monkeypatch.setenv(name, text)
    return written


def test_a_chart_fills_its_rows_from_below() -> None:
    """In eighths of a row; what is over the whole is the whole."""
    columns = [(share, "") for share in (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, -1.0)]
    assert Screen().chart(columns, 2) == ["   ▄██ ", " ▄████ "]
    assert Screen().chart(columns) == [" ▂▄▆██ "]


def test_neighbours_of_a_level_share_one_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two levels, two colours; a word that is no level has none."""
    terminal(monkeypatch)
    columns = [(1.0, "NORMAL"), (1.0, "NORMAL"), (1.0, "CRITICAL"), (1.0, "")]
    assert Screen().chart(columns) == ["\x1b[32m██\x1b[0m\x1b[31m█\x1b[0m█"]


@pytest.mark.parametrize(("name", "text"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colour_is_for_terminals_that_want_it(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nowhere else."""
    terminal(monkeypatch)
    monkeypatch.setenv(name, text)
    assert Screen().painted("text", "NORMAL") == "text"


def test_lines_are_drawn_over_those_before_as_many_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has left the screen at its top could not be reached again."""
    written, screen = terminal(monkeypatch), Screen()
    screen.redraw(["one", "two"])
    assert written.getvalue() == "\rone\x1b[K\ntwo\x1b[K\n\x1b[J"
    screen.redraw([str(number) for number in range(10)])
    screen.redraw(["last"])
    assert written.getvalue().endswith(
        "\x1b[2A\r"
        + "".join(f"{n}\x1b[K\n" for n in range(5))
        + "\x1b[J\x1b[5A\rlast\x1b[K\n\x1b[J"
    )


def test_lines_that_are_drawn_over_fit_whatever_their_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing of it is lost, or what is below would be drawn over."""
    terminal(monkeypatch)
    text = f"  a line of words and a path /{'longer than the screen/'.replace(' ', '-') * 4}"
    lines = fitted(text, Screen().width, cuts_words=True).split("\n")
    assert max(map(len, lines)) < 60
    assert "".join("".join(lines).split()) == "".join(text.split())
