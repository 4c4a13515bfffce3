"""The `.dat` files that memory_profiler's `mprof run` writes.

Lines: `CMDLINE words`, `MEM <MiB> <Unix time>`, `CHLD <number> <MiB> <Unix time>` for a child with
`--multiprocess`, and `FUNC <name> <MiB> <begin> <MiB> <end>` for a profiled function. Source: the
format as `mprof` of memory_profiler 0.61 writes it.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from membudget.core import Sample
from membudget.report.recorded import Lines, Recording, as_number, as_size, shown
from membudget.report.records import OperationFigure
from membudget.report.reduced import envelope
from membudget.sampling.form import COLLECTING

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST = 20_000
"""Samples kept: `mprof` takes ten a second, a day of which nobody can see."""

_MIB = 1 << 20
_FORMS = {
    "MEM": "MEM <MiB> <Unix time>",
    "CHLD": "CHLD <number> <MiB> <Unix time>",
    "FUNC": "FUNC <name> <MiB> <begin> <MiB> <end>",
}


class _Found:
    """What has been read so far."""

    def __init__(self) -> None:
        self.name = ""
        self.times = array("d")
        self.held = array("d")
        self.children: dict[float, float] = {}
        self.functions: dict[str, tuple[int, float, float]] = {}

    def take(self, row: str) -> None:
        """Read one line.

        Raises:
            ValueError: It does not fit.
        """
        field, _, rest = row.partition(" ")
        if field == "CMDLINE":
            self.name = rest.strip()
        elif field == "MEM":
            held, wall = self._numbers(field, rest.split(), 2)
            as_size(held, _MIB, field)
            self.times.append(wall)
            self.held.append(held)
        elif field == "CHLD":
            _, held, wall = self._numbers(field, rest.split(), 3)
            as_size(held, _MIB, field)
            self.children[wall] = self.children.get(wall, 0.0) + held
        elif field == "FUNC":
            # A name may hold spaces, as <lambda> of a generator's does not but a class's may.
            words = rest.rsplit(" ", 4)
            before, begin, after, end = self._numbers(field, words[1:], 4)
            times, grew, took = self.functions.get(words[0], (0, 0.0, 0.0))
            self.functions[words[0]] = (times + 1, grew + after - before, took + end - begin)
        else:
            raise ValueError(f"{shown(row)} begins with no field of mprof's")

    @staticmethod
    def _numbers(field: str, words: list[str], count: int) -> list[float]:
        if len(words) != count:
            raise ValueError(f"{shown(' '.join([field, *words]))} must be {_FORMS[field]}")
        return [as_number(word, field) for word in words]


def read_mprof(lines: Lines) -> Recording:
    """The samples of such a file.

    Raises:
        ConfigError: A line does not fit.
    """
    found, notes = _Found(), []
    for number, row in enumerate(lines.rows, 1):
        if not row.strip():
            continue
        try:
            found.take(row)
        except ValueError as error:
            if lines.may_break_off(number):
                notes.append(lines.note)
                continue
            raise lines.wrong(number, f"{error}:", "mend the line, or record anew") from None
        if row.startswith("MEM"):
            before = found.times[-2] if len(found.times) > 1 else None
            if not lines.is_in_time(number, found.times[-1], before):
                notes.append(lines.note)
                found.times.pop()
                found.held.pop()
    places: Iterable[int] = range(len(found.times))
    if len(found.times) > MOST:
        places = envelope(found.times, found.held, MOST)
        notes.append(
            f"Of {len(found.times):,} samples the lowest and highest of each "
            f"{(found.times[-1] - found.times[0]) / MOST * 2:.1f} s are kept."
        )
    return Recording(
        samples=tuple(_samples(found, places)),
        form="mprof",
        name=found.name,
        operations=tuple(
            OperationFigure(name=name, times=times, grew=round(grew * _MIB), took=took)
            for name, (times, grew, took) in found.functions.items()
        ),
        notes=tuple(notes),
    )


def _samples(found: _Found, places: Iterable[int]) -> Iterable[Sample]:
    began = found.times[0] if found.times else 0.0
    last = sorted(found.children)
    for place in places:
        wall, rss = found.times[place], as_size(found.held[place], _MIB, "MEM")
        children = _at(found, last, wall)
        yield Sample(
            at=wall,
            wall=wall,
            used=rss,
            rss=rss,
            children=children,
            gc_thresholds=COLLECTING,
            began=began,
        )


def _at(found: _Found, walls: list[float], wall: float) -> int | None:
    """Bytes of the children when a sample was taken: `mprof` looks at them right after it."""
    from bisect import bisect_left

    if not walls:
        return None
    place = bisect_left(walls, wall)
    near = [walls[at] for at in (place - 1, place) if 0 <= at < len(walls)]
    nearest = min(near, key=lambda one: abs(one - wall))
    return as_size(found.children[nearest], _MIB, "CHLD") if abs(nearest - wall) < 1.0 else 0
