"""How a process stands now: one record, read by whoever shows it."""

from __future__ import annotations

from types import MappingProxyType

from membudget.core.nouns import Level
from membudget.core.wire import Record, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from membudget.core.wire import Size


class LateWakes(Record):
    """How often the loop woke late, and by how many seconds the last time."""

    times: Size = 0
    latest: float = 0.0


class LevelChange(Record):
    """A change of level: when (monotonic seconds), from which to which, at which use, and why."""

    before: str
    level: str
    used: Size
    limit: Size | None
    cause: str
    at: float = 0.0


class ContainerRow(Record):
    """A bounded container: items, and the bytes that they take."""

    name: str
    items: Size
    bytes: int


class AdoptedRow(Record):
    """A cache of the program's that may be shrunk: entries, bytes, and entries dropped so far."""

    name: str
    entries: Size | None
    held: Size | None
    dropped: Size


class CollectorState(Record):
    """What the interpreter's collector tells of itself: objects pending and collections so far.

    `frozen` objects are left out by it, None where counting them would take long; `keeps_shared`
    tells whether what was inherited is frozen by us, so that its pages stay shared.
    """

    counts: tuple[Size, ...]
    collections: tuple[Size, ...]
    frozen: Size | None
    is_enabled: bool
    thresholds: tuple[Size, ...] = ()
    keeps_shared: bool = False


class AllocatorRow(Record):
    """Who was asked to give back: bytes that may still come, bytes that came, or why it is not."""

    name: str
    free: Size
    given_back: Size
    why: str


class AllocatorState(Record):
    """Live blocks of Python's own allocator, and bytes of malloc's, where it tells them."""

    blocks: Size
    asked: tuple[AllocatorRow, ...] = ()
    malloc_in_use: Size | None = None
    malloc_free: Size | None = None


class LeakState(Record):
    """The verdict that stands; before the first only why there is none, and no confidence.

    The fields are those of `leaks.Verdict`, and `culprits` the names of who is suspected.
    """

    reason: str
    confidence: str | None
    kind: str = ""
    culprits: tuple[str, ...] = ()
    at: float | None = None
    score: float | None = None
    rate: float | None = None
    rate_low: float | None = None
    rate_high: float | None = None
    onset: float | None = None
    growth: int | None = None
    filling: tuple[Any, ...] = ()


class ProposalRow(Record):
    """A setting that the history proposes, as a settings file writes it."""

    setting: str
    to: str
    now: str
    reason: str


class Status(Record):
    """A process's figures at one moment (bytes and seconds).

    Attributes:
        held_free: Of what was let go, what the allocator still holds: room for the same kind.
        seconds_at: Seconds spent at each level, by its name.
        sections: What plugins and holders tell beyond that, by the section's name.
    """

    used: Size  # Bytes judged, of `source`; `peak` is the highest use seen.
    limit: Size | None
    source: str
    level: str  # The level's name, and `cause` why.
    rate: float  # Bytes a second.
    seconds_left: float | None  # Seconds until the limit, or None.
    pid: Size = 0
    name: str = ""  # What runs, where that is told.
    at: float = 0.0  # Unix seconds of these figures, where that is told.
    cause: str = ""
    floor: Size = 0  # Bytes that shrinking does not lower, or 0.
    elsewhere: Size = 0  # Of these, those that are not this process's.
    peak: Size = 0
    governed: int = 0  # What all holders count, together.
    reclaimed: int = 0  # What was let go so far.
    is_resting: bool = False  # Whether it only looks after others, and is not governed meanwhile.
    held_free: int = 0
    reserved: int = 0  # Granted by `admit` and not yet given back.
    attempts: Size = 0  # Tries of the last resort.
    late: LateWakes = LateWakes()
    parts: Mapping[str, int] = MappingProxyType({})  # Named byte counts of the latest reading.
    seconds_at: Mapping[str, float] = MappingProxyType({})
    changes: tuple[LevelChange, ...] = ()  # The latest changes of level, oldest first.
    sections: Mapping[str, Any] = MappingProxyType({})

    def check(self) -> None:
        """Raise where the level is none, or the limit leaves no room."""
        if self.level not in Level.__members__:
            raise ValueError(f"level {self.level!r:.40} is not known")
        if self.limit is not None and self.limit <= 0:
            raise ValueError(f"limit is {self.limit}, and a whole number from 1 on is due")

    def as_answer(self) -> dict[str, Any]:
        """It in plain values, the sections beside the other fields."""
        told: dict[str, Any] = plain(self.replace(sections={}))
        del told["sections"]
        return {**told, **plain(self.sections)}
