"""The figures as tables for people: medians, with the quarter and three-quarter points beside."""

from __future__ import annotations

from statistics import median, quantiles
from typing import TYPE_CHECKING

from aims import added
from cells import CLEARING, EXPIRING, HUGE, LARGE, SMALL, Cell
from contestants import CONTESTANTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aims import Aim
    from cells import Figures

_ONE_THREAD = ("hit", "miss", "overwrite", "new")
_FOUR_THREADS = ("hit 4", "overwrite 4", "new 4")


def report(figures: Figures, found: Sequence[Aim]) -> str:
    """All tables, and what failed."""
    parts = [*_speeds(figures), _memory(figures), _size(figures), *_pauses(figures)]
    parts += [f"Failed: {cell}: {said}" for cell, said in figures.failed.items()]
    return "\n\n".join([*filter(None, parts), _aims(found)])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def _middle(found: Sequence[float], digits: int = 0) -> str:
    """The median, and between which points the middle half lies."""
    if not found:
        return "-"
    told = f"{median(found):.{digits}f}"
    if len(found) < 3:
        return told
    low, _, high = quantiles(found, n=4, method="inclusive")
    return f"{told} ({low:.{digits}f}-{high:.{digits}f})"


def _speeds(figures: Figures) -> Iterator[str]:
    for entries in (SMALL, LARGE):
        for kind in ("str", "int"):
            cells = [Cell("speed", name, entries, kind) for name in CONTESTANTS]
            cells = [cell for cell in cells if cell in figures.cells]
            if not cells:
                continue
            for names, how in (
                (_ONE_THREAD, "one thread, ns of processor time"),
                (_FOUR_THREADS, "four threads, ns by the wall clock"),
            ):
                rows = [
                    [cell.contestant, *(_middle(figures.of(cell, name)) for name in names)]
                    for cell in cells
                ]
                loops = [one for cell in cells for one in figures.of(cell, "loop")]
                told = f"{entries:,} entries, {kind} keys, {how} an operation"
                note = f"The bare loop's share of each figure is about {median(loops):.0f} ns."
                yield f"**{told}.** {note}\n\n{_table(['', *names], rows)}"


def _memory(figures: Figures) -> str:
    names = ("bytes an entry", "churned bytes an entry", "gc ms")
    rows = []
    for kind in ("str", "int"):
        for name in CONTESTANTS:
            cell = Cell("speed", name, LARGE, kind)
            if cell in figures.cells:
                said = [_middle(figures.of(cell, one), 1 if one == "gc ms" else 0) for one in names]
                rows.append([f"{name}, {kind}", *said])
    if not rows:
        return ""
    head = ["a million entries", "B an entry", "B an entry after new ones", "gc.collect() ms"]
    return f"**Memory beside keys and values.**\n\n{_table(head, rows)}"


def _size(figures: Figures) -> str:
    found = figures.cells.get(Cell("size"), {})
    rows = [[name, _middle(said, 2)] for name, said in found.items()]
    if not rows:
        return ""
    return f"**Weighing a JSON record of 70 objects.**\n\n{_table(['', 'µs'], rows)}"


def _pauses(figures: Figures) -> Iterator[str]:
    head = ["", "cpu ms", "ms", "pause ms", "control ms", "above it", "full MB", "after MB"]
    for what, told, names, entries in (
        ("expire", "Expiring a million entries", EXPIRING, LARGE),
        ("clear", "Clearing four million entries", CLEARING, HUGE),
    ):
        rows = []
        for name in names:
            cell = Cell(what, name, entries)
            if cell in figures.cells:
                said = [_middle(figures.of(cell, one)) for one in ("cpu ms", "took ms")]
                said += [_middle(figures.of(cell, one), 1) for one in ("pause", "control")]
                said.append(_middle(added(figures, cell), 1))
                said += [_middle(figures.of(cell, one)) for one in ("full MB", "after MB")]
                rows.append([name, *said])
        if rows:
            yield f"**{told}.** Pauses are those that another thread saw.\n\n{_table(head, rows)}"


def _aims(found: Sequence[Aim]) -> str:
    rows = [
        [
            aim.what,
            aim.rule,
            f"{aim.bound:.3g} {aim.unit}",
            f"{aim.figure:.3g} {aim.unit}",
            "met" if aim.is_met else "missed",
        ]
        for aim in found
    ]
    return f"**Aims.**\n\n{_table(['aim', 'at most', 'that is', 'figure', ''], rows)}"
