"""What a leak check found: the rule, the records, and the words for who did not expect it.

That every round must grow is the rule of CPython's Lib/test/libregrtest/refleak.py: it found 53 of
54 leaks, the difference of end and start 48, with half the false alarms (caches still filling).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from membudget.core import Record
from membudget.core.wire import plain
from membudget.units import human_bytes, human_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LASTING = 0.7  # Growth of the last third ÷ that of the first from which it counts as lasting
_ROUNDS, _WHOLE = 6, 100


def least_growth(calls: int) -> int:
    """The least blocks or bytes of a round that count: below is what the surroundings bring."""
    return max(1, calls // 1000)


def grew_in_every(deltas: Sequence[int], least: int = 1) -> bool:
    """Whether there was growth of at least so much in each round; False without rounds."""
    return bool(deltas) and all(delta >= least for delta in deltas)


def pace(deltas: Sequence[int]) -> float:
    """Growth of the last third of the rounds as a share of the first third's; 0 with neither."""
    third = max(1, len(deltas) // 3)
    first, last = sum(deltas[:third]), sum(deltas[-third:])
    return last / first if first > 0 else 0.0


def is_lasting(deltas: Sequence[int], least: int = 1) -> bool:
    """Whether growth is in every round and does not die away."""
    return grew_in_every(deltas, least) and pace(deltas) >= LASTING


class Line(Record):
    """A line of source whose allocations stayed; `bytes` and `blocks` by each call, on average."""

    file: str
    line: int
    bytes: float
    blocks: float
    source: str


class Grown(Record):
    """A type with more instances, or a container with more items, after the traced rounds."""

    name: str  # The type's, or the container's owner as far as it was found
    kind: str  # "type", or the container's type
    each: float  # Came with each call, on average
    now: int
    newest: str = ""  # The newest item in short


class Left(Record):
    """How many more "tasks", "threads", "file descriptors" or "child processes", and some names."""

    kind: str
    count: int
    names: tuple[str, ...]


class Series(Record):
    """Rounds of so many calls: growth of live blocks in each, and of malloc's bytes if known."""

    calls: int
    blocks: tuple[int, ...]
    malloc: tuple[int, ...] | None


class LeakResult(Record):
    """What a leak check found."""

    name: str
    is_leak: bool
    memory: tuple[str, ...]  # What grew and lasted: "blocks", "malloc", both or neither
    warmup: int  # Calls before the first round
    cost: float  # Seconds a call took in the rounds
    took: float  # Seconds the whole check took
    series: tuple[Series, ...]  # The first, and where all of that grew the second, longer one
    lines: tuple[Line, ...] = ()  # Where it was allocated, the most bytes first
    untraced: float | None = (
        None  # Bytes a call left in malloc that Python's allocators do not know
    )
    types: tuple[Grown, ...] = ()  # Those with more instances
    containers: tuple[Grown, ...] = ()  # Those with more items
    left: tuple[Left, ...] = ()
    notes: tuple[str, ...] = ()  # What the reader should know about how it was measured

    @property
    def calls(self) -> int:
        """Calls in all rounds, without the warm-up."""
        return sum(one.calls * len(one.blocks) for one in self.series)

    @property
    def blocks_per_call(self) -> float:
        """Live blocks each call left, by the last series."""
        return self._each(self.series[-1].blocks)

    @property
    def malloc_per_call(self) -> float:
        """Bytes each call left in malloc, by the last series."""
        return self._each(self.series[-1].malloc or ())

    def _each(self, deltas: tuple[int, ...]) -> float:
        return sum(deltas) / (self.series[-1].calls * max(1, len(deltas)))


def explain(result: LeakResult) -> str:
    """What was found, the verdict first. A line for each thing to look at."""
    calls = f"{result.calls:,} calls in {sum(len(one.blocks) for one in result.series)} rounds"
    told = [f"{result.name}: no leak in {calls}"]
    if result.is_leak:
        parts = [_memory(result)] if result.memory else []
        what = " and ".join([*parts, *(f"{left.count} {left.kind}" for left in result.left)])
        told = [f"{result.name} leaks {what} ({calls} after {result.warmup:,} of warm-up)"]
    for title, lines in _details(result):
        for number, line in enumerate(lines):
            told.append(f"  {title if not number else '':<18}{line}")
    return "\n".join(told)


def _memory(result: LeakResult) -> str:
    parts = []
    if traced := sum(line.bytes for line in result.lines):
        parts.append(f"about {_size(traced + (result.untraced or 0))} a call")
    if "blocks" in result.memory:
        parts.append(f"{_count(result.blocks_per_call)} live objects a call")
    elif "malloc" in result.memory:
        parts.append(f"{_size(result.malloc_per_call)} of malloc a call")
    return ", ".join(parts)


def _details(result: LeakResult) -> Iterator[tuple[str, Sequence[str]]]:
    here, at = os.path.join(os.getcwd(), ""), []
    for line in result.lines:
        where = f"{line.file.removeprefix(here)}:{line.line}"
        at.append(f"{where}  {_size(line.bytes)} a call, {_count(line.blocks)} objects")
        at += [f"    {line.source}"] if line.source else []
    yield "allocated at", at
    if result.memory and result.untraced is not None:
        size = _size(result.untraced)
        yield "untraced", [f"{size} a call by C code, not through Python's allocators"]
    grew = []
    for one in result.containers:
        newest = f"; the newest: {one.newest}" if one.newest else ""
        each = f"+{_count(one.each)} items a call, now {one.now:,}{newest}"
        grew.append(f"{one.name} ({one.kind})  {each}")
    yield "grew", grew
    yield "types", [f"{one.name}  +{_count(one.each)} a call" for one in result.types]
    for left in result.left:
        yield left.kind, left.names
    if result.memory:
        yield "rounds", [_series(one, result.memory) for one in result.series]
    yield "note", result.notes


def _series(series: Series, memory: tuple[str, ...]) -> str:
    told = []
    for kind in memory:
        deltas = getattr(series, kind) or ()
        shown = " ".join(f"{delta:+,}" for delta in deltas[:_ROUNDS])
        more = " …" if len(deltas) > _ROUNDS else ""
        unit = "objects" if kind == "blocks" else "B of malloc"
        told.append(f"{shown}{more} {unit}, last third at {pace(deltas):.2f} of the first")
    return f"{len(series.blocks)} of {series.calls:,} calls: {'; '.join(told)}"


def _size(size: float) -> str:
    return human_bytes(size) if size >= _WHOLE else f"{size:.2g} B"


def _count(count: float) -> str:
    """Three digits, and never a power of ten: "0.25", "2.5", "1,200"."""
    return f"{count:,.0f}" if abs(count) >= _WHOLE else f"{count:.3g}"


def cost_in_words(result: LeakResult) -> str:
    """How long it took, and a call of it."""
    cost = result.cost
    each = human_seconds(cost) if cost * 1000 >= 1 else f"{_count(cost * 1e6)} µs"
    return f"{human_seconds(result.took)}, {each} a call"


def as_json_value(result: LeakResult) -> dict[str, Any]:
    """The result as plain values, for `json`."""
    told: dict[str, Any] = plain(result)
    each = {"blocks_per_call": result.blocks_per_call, "malloc_per_call": result.malloc_per_call}
    return told | each
