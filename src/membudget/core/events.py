"""The events: everything the governor tells, a record each. Sinks match on the type."""

from __future__ import annotations

from enum import IntEnum

from membudget.core.nouns import Level, Pressure, Reading, Rung, Sample
from membudget.core.wire import Record


class Severity(IntEnum):
    """How much an event matters to people; the numbers are those of `logging`."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40
    CRITICAL = 50


_WORTH_A_LINE = 1 << 20  # Bytes freed that people are told of, where as much was asked for.
_GRAVELY_LATE = 1.0  # Seconds that people are told of: a busy machine is late by less.

_OF_LEVEL = {
    Level.NORMAL: Severity.INFO,
    Level.WARNING: Severity.WARNING,
    Level.CRITICAL: Severity.ERROR,
    Level.EMERGENCY: Severity.CRITICAL,
}


class Event(Record):
    """What the governor tells, and when (monotonic seconds)."""

    at: float

    @property
    def severity(self) -> Severity:
        """How much it matters; INFO where its class says nothing else."""
        return Severity.INFO


class Started(Event):
    """A budget began: which limit it keeps and where that was found."""

    reading: Reading
    note: str = ""

    @property
    def severity(self) -> Severity:
        """WARNING when there is no limit to keep, else INFO."""
        return Severity.INFO if self.reading.limit is not None else Severity.WARNING


class Shortcoming(Event):
    """Something keeps the budget from all that was asked for: what it is, and what would help."""

    what: str
    severity = Severity.WARNING


class Stopped(Event):
    """A budget ended: what it saw and did (bytes; levels by name with seconds spent)."""

    peak: int
    limit: int | None
    reclaimed: int
    levels: dict[str, float]
    lasted: float


class Sampled(Event):
    """A sample was taken, once every snapshot interval."""

    reading: Reading
    pressure: Pressure
    governed: int
    blocks: int | None = None
    sample: Sample | None = None  # None where nobody takes samples, as under a bare `Governor`.
    severity = Severity.DEBUG


class PressureChanged(Event):
    """The level changed; `again` is how often it rose to this level since that was told as news."""

    before: Level
    pressure: Pressure
    again: int = 0

    @property
    def severity(self) -> Severity:
        """That of the level going up, INFO going down and where it is no news."""
        level = self.pressure.level
        return _OF_LEVEL[level] if level > self.before and not self.again else Severity.INFO


class FloorFound(Event):
    """Emptying caches does not lower use far enough: what is too much is not in them.

    Told once, and once more where EMERGENCY finds nothing left to free (`is_last`).
    """

    pressure: Pressure
    kept: int  # Bytes that caches may keep above it; 0 where they had nothing.
    held_by: str = ""  # Where the memory lies, in words.
    culprit: str = ""  # What a leak was last said to be in.
    is_last: bool = False
    is_braked: bool = False  # Whether the brake is armed, and whether the process would end by
    ends: bool = False  # itself, to be started again: neither has to be advised.

    @property
    def severity(self) -> Severity:
        """ERROR where nothing is left, else WARNING."""
        return Severity.ERROR if self.is_last else Severity.WARNING


class Reclaimed(Event):
    """A reclaimer was asked and answered (bytes; `took` in seconds)."""

    by: str
    rung: Rung | None
    asked: int
    claimed: int  # What it says it freed.
    measured: int  # How far use fell meanwhile, negative when it rose.
    took: float
    objects: int | None = None  # Those that a collection freed, where that is known.

    @property
    def severity(self) -> Severity:
        """INFO when something worth a line was freed, else DEBUG."""
        least = max(1, min(self.asked, _WORTH_A_LINE))
        return Severity.INFO if max(self.claimed, self.measured) >= least else Severity.DEBUG


class ProtectionTried(Event):
    """The shutdown threshold was reached and everything was asked once more to free memory."""

    attempt: int  # From 1; `most` come before the last resort.
    most: int
    outcome: str  # "recovered", "not enough", "exit" or "admission shut".
    source: str = ""  # Whose limit it is.

    @property
    def severity(self) -> Severity:
        """CRITICAL unless it recovered."""
        return Severity.WARNING if self.outcome == "recovered" else Severity.CRITICAL


class LeakSuspected(Event):
    """Memory grows that nothing accounts for; told when that gets surer, and when it is over."""

    rate: float  # Bytes an hour; between `rate_low` and `rate_high`, where these are known.
    culprit: str  # What grows most, or "" where nobody knows.
    confidence: str  # "none", which takes an earlier event back, "low", "medium" or "high".
    kind: str = ""  # What the growth is: "leak in Python objects", "native growth" and others.
    rate_low: float | None = None
    rate_high: float | None = None
    onset: float | None = None  # Unix seconds from which on it grows, or None.
    growth: int = 0  # Bytes gained so far.
    reason: str = ""  # One sentence with the figures.

    @property
    def severity(self) -> Severity:
        """WARNING from medium on, which is an alarm; else INFO."""
        return Severity.INFO if self.confidence in ("none", "low") else Severity.WARNING


class LimitForeseen(Event):
    """The samples foretell the limit within hours; told once, and once more when they do not."""

    seconds_left: float | None  # Seconds until the limit is met; None takes an earlier event back.
    soonest: float | None  # The near end of its interval, or None.
    latest: float | None  # The far end; None where that meets no limit.
    rate: float  # Bytes an hour of growth that no part with a bound explains.
    used: int  # Bytes used now: the highest of the newest hour.
    limit: int | None  # Bytes, or None.

    @property
    def severity(self) -> Severity:
        """WARNING while it is near, INFO when it no longer is."""
        return Severity.INFO if self.seconds_left is None else Severity.WARNING


class LimitExceeded(Event):
    """A container or a part is over its own limit."""

    name: str
    used: int
    limit: int  # With the unit "maxlen", what would do for a deque that has none.
    unit: str = "bytes"  # Or "items", or "maxlen".
    severity = Severity.WARNING


class OperationGrew(Event):
    """A span of work left more memory behind than it may (bytes; `took` in seconds)."""

    name: str
    grew: int
    took: float
    severity = Severity.WARNING


class ComponentStopped(Event):
    """A component that can be spared was stopped."""

    name: str
    reason: str
    severity = Severity.WARNING


class ComponentStarted(Event):
    """A component stopped earlier runs again."""

    name: str


class AdmissionRefused(Event):
    """A request for memory did not fit (bytes). Told at most once a second."""

    asked: int
    room: int
    waited: float  # Seconds.
    times: int = 1  # Since the last one told.
    severity = Severity.WARNING


class BrakeHit(Event):
    """The brake refused memory, as far as that can be seen (bytes). Told once a second at most."""

    mapped: int
    limit: int
    times: int = 1  # How often so far.
    severity = Severity.WARNING


class Late(Event):
    """Memory was looked at late: nobody watched, as where the GIL is held. Told once a minute."""

    by: float  # Seconds.
    times: int = 1  # How often it happened so far.
    was_needed: bool = True  # Whether use stood above the low threshold before or after.

    @property
    def severity(self) -> Severity:
        """WARNING from a second on where protection was needed meanwhile, else DEBUG."""
        is_grave = self.was_needed and self.by >= _GRAVELY_LATE
        return Severity.WARNING if is_grave else Severity.DEBUG


class ReportMade(Event):
    """The report of a day was written (`paths`: its files)."""

    paths: tuple[str, ...]


class SettingsReloaded(Event):
    """The settings were read anew (`waiting`: keys that only a restart applies)."""

    applied: tuple[str, ...]
    waiting: tuple[str, ...]

    @property
    def severity(self) -> Severity:
        """WARNING where something waits, else INFO."""
        return Severity.WARNING if self.waiting else Severity.INFO


class ProposalApplied(Event):
    """A setting was changed as the process's own history proposed, as settings ask for."""

    key: str  # As in "thresholds.warning".
    before: str  # As a settings file writes it, or "".
    after: str
    reason: str


class Failed(Event):
    """Foreign code, or a reading, raised; the loop went on."""

    where: str
    error: BaseException
    times: int = 1
    severity = Severity.ERROR
