"""Drawing in a terminal: charts, colour by level, and lines that are redrawn in place.

Outside a terminal nothing is redrawn and nothing has a colour; NO_COLOR ends colour alone.
"""

from __future__ import annotations

import os
import shutil
import sys
from itertools import groupby
from typing import TYPE_CHECKING

import click

from membudget.units import wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDEST = 120  # Columns; what is wider is hard to read.
_NARROWEST, _HANGING = 40, 15  # Deeper than any line begins.
_STEPS = " ▁▂▃▄▅▆▇█"
_COLOURS = {"NORMAL": "32", "WARNING": "33", "CRITICAL": "31", "EMERGENCY": "1;31"}


class Screen:
    """Standard output, as wide as it is now."""

    def __init__(self) -> None:
        is_terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self.is_live: bool = is_terminal and self.width >= _NARROWEST
        self._is_coloured: bool = is_terminal and not os.environ.get("NO_COLOR")
        self._rows = 0

    @property
    def width(self) -> int:
        """The columns that a line may have."""
        return min(shutil.get_terminal_size().columns - 1, WIDEST)

    def painted(self, text: str, level: str) -> str:
        """Text in the colour of a level; any other word has none."""
        code = _COLOURS.get(level) if self._is_coloured else None
        return f"\x1b[{code}m{text}\x1b[0m" if code and text else text

    def redraw(self, lines: Sequence[str]) -> None:
        """Put these lines, none wider than the screen, in the place of those drawn before."""
        # What has left the screen at the top is out of reach.
        shown = lines[: shutil.get_terminal_size().lines - 1]
        up = f"\x1b[{self._rows}A" if self._rows else ""
        text = "".join(f"{line}\x1b[K\n" for line in shown)
        click.echo(f"{up}\r{text}\x1b[J", nl=False, color=True)
        self._rows = len(shown)

    def chart(self, columns: Sequence[tuple[float, str]], height: int = 1) -> list[str]:
        """Columns, each a share of the whole and a level, as rows from the top down."""
        rows = []
        for row in reversed(range(height)):
            cells = (
                (_STEPS[max(0, min(8, round(share * height * 8) - row * 8))], level)
                for share, level in columns
            )
            rows.append(
                "".join(
                    self.painted("".join(cell for cell, _ in run), level)
                    for level, run in groupby(cells, key=lambda one: one[1])
                )
            )
        return rows


def fitted(told: str, width: int, *, cuts_words: bool = False) -> str:
    """A line as lines of a terminal's columns; whole where there are 0, for `grep`."""
    if width < _NARROWEST or len(told) <= width:
        return told
    return "\n".join(
        wrapped(
            told,
            width,
            subsequent_indent=" " * _HANGING,
            break_on_hyphens=False,
            break_long_words=cuts_words,
        )
    )
