"""The records of the verdict: what is said, how sure, and what must be known for the next one."""

from __future__ import annotations

from enum import IntEnum, StrEnum

from membudget.core import Record


class Kind(StrEnum):
    """What the growth is."""

    NONE = "no growth"
    STEP = "step"
    FILLING = "filling up"
    LEVELLING = "levelling off"
    PYTHON = "leak in Python objects"
    NATIVE = "native growth"
    SLACK = "allocator slack"
    GARBAGE = "uncollected garbage"
    FILE = "page cache"
    CHILDREN = "children"


class Confidence(IntEnum):
    """How sure a verdict is; an alarm is medium or high."""

    NONE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3


class SimpleFacts(Record):
    """What the simple rules in use would say: facts beside the verdict, not the verdict.

    Attributes:
        rate: MiB an hour, first to last sample of the newest hours.
        threshold: MiB an hour above which that rule speaks.
        hours: Hours that the rate was taken over.
        samples: Samples in them.
        is_above: Whether the rate, over enough hours and samples, is above the threshold.
        growing_share: Share of the samples above the one before.
        growth_per_sample: Mean growth from one sample to the next, as a share.
        running: How many of the newest samples in a row each grew.
        growth_over_window: Growth over those hours, as a share.
    """

    rate: float
    threshold: float
    hours: float
    samples: int
    is_above: bool
    growing_share: float
    growth_per_sample: float
    running: int
    growth_over_window: float


class Filling(Record):
    """A bounded part that is filling up.

    Attributes:
        name: The part's name.
        full_in: Seconds until it meets its bound, or None where that cannot be told.
        full_at: Bytes it will hold then, or None.
        fill: Share of its bound that is filled, or None.
        rate: Bytes an hour that it takes in.
    """

    name: str
    full_in: float | None
    full_at: int | None
    fill: float | None
    rate: float


class Step(Record):
    """One jump that explains most of the growth.

    Attributes:
        at: Unix seconds.
        size: Bytes.
    """

    at: float
    size: int


class Collected(Record):
    """What one collection and one trim gave back.

    Attributes:
        at: Unix seconds when they were done.
        freed: Bytes of the heap in use that the collection freed.
        returned: Bytes by which resident memory fell over both.
        uncollectable: Objects left in `gc.garbage`.
    """

    at: float
    freed: int = 0
    returned: int = 0
    uncollectable: int = 0


class State(Record):
    """What must be known to judge the next samples of the same process.

    Attributes:
        origin: When that process began; another origin begins anew.
        counted_at: Unix seconds of the last verdict that counted, or None.
        last: What it said by itself.
        agreeing: Verdicts in a row that said at least so much: one count a level, low first.
        level: The level that holds.
        without: Verdicts in a row below it.
        since: Unix seconds before which nothing counts, as after a collection that helped.
        rate: Bytes an hour, of the last window that passed: low, middle, high.
        growth: Bytes gained in that window.
        collected: What collecting before accusing gave back; set by who collected.
        cleared: The kind that a collection has shown, or None.
        reached: Share of the growth that lies in what Python can reach, by those who looked at it;
            None where nobody has.
    """

    origin: float = 0.0
    counted_at: float | None = None
    last: Confidence = Confidence.NONE
    agreeing: tuple[int, int, int] = (0, 0, 0)
    level: Confidence = Confidence.NONE
    without: int = 0
    since: float | None = None
    rate: tuple[float, float, float] = (0.0, 0.0, 0.0)
    growth: float = 0.0
    collected: Collected | None = None
    cleared: Kind | None = None
    reached: float | None = None


class Verdict(Record):
    """What the samples say.

    Attributes:
        at: Unix seconds of the newest sample.
        kind: What the growth is.
        confidence: How sure; two verdicts half an hour apart had to agree.
        score: From 0 to 1: 0.5 where growth was watched just as long as it must be.
        rate: Bytes an hour by which what nobody explains grows.
        rate_low: 5th percentile of the pairwise slopes, bytes an hour.
        rate_high: 95th percentile, bytes an hour.
        onset: Unix seconds from which on the trend holds, or None.
        growth: Bytes gained in the window.
        growing_share: Share of the window's samples above the one before.
        window: Seconds looked at.
        reason: One sentence with the figures.
        facts: What the simple rules say.
        filling: Bounded parts that are filling up.
        step: The jump that explains most of the growth, or None.
        levels_off_at: Bytes at which growth that slows down will end, or None.
        wants_collection: Whether one collection and one trim should come before the accusation.
        is_kind_sure: Whether the counters tell the kind; where they do not, a look at what Python
            can reach does.
    """

    at: float
    kind: Kind
    confidence: Confidence
    score: float
    rate: float
    rate_low: float
    rate_high: float
    onset: float | None
    growth: int
    growing_share: float
    window: float
    reason: str
    facts: SimpleFacts
    filling: tuple[Filling, ...] = ()
    step: Step | None = None
    levels_off_at: int | None = None
    wants_collection: bool = False
    is_kind_sure: bool = True

    @property
    def is_leak(self) -> bool:
        """Whether it is an alarm."""
        return self.confidence >= Confidence.MEDIUM
