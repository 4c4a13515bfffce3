"""A budget's figures at one moment."""

from __future__ import annotations

from membudget.core import Level, Pressure, Record


class BudgetStats(Record):
    """A budget's figures (bytes and seconds).

    Attributes:
        pressure: The latest judgement.
        parts: Named byte counts of the latest reading.
        peak: The highest use seen.
        governed: What all holders count, together.
        reclaimed: What the ladder let go so far.
        held_free: Let go but not yet given back by the allocator: room for more of the same kind.
        reserved: Granted by `admit` and not yet given back.
        late: How often the loop woke late, and `latest`, by how many seconds the last time.
        seconds_at: Seconds spent at each level.
    """

    pressure: Pressure
    parts: dict[str, int]
    peak: int
    governed: int
    reclaimed: int
    held_free: int
    reserved: int
    late: int
    latest: float
    seconds_at: dict[Level, float]
