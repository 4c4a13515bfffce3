"""What is aimed at, each held against peers in the same run."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from cells import HUGE, LARGE, SMALL, Cell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cells import Figures

_OURS, _PLAIN = "membudget full", "membudget"


class Aim(NamedTuple):
    """One aim and what was found: met where the figure is at most the bound.

    Attributes:
        rule: How the bound comes about.
        figure: Ours, the median.
        bound: The most that it may be.
    """

    what: str
    rule: str
    unit: str
    figure: float
    bound: float

    @property
    def is_met(self) -> bool:
        """Whether the figure keeps to the bound."""
        return self.figure <= self.bound


def aims(figures: Figures) -> list[Aim]:
    """All aims whose figures, and the peers' beside them, were measured."""
    return [*_speeds(figures), *_sizes(figures), *_pauses(figures)]


def _speeds(figures: Figures) -> Iterator[Aim]:
    for kind in ("str", "int"):
        for ours, name, factor, peer in (
            (_OURS, "hit", 1.25, "dict"),
            (_OURS, "hit", 1.0, "cachebox LRU"),
            (_OURS, "overwrite", 0.5, "cachebox VTTL"),
            (_OURS, "new", 0.5, "cachebox VTTL"),
            (_PLAIN, "new", 1.25, "cachebox LRU"),
            (_PLAIN, "miss", 1.25, "cachebox LRU"),
        ):
            mine = figures.of(Cell("speed", ours, SMALL, kind), name)
            theirs = figures.of(Cell("speed", peer, SMALL, kind), name)
            if mine and theirs:
                bound = factor * median(theirs)
                what = f"{name}, {ours}, 10 thousand {kind}"
                yield Aim(what, f"{factor:g} x {peer}", "ns", median(mine), bound)


def _sizes(figures: Figures) -> Iterator[Aim]:
    if found := figures.of(Cell("size"), "membudget"):
        yield Aim("weighing a JSON record in a set", "5 µs", "µs", median(found), 5.0)
    for kind in ("str", "int"):
        if found := figures.of(Cell("speed", _OURS, LARGE, kind), "bytes an entry"):
            yield Aim(f"memory an entry, a million {kind}", "100 B", "B", median(found), 100.0)


def _pauses(figures: Figures) -> Iterator[Aim]:
    for what, cell in (
        ("pause while a million expire", Cell("expire", _OURS, LARGE)),
        ("pause while four million are cleared", Cell("clear", _OURS, HUGE)),
    ):
        if found := added(figures, cell):
            yield Aim(what, "15 ms above control", "ms", median(found), 15.0)


def added(figures: Figures, cell: Cell) -> list[float]:
    """What a cell's pauses were above those that its control thread saw, by round."""
    pairs = zip(figures.of(cell, "pause"), figures.of(cell, "control"), strict=True)
    return [max(0.0, pause - control) for pause, control in pairs]
