"""What the verdict demands: every constant of the test, each with its reason.

The shape of the test is that of a floor-trend test whose constants were set on recorded traces of
real processes and on seeded synthetic ones; moving any one of them by a quarter changes little
(bench/README.md has the table).
"""

from __future__ import annotations

from membudget.core import Record
from membudget.errors import ConfigError


class Rules(Record):
    """The constants of the verdict.

    Attributes:
        minimum_rate: MiB an hour below which growth is not worth a word.
        minimum_share: The same as a share of the memory, an hour.
        minimum_growth: MiB that must have been gained in a window.
        minimum_growth_share: The same as a share of the memory.
        min_duration: Hours watched before anything is said.
        min_samples: Samples seen before anything is said.
        settled: Hours after its beginning that a process is left alone.
        apart: Hours between two verdicts that count as two.
        agreeing: Verdicts in a row that must agree before a level holds.
        clearing: Verdicts in a row without it after which a level ends.
        tau: Share of rising less share of falling pairs of floors.
        noise: Robust deviations that the growth must exceed.
        kept: Share of the growth that may not have been given back.
        slowest: Least slope of any quarter of the window, over the whole slope.
        slow: The same for all quarters but one, and for the newest.
        jumps: Most of the growth that two steps between floors may hold.
        slowing: Least slope of the second half over that of the first.
        bend: Least order of the increments, in deviations.
        heap_bend: The same for the heap channels.
        stopped: A shorter window that bends this much has ended what the longer one shows.
        ground: Least share of the growth above all earlier floors.
        explained: Least growth over what bounded parts took in meanwhile: their items' size is an
            estimate, so less is within its error.
        soonest: Hours that the straightest growth must be watched before it is medium.
        patience: Hours added for growth whose quarters differ by as much as the whole slope.
        latest: Hours after which unevenness no longer matters.
        onset: Hours added where the growth began within the process's life.
        faster: Rate before the window, over the rate in it, above which it may be a fill's tail.
        tail: Hours such a tail must be watched.
        sure_tail: The same where it clearly does not slow down any more.
        load_rise: Growth of the requests within the window above which memory may follow load.
        load_watch: Hours that memory which follows load must be watched: a day.
        unsupported: Hours after which growth that no heap channel shows may be medium.
        high: Hours of growth for a high confidence.
        collect_first: Whether a collection and a trim come before the first medium verdict.
        threshold_mb_per_hour: The simple rule's threshold, MiB an hour.
        gc_efficiency: Share of the live blocks freed by a full collection that was the last for
            long, from which garbage explains the growth since.
    """

    minimum_rate: float = 1.0
    minimum_share: float = 0.002
    minimum_growth: float = 2.0
    minimum_growth_share: float = 0.02
    min_duration: float = 2.0
    min_samples: int = 24
    settled: float = 0.5
    apart: float = 0.5
    agreeing: int = 2
    clearing: int = 3
    tau: float = 0.6
    noise: float = 4.0
    kept: float = 0.6
    slowest: float = 0.1
    slow: float = 0.35
    jumps: float = 0.8
    slowing: float = 0.8
    bend: float = -2.0
    heap_bend: float = -2.5
    stopped: float = -3.0
    ground: float = 0.6
    explained: float = 0.25
    soonest: float = 5.0
    patience: float = 20.0
    latest: float = 12.0
    onset: float = 1.0
    faster: float = 1.1
    tail: float = 12.0
    sure_tail: float = 6.0
    load_rise: float = 0.25
    load_watch: float = 24.0
    unsupported: float = 24.0
    high: float = 12.0
    collect_first: bool = True
    threshold_mb_per_hour: float = 10.0
    gc_efficiency: float = 0.10

    def check(self) -> None:
        """Refuse what cannot be meant."""
        for name in ("minimum_rate", "min_duration", "apart", "threshold_mb_per_hour"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)!r}: it must not be below zero")
        if self.min_samples < 2:  # noqa: PLR2004  # a slope needs two
            raise ConfigError(f"min_samples is {self.min_samples!r}: at least 2 make a trend")
