"""The records of the report: what it says, before it is text, JSON or a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.core import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from membudget.core import Sample
    from membudget.forecast import Forecast
    from membudget.leaks.advice import Proposal
    from membudget.leaks.culprit import Culprit
    from membudget.leaks.records import Verdict


class Use(Record):
    """One figure over the time looked at, in bytes."""

    now: int
    average: int
    least: int
    most: int


class PartFigure(Record):
    """A cache or a container: what it holds, what it may hold, how full it is.

    Attributes:
        name: Its name.
        kind: "Cache", "BoundedDeque", "watched", "component".
        items: Items now, or None.
        bytes: Bytes now, or None.
        most_items: The most items it may hold, or None.
        most_bytes: The most bytes it may hold, or None.
        ttl: Seconds that an item may stay, or None.
        fill: The fuller of its two shares, or None where it has no such bound.
        grew_items: Items gained since the process's first sample of the report, or None.
        grew_bytes: Bytes gained likewise, or None.
    """

    name: str
    kind: str
    items: int | None
    bytes: int | None
    most_items: int | None
    most_bytes: int | None
    ttl: float | None
    fill: float | None
    grew_items: int | None = None
    grew_bytes: int | None = None


class ModelFigure(Record):
    """A model that is loaded and unloaded: its state, bytes, uses, and seconds without use."""

    name: str
    state: str
    bytes: int | None = None
    uses: int | None = None
    idle: float | None = None


class OperationFigure(Record):
    """Spans of work of one name: how often, bytes left behind and seconds taken, all together."""

    name: str
    times: int
    grew: int | None = None
    took: float | None = None


class Happening(Record):
    """One event of the day: when (Unix seconds), of which kind, how grave, in one line."""

    wall: float
    kind: str
    severity: str
    text: str


class Odd(Record):
    """A figure whose newest samples are not what was to be expected; `score` in deviations."""

    name: str
    value: float
    expected: float
    score: float
    basis: str = ""


class Report(Record):
    """All that a report says.

    Attributes:
        made: Unix seconds of the newest sample; of now where there is none.
        name: What the process is called.
        pid: Its number, or 0.
        is_dated: Whether times are of a calendar; else they count from the recording's begin.
        hours: Hours asked for.
        samples: What was looked at, oldest first.
        span: Seconds between the first and the last of them.
        restarts: When earlier processes were last seen.
        use: The judged figure over the time looked at; None without samples.
        resident: Resident memory likewise.
        limit: Bytes, or None.
        headroom: Bytes left, below zero where it is over; None without a limit.
        marks: Bytes at which levels begin, by name.
        verdict: What was judged; None without samples.
        culprits: Who a leak is laid to, the largest share first.
        chain: A drawing of the chain from a root to the first culprit (SVG), or "".
        parts: Caches and containers, the largest first.
        models: Models.
        operations: Spans of work.
        happenings: Events of the day, oldest first.
        forecast: When the limit will be met.
        anomalies: Figures that are odd now.
        proposals: Settings that the history suggests.
        notes: What the reader should know of the data, a sentence each.
    """

    made: float
    name: str
    pid: int
    is_dated: bool
    hours: float
    samples: tuple[Sample, ...]
    span: float
    restarts: tuple[float, ...]
    use: Use | None
    resident: Use | None
    limit: int | None
    headroom: int | None
    marks: Mapping[str, int]
    verdict: Verdict | None
    culprits: tuple[Culprit, ...]
    chain: str
    parts: tuple[PartFigure, ...]
    models: tuple[ModelFigure, ...]
    operations: tuple[OperationFigure, ...]
    happenings: tuple[Happening, ...]
    forecast: Forecast
    anomalies: tuple[Odd, ...]
    proposals: tuple[Proposal, ...]
    notes: tuple[str, ...]
