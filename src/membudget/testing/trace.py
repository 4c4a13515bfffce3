"""Where leaked memory comes from: a few rounds with tracemalloc, and what grew meanwhile.

tracemalloc makes calls 4 to 7 times slower with one frame, so it runs only once a leak is sure.
"""

from __future__ import annotations

import gc
import os
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from membudget.core import traced
from membudget.probes.allocator import mallinfo
from membudget.testing.grown import Inventory
from membudget.testing.result import Line

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_ROUNDS = 3
_CALLS = 500
_SHOWN = 5
_MINOR = 0.05
_LIBRARY = os.path.dirname(os.__file__)

_Marks = dict[tuple[str, int], tuple[int, int]]

_OWN = os.path.dirname(__file__)


def trace(calls: int, between: Callable[[], object] | None) -> Generator[int, None, dict[str, Any]]:
    """Trace some rounds; `lines`, `untraced`, `types` and `containers` of a result.

    Tracing that is already on is used as it is, and stays on.

    Args:
        calls: In a round, at most.
        between: Called after each round.
    """
    calls = min(calls, _CALLS)
    begun = traced.begin()
    try:
        marks: list[_Marks] = []
        for number in range(_ROUNDS + 1):
            yield calls
            if between is not None:
                between()
            gc.collect()
            marks.append(_marks())
            if not number:  # The first round only brings things into place.
                before, began = Inventory(), _malloc()
        malloc = _malloc() - began
    finally:
        traced.end(begun)
    lines = _lasting(marks, calls)
    types, containers = before.grown(calls * _ROUNDS)
    return {
        "lines": lines[:_SHOWN],
        "untraced": _untraced(malloc / (calls * _ROUNDS), lines),
        "types": types,
        "containers": containers,
    }


def _marks() -> _Marks:
    """Bytes and blocks by line."""
    import tracemalloc

    found: _Marks = {}
    for one in tracemalloc.take_snapshot().statistics("lineno"):
        frame = one.traceback[0]
        if not frame.filename.startswith(_OWN) and frame.filename != tracemalloc.__file__:
            found[frame.filename, frame.lineno] = one.size, one.count
    return found


def _lasting(marks: list[_Marks], calls: int) -> tuple[Line, ...]:
    """The lines that had more after each round, the most bytes first."""
    import linecache

    lines = []
    for (file, line), (size, count) in marks[-1].items():
        sizes = [one.get((file, line), (0, 0))[0] for one in marks]
        if any(after <= before for before, after in pairwise(sizes)):
            continue
        _, first = marks[0].get((file, line), (0, 0))
        due = calls * (len(marks) - 1)
        lines.append(
            Line(
                file=file,
                line=line,
                bytes=(size - sizes[0]) / due,
                blocks=(count - first) / due,
                source=linecache.getline(file, line).strip(),
            )
        )
    most = sum(one.bytes for one in lines)
    return tuple(sorted(lines, key=lambda one: (_is_minor(one, most), -one.bytes)))


def _is_minor(line: Line, most: float) -> bool:
    """Whether a line is a library's or brings little: the program's own lines are told first."""
    return line.bytes < most * _MINOR or line.file.startswith((_LIBRARY, sys.prefix, "<"))


def _malloc() -> int:
    info = mallinfo()
    return info.in_use if info is not None else 0


def _untraced(malloc: float, lines: tuple[Line, ...]) -> float | None:
    """Bytes a call left in malloc where no line explains them; tracing's own table is in malloc.

    Each traced block costs about 64 bytes of table, so only what no line could bring is told.
    """
    if sys.platform == "win32" or malloc <= 0:
        return None
    explained = sum(one.bytes + 2 * 64 * one.blocks for one in lines)
    return malloc - explained if malloc > 2 * explained else None
