"""The record of one window: what was measured between then and now."""

from __future__ import annotations

from membudget.core import Record


class Channel(Record):
    """What a heap channel did in a window.

    Attributes:
        tau: Share of rising less share of falling pairs of floors.
        growth: MiB by which its floor grew.
        bend: Order of the increments, in deviations; well below zero it slows down.
        unevenness: How much the slopes of its quarters differ, in slopes of the whole; infinite
            where there are too few floors to tell.
        early: Theil-Sen slope of the first half.
        late: Theil-Sen slope of the second half.
    """

    tau: float
    growth: float
    bend: float
    unevenness: float
    early: float
    late: float


class Window(Record):
    """What one window measured; memory in MiB, time in hours.

    Attributes:
        begin: Where it begins.
        end: Where it ends: the newest sample.
        of_life: Share of the process's life that it covers.
        rate: Theil-Sen slope of the floors, MiB an hour.
        low: 5th percentile of the pairwise slopes.
        high: 95th percentile of the pairwise slopes.
        base: The first floor.
        growth: Rate times length.
        tau: Share of rising less share of falling pairs of floors.
        noise: Robust deviation of the floors from the line.
        kept: Share of the growth that was never given back.
        quarters: Slopes of the quarters of what was kept over its whole slope, in order of time.
        jumps: Share of the rise in the two largest steps between floors.
        jump: Share of the rise in the largest.
        jump_at: When the largest was.
        jump_size: MiB of the largest.
        early: Theil-Sen slope of the first half.
        late: Theil-Sen slope of the second half.
        bend: Order of the increments, the lower of 12 and of 24 floors.
        ground: Share of the growth above all floors before the window.
        peak: Share of the growth above all that was seen before the window.
        explained: MiB by which parts with a declared bound grew meanwhile.
        prior: Slope of the floors before the window.
        prior_length: Hours over which that was taken; 0.0 where there are none.
        load_tau: Share of rising less share of falling pairs of mean loads.
        load_rise: Mean load of the last third over that of the first, less one.
        malloc: The channel of malloc, or None.
        blocks: The channel of Python's allocator, or None.
    """

    begin: float
    end: float
    of_life: float
    rate: float
    low: float
    high: float
    base: float
    growth: float
    tau: float
    noise: float
    kept: float
    quarters: tuple[float, ...]
    jumps: float
    jump: float
    jump_at: float
    jump_size: float
    early: float
    late: float
    bend: float
    ground: float
    peak: float
    explained: float
    prior: float
    prior_length: float
    load_tau: float
    load_rise: float
    malloc: Channel | None
    blocks: Channel | None

    @property
    def length(self) -> float:
        """Hours."""
        return self.end - self.begin

    @property
    def unevenness(self) -> float:
        """How much the slopes of the quarters differ, in slopes of the whole."""
        return max(self.quarters) - min(self.quarters)
