"""Where leaked memory comes from: some rounds with tracemalloc, and a census before and after.

Calls get 4 to 7 times slower, which is all right in a test that has failed.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from membudget.heap import CACHE, NOT_CONTAINERS
from membudget.heap.raw import type_name
from membudget.heap.taker import CensusTaker
from membudget.heap.window import begin_tracing, end_tracing, sums_by_line
from membudget.probes.allocator import in_use
from membudget.testing.result import Grown, Line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from membudget.heap import Census
    from membudget.heap.window import Sums

_ROUNDS, _CALLS, _SHOWN = 3, 500, 5
_LIBRARY = os.path.dirname(os.__file__)

_PLAIN = frozenset({"dict", "list", "tuple", "set", "cell", "function"})
"""Types that say little: named after those of the program."""

_FROM_US = ("membudget.testing.", "tracemalloc")


async def trace(
    function: Callable[[], object],
    calls: int,
    between: Callable[[], object],
    run: Callable[[int], Awaitable[None]],
) -> dict[str, Any]:
    """Trace some rounds; a result's `lines`, `untraced`, `types` and `containers`."""
    calls = min(calls, _CALLS)
    types, before = _types(), _census(function)
    begun, marks, malloc = begin_tracing(), list[Any](), list[int]()
    try:
        for _ in range(_ROUNDS + 1):  # The first only brings things into place.
            await run(calls)
            between()
            gc.collect()
            marks.append(sums_by_line())
            malloc.append(in_use() or 0)
    finally:
        end_tracing(begun)
    lines = _lasting(marks, calls)
    due = calls * (_ROUNDS + 1)
    more = list(_more("type", types, _types(), due))
    containers = []
    if before is not None and (after := _census(function, before)) is not None:
        containers = [
            one.replace(newest=after.detail(kind, one.name).newest)
            for kind, counts in after.counts.items()
            if kind == CACHE or kind not in NOT_CONTAINERS
            for one in _more(kind, before.counts.get(kind, {}), counts, due)
        ]
    left = (malloc[-1] - malloc[0]) / (calls * _ROUNDS)
    # Tracing has a table in malloc, about 64 bytes a block: only what no line could bring counts.
    explained = sum(one.bytes + 2 * 64 * one.blocks for one in lines)
    # Looking brings a few objects as well; beside a leak they are not worth a line.
    least = max((one.each for one in [*more, *containers]), default=0.0) / 5
    more.sort(key=lambda one: (one.name in _PLAIN, -one.each))
    containers.sort(key=lambda one: -one.each)
    return {
        "lines": lines[:_SHOWN],
        "untraced": left - explained if left > max(0.0, 2 * explained) else None,
        "types": tuple(one for one in more if one.each >= least)[:_SHOWN],
        "containers": tuple(one for one in containers if one.each >= least)[:_SHOWN],
    }


def _types() -> Mapping[str, int]:
    found: dict[str, int] = {}
    for kind, count in Counter(map(type, gc.get_objects())).items():
        name = type_name(kind)
        if not name.startswith(_FROM_US):
            found[name] = found.get(name, 0) + count
    return found


def _census(function: Callable[[], object], before: Census | None = None) -> Census | None:
    """What is held where; None after ten seconds."""
    taker = CensusTaker(before, extra=[("the function", function)], redact=str)
    until = time.monotonic() + 10.0
    while (census := taker.step(until)) is None and time.monotonic() < until:
        pass
    return census


def _more(
    kind: str, before: Mapping[str, int], after: Mapping[str, int], calls: int
) -> Iterator[Grown]:
    """What grew at one call in two hundred, or more often."""
    least = max(2, calls / 200)
    for name, now in after.items():
        more = now - before.get(name, 0)
        if more >= least:
            yield Grown(name=name, kind=kind, each=more / calls, now=now)


def _lasting(marks: list[Sums], calls: int) -> tuple[Line, ...]:
    """The lines that had more after each round, the most bytes first."""
    import linecache

    lines = []
    for place, (size, count) in marks[-1].items():
        each = [one.get(place, (0, 0)) for one in marks]
        if any(after[0] <= before[0] for before, after in pairwise(each)):
            continue
        due = calls * (len(marks) - 1)
        lines.append(
            Line(
                file=place[0],
                line=place[1],
                bytes=(size - each[0][0]) / due,
                blocks=(count - each[0][1]) / due,
                source=linecache.getline(*place).strip(),
            )
        )
    least = sum(one.bytes for one in lines) / 20

    def place_of(line: Line) -> tuple[bool, float]:
        # The program's own lines come before those of libraries and those that bring little.
        is_library = line.file.startswith((_LIBRARY, sys.prefix, "<"))
        return line.bytes < least or is_library, -line.bytes

    return tuple(sorted(lines, key=place_of))
