"""The cells: which are measured, each a fresh process, and the figures they gave by round."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from contestants import CONTESTANTS

_WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "worker.py")
_PATIENCE = 180.0

SMALL, LARGE, HUGE = 10_000, 1_000_000, 4_000_000

_QUICK = ("dict", "cachebox LRU", "cachebox VTTL", "membudget full", "membudget lru full")
_SLOW = ("theine", "theine ttl", "cachetools TLRU")
_LARGE_EVERY = 3

EXPIRING = ("membudget full", "cachebox VTTL", "cachetools TLRU", "moka full", "theine ttl")
CLEARING = ("membudget full", "dict", "cachebox LRU", "cachebox VTTL", "cachetools LRU", "lru-dict")


class Cell(NamedTuple):
    """What one process measures: its arguments."""

    what: str
    contestant: str = ""
    entries: int = 0
    kind: str = "str"

    def __str__(self) -> str:
        return " ".join(str(one) for one in self if one)


@dataclass
class Figures:
    """What all processes gave, by cell and by figure, one number a round."""

    cells: dict[Cell, dict[str, list[float]]] = field(default_factory=dict)
    failed: dict[Cell, str] = field(default_factory=dict)

    def add(self, cell: Cell, said: dict[str, float]) -> None:
        """Take in what one process gave."""
        known = self.cells.setdefault(cell, {})
        for name, figure in said.items():
            known.setdefault(name, []).append(figure)

    def of(self, cell: Cell, name: str) -> list[float]:
        """The figures of that name, none where it was not measured."""
        return self.cells.get(cell, {}).get(name, [])


def plan(rounds: int, *, is_quick: bool) -> list[Cell]:
    """All cells in the order in which they run: rounds go over all contestants in turn.

    What takes most of the time has fewer rounds: a million entries and pauses every third round,
    int keys there and the slowest peers one round; a quick run one round of either.
    """
    names = [name for name, one in CONTESTANTS.items() if one.is_installed]
    kinds = ("str",) if is_quick else ("str", "int")
    cells: list[Cell] = []
    for number in range(rounds):
        cells.append(Cell("size"))
        cells += [Cell("speed", name, SMALL, kind) for kind in kinds for name in names]
        if number == 0:
            cells += _quick_large(names) if is_quick else _large(names, kinds)
        elif number % _LARGE_EVERY == 0 and not is_quick:
            cells += _large([name for name in names if name not in _SLOW], ("str",))
    return cells


def _large(names: list[str], kinds: tuple[str, ...]) -> list[Cell]:
    return [
        *(Cell("speed", name, LARGE, kind) for kind in kinds for name in names),
        *(Cell("expire", name, LARGE) for name in EXPIRING if name in names),
        *(Cell("clear", name, HUGE) for name in CLEARING if name in names),
    ]


def _quick_large(names: list[str]) -> list[Cell]:
    cells = [
        *(Cell("speed", name, LARGE, "str") for name in _QUICK),
        *(Cell("expire", name, LARGE) for name in ("membudget full", "cachebox VTTL")),
        *(Cell("clear", name, HUGE) for name in ("membudget full", "cachebox LRU")),
    ]
    return [cell for cell in cells if cell.contestant in names]


def run(cells: list[Cell]) -> Figures:
    """Run them one after another, and say how far it is on standard error."""
    figures, began = Figures(), time.monotonic()
    for number, cell in enumerate(cells, start=1):
        argv = [sys.executable, _WORKER, *(str(one) for one in cell)]
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, timeout=_PATIENCE, check=True
            )
        except subprocess.TimeoutExpired:
            figures.failed[cell] = f"took more than {_PATIENCE:.0f} s"
        except subprocess.CalledProcessError as error:
            told = error.stderr.strip().splitlines()
            figures.failed[cell] = told[-1] if told else f"ended with {error.returncode}"
        else:
            figures.add(cell, json.loads(done.stdout.splitlines()[-1]))
        said = figures.failed.get(cell, "done")
        spent = time.monotonic() - began
        print(f"{number}/{len(cells)}, {spent:.0f} s: {cell}: {said}", file=sys.stderr, flush=True)
    return figures
