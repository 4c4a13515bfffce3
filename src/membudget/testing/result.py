"""What a leak check found: records without logic."""

from __future__ import annotations

from membudget.core import Record


class Line(Record):
    """A line whose allocations were still there, more of them after each traced round.

    Attributes:
        file: The source file, as the interpreter names it.
        line: Its number.
        bytes: Left by each call, on average.
        blocks: Left by each call, on average.
        source: The text of the line, or "".
    """

    file: str
    line: int
    bytes: float
    blocks: float
    source: str


class Grown(Record):
    """A type with more instances, or a container with more items, after the traced rounds.

    Attributes:
        name: Of the type, or of the container's owner as far as it was found.
        kind: "type", or the container's type such as "dict".
        each: How many came with each call, on average.
        now: How many there are.
        newest: The newest item in short, or "".
    """

    name: str
    kind: str
    each: float
    now: int
    newest: str = ""


class Left(Record):
    """What else was left behind: "tasks", "threads", "file descriptors" or "child processes".

    Attributes:
        kind: Which of these.
        count: How many more there were at the end than after the warm-up.
        names: Some of them.
    """

    kind: str
    count: int
    names: tuple[str, ...]


class Series(Record):
    """Rounds of one length.

    Attributes:
        calls: In each round.
        blocks: Growth of live blocks in each round.
        malloc: Growth of what malloc has handed out, in bytes, or None where it cannot be asked.
    """

    calls: int
    blocks: tuple[int, ...]
    malloc: tuple[int, ...] | None


class LeakResult(Record):
    """What a leak check found.

    Attributes:
        name: Of the function.
        is_leak: The verdict.
        memory: What grew and lasted: "blocks", "malloc", both or neither.
        warmup: Calls before the first round.
        cost: Seconds a call took in the rounds.
        took: Seconds the whole check took.
        series: The first rounds, and where all of those grew the second, longer series.
        lines: Where it was allocated, the most bytes first; empty where nothing was traced.
        untraced: Bytes a call left in malloc that Python's allocators know nothing of, or None.
        types: Types with more instances.
        containers: Containers with more items.
        left: Tasks, threads, descriptors and children left behind.
        notes: What the reader should know about how it was measured.
    """

    name: str
    is_leak: bool
    memory: tuple[str, ...]
    warmup: int
    cost: float
    took: float
    series: tuple[Series, ...]
    lines: tuple[Line, ...] = ()
    untraced: float | None = None
    types: tuple[Grown, ...] = ()
    containers: tuple[Grown, ...] = ()
    left: tuple[Left, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def calls(self) -> int:
        """Calls in all rounds, without the warm-up."""
        return sum(one.calls * len(one.blocks) for one in self.series)

    @property
    def blocks_per_call(self) -> float:
        """Live blocks each call left, by the last series."""
        return _each(self.series, [sum(one.blocks) for one in self.series])

    @property
    def malloc_per_call(self) -> float:
        """Bytes each call left in malloc, by the last series."""
        return _each(self.series, [sum(one.malloc or ()) for one in self.series])


def _each(series: tuple[Series, ...], sums: list[int]) -> float:
    if not series or not series[-1].blocks:
        return 0.0
    last = series[-1]
    return sums[-1] / (last.calls * len(last.blocks))
