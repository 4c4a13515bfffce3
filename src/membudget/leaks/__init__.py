"""Leaks: the verdict over samples, the kind of growth, who grows, what to do about it; all pure.

Here: what is said, how sure, what must be known for the next verdict; and what one demands, every
constant of the test. Its shape is that of a floor-trend test whose constants were set on recorded
traces of real processes and on seeded synthetic ones; moving any one of them by a quarter changes
little (bench/README.md has the table).
"""

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
    """What the simple rules in use would say: facts beside the verdict, not the verdict."""

    rate: float  # MiB an hour, first to last sample of the newest hours
    threshold: float  # MiB an hour above which that rule speaks
    hours: float  # Hours that the rate was taken over
    samples: int  # Samples in them
    is_above: bool  # Whether the rate, over enough hours and samples, is above the threshold
    growing_share: float  # Share of the samples above the one before
    growth_per_sample: float  # Mean growth from one sample to the next, as a share
    running: int  # How many of the newest samples in a row each grew
    growth_over_window: float  # Growth over those hours, as a share


class Filling(Record):
    """A bounded part that is filling up."""

    name: str  # The part's name
    full_in: float | None  # Seconds until it meets its bound, or None where that cannot be told
    full_at: int | None  # Bytes it will hold then, or None
    fill: float | None  # Share of its bound that is filled, or None
    rate: float  # Bytes an hour that it takes in


class Step(Record):
    """One jump that explains most of the growth."""

    at: float  # Unix seconds
    size: int  # Bytes


class Collected(Record):
    """What one collection and one trim gave back."""

    at: float  # Unix seconds when they were done
    freed: int = 0  # Bytes of the heap in use that the collection freed
    returned: int = 0  # Bytes by which resident memory fell over both


class State(Record):
    """What must be known to judge the next samples of the same process."""

    origin: float = 0.0  # When that process began; another origin begins anew
    counted_at: float | None = None  # Unix seconds of the last verdict that counted, or None
    # Verdicts in a row that said at least so much: one count a level, low first
    agreeing: tuple[int, int, int] = (0, 0, 0)
    level: Confidence = Confidence.NONE  # The level that holds
    without: int = 0  # Verdicts in a row below it
    # Unix seconds before which nothing counts, as after a collection that helped
    since: float | None = None
    # Bytes an hour, of the last window that passed: low, middle, high
    rate: tuple[float, float, float] = (0.0, 0.0, 0.0)
    growth: float = 0.0  # Bytes gained in that window
    # What collecting before accusing gave back; set by who collected
    collected: Collected | None = None
    cleared: Kind | None = None  # The kind that a collection has shown, or None
    # Share of the growth that lies in what Python can reach, by those who looked at it; None where
    # nobody has
    reached: float | None = None


class Verdict(Record):
    """What the samples say.

    Attributes:
        confidence: How sure; two verdicts half an hour apart had to agree.
        wants_collection: Whether one collection and one trim should come before the accusation.
        is_kind_sure: Whether the counters tell the kind; where they do not, a look at what Python
            can reach does.
    """

    at: float  # Unix seconds of the newest sample.
    kind: Kind = Kind.NONE  # What the growth is.
    confidence: Confidence = Confidence.NONE
    score: float = 0.0  # From 0 to 1: 0.5 where growth was watched just as long as it must be.
    rate: float = 0.0  # Bytes an hour by which what nobody explains grows.
    rate_low: float = 0.0  # 5th percentile of the pairwise slopes, bytes an hour.
    rate_high: float = 0.0  # 95th percentile, bytes an hour.
    onset: float | None = None  # Unix seconds from which on the trend holds, or None.
    growth: int = 0  # Bytes gained in the window.
    growing_share: float  # Share of the window's samples above the one before.
    window: float  # Seconds looked at.
    reason: str = ""  # One sentence with the figures.
    facts: SimpleFacts  # What the simple rules say.
    filling: tuple[Filling, ...] = ()  # Bounded parts that are filling up.
    step: Step | None = None  # The jump that explains most of the growth, or None.
    levels_off_at: int | None = None  # Bytes at which growth that slows down will end, or None.
    wants_collection: bool = False
    is_kind_sure: bool = True

    @property
    def is_leak(self) -> bool:
        """Whether it is an alarm."""
        return self.confidence >= Confidence.MEDIUM


class Rules(Record):
    """The constants of the verdict."""

    minimum_rate: float = 1.0  # MiB an hour below which growth is not worth a word
    minimum_share: float = 0.002  # The same as a share of the memory, an hour
    minimum_growth: float = 2.0  # MiB that must have been gained in a window
    minimum_growth_share: float = 0.02  # The same as a share of the memory
    min_duration: float = 2.0  # Hours watched before anything is said
    min_samples: int = 24  # Samples seen before anything is said
    settled: float = 0.5  # Hours after its beginning that a process is left alone
    apart: float = 0.5  # Hours between two verdicts that count as two
    agreeing: int = 2  # Verdicts in a row that must agree before a level holds
    clearing: int = 3  # Verdicts in a row without it after which a level ends
    tau: float = 0.6  # Share of rising less share of falling pairs of floors
    noise: float = 4.0  # Robust deviations that the growth must exceed
    kept: float = 0.6  # Share of the growth that may not have been given back
    slowest: float = 0.1  # Least slope of any quarter of the window, over the whole slope
    slow: float = 0.35  # The same for all quarters but one, and for the newest
    jumps: float = 0.8  # Most of the growth that two steps between floors may hold
    slowing: float = 0.8  # Least slope of the second half over that of the first
    bend: float = -2.0  # Least order of the increments, in deviations
    heap_bend: float = -2.5  # The same for the heap channels
    # A shorter window that bends this much has ended what the longer one shows
    stopped: float = -3.0
    ground: float = 0.6  # Least share of the growth above all earlier floors
    # Least growth over what bounded parts took in meanwhile: their items' size is an estimate, so
    # less is within its error
    explained: float = 0.25
    soonest: float = 5.0  # Hours that the straightest growth must be watched before it is medium
    # Hours added for growth whose quarters differ by as much as the whole slope
    patience: float = 20.0
    latest: float = 12.0  # Hours after which unevenness no longer matters
    onset: float = 1.0  # Hours added where the growth began within the process's life
    # Rate before the window, over the rate in it, above which it may be a fill's tail
    faster: float = 1.1
    tail: float = 12.0  # Hours such a tail must be watched
    sure_tail: float = 6.0  # The same where it clearly does not slow down any more
    # Growth of the requests within the window above which memory may follow load
    load_rise: float = 0.25
    load_watch: float = 24.0  # Hours that memory which follows load must be watched: a day
    unsupported: float = 24.0  # Hours after which growth that no heap channel shows may be medium
    high: float = 12.0  # Hours of growth for a high confidence
    # Whether a collection and a trim come before the first medium verdict
    collect_first: bool = True
    threshold_mb_per_hour: float = 10.0  # The simple rule's threshold, MiB an hour
    # Share of the live blocks freed by a full collection that was the last for long, from which
    # garbage explains the growth since
    gc_efficiency: float = 0.10


RECORDED = Rules(collect_first=False)
"""What is demanded of a recording: nobody can collect in it before accusing."""
