"""The nouns: what is read, what it is held against, what that means, and how a process stands."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  # as Size: `get_type_hints` asks for both
from enum import IntEnum
from types import MappingProxyType

from membudget.core.wire import Amount, Record, Size, plain
from membudget.errors import ConfigError, ProbeError
from membudget.units import LONGEST_NAME, format_bytes, format_mark, human_bytes, one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OWN = "own"  # The part of a reading that is the process's own use, as the meter reads it.
NOTHING: Mapping[str, int] = MappingProxyType({})


class Level(IntEnum):
    """How pressed the process is."""

    NORMAL = 0
    WARNING = 1
    CRITICAL = 2
    EMERGENCY = 3


class Rung(IntEnum):
    """How much a reclaimer takes away; lower rungs are asked first."""

    GENTLE = 1
    MODERATE = 2
    AGGRESSIVE = 3
    EMERGENCY = 4


class Reading(Record):
    """What one source knows at one moment: the memory used and the limit it is held against.

    Both come from the same source, so that a cgroup's use is never held against another limit.
    `at` is monotonic seconds, sizes are bytes; `parts` has those of the same moment by name.
    """

    at: float  # Monotonic seconds.
    used: int  # Bytes in use that the kernel cannot take back.
    limit: int | None = None  # Bytes at which this source ends, or None where it has no limit.
    source: str = ""  # Which source, in words for people: "cgroup v1 /web", "configured".
    parts: Mapping[str, int] = NOTHING  # Bytes of the same tick by name: rss, anon, file, data...
    errors: tuple[ProbeError, ...] = ()  # What could not be read beside it.

    @property
    def fraction(self) -> float:
        """Used ÷ limit; 0.0 without a limit."""
        return self.used / self.limit if self.limit else 0.0

    @property
    def elsewhere(self) -> int:
        """Bytes of `used` that are not this process's, where the source counts others' too."""
        parts = self.parts
        is_group = self.used == parts.get("cgroup")
        is_machine = "available" in parts and self.used + parts["available"] == self.limit
        own = parts.get(OWN) if is_group or is_machine else None
        return max(0, self.used - own) if own is not None else 0


class Marks(Record):
    """Where each level begins, as shares of the limit (float, 0 to 1) or as bytes (int).

    The `parts` are thresholds of parts of a reading, as in `{"rss": {"warning": 500 * MIB}}`;
    the highest level reached wins. A ConfigError where one is out of range or out of order.
    """

    low: float = 0.70  # Where a cleanup is content and the level is NORMAL again.
    warning: float = 0.80
    critical: float = 0.90
    emergency: float = 0.95
    shutdown: float = 0.98  # Where a protection attempt begins.
    parts: Mapping[str, Mapping[str, float]] = MappingProxyType({})

    def check(self) -> None:
        """Refuse marks that are out of range or out of order."""
        _check_marks({name: getattr(self, name) for name in MARK_NAMES}, "")
        for part, marks in self.parts.items():
            for name in marks:
                if name not in PART_MARKS:
                    known = ", ".join(PART_MARKS)
                    raise ConfigError(f"threshold {part}.{name} is not known: use one of {known}")
            _check_marks({name: marks[name] for name in PART_MARKS if name in marks}, f"{part}.")

    def resolved(self, limit: int | None) -> tuple[float, float, float, float, float]:
        """The five marks in bytes for this limit; a share of no limit is infinite.

        Where shares and bytes are mixed and the limit has changed, no mark lies above the next.
        """
        shutdown = in_bytes(self.shutdown, limit)
        emergency = min(in_bytes(self.emergency, limit), shutdown)
        critical = min(in_bytes(self.critical, limit), emergency)
        warning = min(in_bytes(self.warning, limit), critical)
        return min(in_bytes(self.low, limit), warning), warning, critical, emergency, shutdown

    def check_for(self, limit: int | None) -> None:
        """Refuse marks in bytes that lie above a share of this limit that should be higher."""
        if limit is not None:
            _check_order({name: getattr(self, name) for name in MARK_NAMES}, "", limit)


MARK_NAMES = ("low", "warning", "critical", "emergency", "shutdown")
PART_MARKS = ("warning", "critical", "emergency")


class Pressure(Record):
    """What a reading means: the `level`, why, and how far it is to the limit.

    Sizes are bytes, `growth` is bytes a second, `seconds_left` None where nothing foretells the
    limit. `excess` is what lies above the low threshold; `floor` what cannot be freed,
    `elsewhere` what other processes use.
    """

    level: Level = Level.NORMAL  # Hysteresis applied.
    used: int = 0
    limit: int | None = None
    excess: int = 0  # Above the low threshold: what a cleanup aims to free.
    growth: float = 0.0  # A second, over the last readings; negative when shrinking.
    # Until the limit at the growth that nobody governs: by the last readings, or by a day of
    # samples where those foretell it sooner.
    seconds_left: float | None = None
    cause: str = ""  # What raised the level: a threshold, "time", or "" at NORMAL.
    shutdown: bool = False  # Whether use is at the shutdown threshold for two readings.
    source: str = ""  # Whose figures these are.
    floor: int = 0  # What freeing was seen not to lower, or 0.
    elsewhere: int = 0  # Of `used`, what other processes use, where that is most of it.

    @property
    def fraction(self) -> float:
        """Used ÷ limit; 0.0 without a limit."""
        return self.used / self.limit if self.limit else 0.0


def in_bytes(mark: float, limit: int | None) -> float:
    """A mark in bytes: an int stands for itself, a float is a share of the limit."""
    if isinstance(mark, int):
        return mark
    return mark * limit if limit is not None else float("inf")


def _check_marks(marks: Mapping[str, float], prefix: str) -> None:
    for name, mark in marks.items():
        if isinstance(mark, bool) or not isinstance(mark, (int, float)):
            told = f"threshold {prefix}{name}={mark!r}"
            raise ConfigError(f'{told} is neither a share nor a size: give "80%" or "400MiB"')
        if not mark > 0 or (mark > 1 and not isinstance(mark, int)):
            rule = "give a share above 0 and up to 1 (float), or bytes above 0 (int)"
            raise ConfigError(f"threshold {prefix}{name}={mark!r} is out of range: {rule}")
    _check_order(marks, prefix, None)


def _check_order(marks: Mapping[str, float], prefix: str, limit: int | None) -> None:
    last: dict[bool, tuple[str, float]] = {}
    for name, mark in marks.items():
        # A share and a size can only be compared once a limit is known; until then, each kind.
        kind = limit is None and isinstance(mark, int)
        below, least = last.get(kind, ("", 0.0))
        size = mark if limit is None else in_bytes(mark, limit)
        if size < least:
            where = f" for a limit of {format_bytes(limit)}" if limit is not None else ""
            raise ConfigError(
                f"thresholds are out of order{where}: {prefix}{name}={format_mark(mark)} is below "
                f"{prefix}{below}={format_mark(marks[below])}; raise {name} or lower {below}"
            )
        last[kind] = name, size


class PartSample(Record):
    """One registered part at one moment, with the bounds it declares."""

    name: str
    kind: str = "part"  # What it is: "Cache", "BoundedDeque", "watched dict", "lru_cache".
    items: Size | None = None
    bytes: Size | None = None  # What they take.
    most_items: Size | None = None  # The most items it may hold, and `most_bytes`, or None.
    most_bytes: Size | None = None
    ttl: Amount | None = None  # Seconds that an item may stay, or None.

    @property
    def is_bounded(self) -> bool:
        """Whether its growth has an end that it has told."""
        return not (self.most_items is None and self.most_bytes is None and self.ttl is None)


class Sample(Record):
    """One row of the ring: memory in bytes, beside what helps to explain it."""

    at: Amount  # Monotonic seconds.
    wall: Amount  # Unix seconds.
    used: Size  # Bytes in use that the kernel cannot take back.
    rss: Size
    limit: Size | None = None  # What it is held against, or None.
    file: Size | None = None  # Page cache of the memory group, or mapped files.
    system_share: Amount | None = None  # Share of the system's memory in use.
    system_available: Size | None = None  # Bytes the system still has.
    cpu: Amount = 0.0  # Seconds of processor time so far.
    blocks: Size = 0  # Live blocks of Python's own allocator.
    malloc: Size | None = None  # Bytes in use by the C allocator, or None where it was not asked.
    gc_runs: tuple[Size, Size, Size] = (0, 0, 0)  # Collections by generation, as the thresholds.
    gc_thresholds: tuple[Size, Size, Size] = (0, 0, 0)
    gc_enabled: bool = True  # Whether automatic collection is on.
    gc_efficiency: Amount | None = None  # Share that full collections freed since the last one.
    uncollectable: Size = 0  # Objects in `gc.garbage`.
    threads: Size = 1
    tasks: Size | None = None  # Asyncio tasks pending, or None.
    fds: Size | None = None  # Open descriptors, or None.
    children: Size | None = None  # Resident bytes of child processes, or None.
    governed: Size = 0  # Bytes that holders count.
    explained: Size = 0  # Bytes held by parts with a declared bound.
    parts: tuple[PartSample, ...] = ()
    requests: Size | None = None  # Served so far; None where nobody counts them.
    pid: Size = 0
    began: Amount = 0.0  # Unix seconds when the process began; another value is a restart.
    transient: Size | None = None  # The highest that came and went since the sample before.


class LateWakes(Record):
    """How often the loop woke late, and by how many seconds the last time."""

    times: Size = 0
    latest: float = 0.0


class Transience(Record):
    """Memory that comes and goes: bytes kept free for it, its highest peak, how many an hour."""

    kept: Size = 0
    highest: Size = 0
    an_hour: Size = 0


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
    """What the interpreter's collector tells of itself."""

    counts: tuple[Size, ...]  # Objects pending.
    collections: tuple[Size, ...]
    frozen: Size | None  # Left out by it; None where counting them would take long.
    is_enabled: bool
    thresholds: tuple[Size, ...] = ()
    keeps_shared: bool = False  # Whether what was inherited is frozen, so that pages stay shared.


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
    """The verdict that stands, as `leaks.Verdict` has it; at first only why there is none."""

    reason: str
    confidence: str | None
    kind: str = ""
    culprits: tuple[str, ...] = ()  # The names of who is suspected.
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


class GroupRow(Record):
    """One process of a group."""

    name: str
    pid: Size
    used: int  # What it holds in all.
    held: int  # Of that, what its holders can let go of,
    share: int  # and what they may hold.
    why: str  # Why it is that much.

    def line(self) -> str:
        """It in words: what it holds, and what it may."""
        held, share, used = map(human_bytes, (self.held, self.share, self.used))
        who, why = (one_line(text, LONGEST_NAME) for text in (f"{self.pid} {self.name}", self.why))
        return f"{who}: caches {held}, share {share}, in all {used}; {why}"


class GroupState(Record):
    """A memory group that several processes under a budget share, as one of them sees it."""

    source: str
    room: int  # What their holders may hold together.
    rows: tuple[GroupRow, ...] = ()
    untold: Size | None = None  # Processes in it that tell nothing, or None where nobody counts.

    def lines(self) -> list[str]:
        """It in words: a line, and one for each row."""
        told = f"one process has {human_bytes(self.room)} for caches"
        if (count := len(self.rows)) != 1:
            told = f"{count} processes share {human_bytes(self.room)} for caches, lent while unused"
        if self.untold:
            told += f"; other processes, which tell nothing: {self.untold:,}"
        told += f" ({one_line(self.source, LONGEST_NAME)})"
        return [told, *(one.line() for one in self.rows)]


class Status(Record):
    """A process's figures at one moment (bytes and seconds)."""

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
    held_free: int = 0  # Of what was let go, what the allocator still holds: room for its kind.
    reserved: int = 0  # Granted by `admit` and not yet given back.
    attempts: Size = 0  # Tries of the last resort.
    late: LateWakes = LateWakes()
    transients: Transience = Transience()
    parts: Mapping[str, int] = MappingProxyType({})  # Named byte counts of the latest reading.
    seconds_at: Mapping[str, float] = MappingProxyType({})  # Spent at each level, by its name.
    changes: tuple[LevelChange, ...] = ()  # The latest changes of level, oldest first.
    sections: Mapping[str, Any] = MappingProxyType({})  # What plugins and holders tell beyond that.

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
