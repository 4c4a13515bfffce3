"""The meter: a check by the thread that inserts, often enough and not too steep."""

from __future__ import annotations

from membudget.core import Meter

MIB = 1 << 20


class Process:
    """A process whose size is set by hand, and how often it was read."""

    def __init__(self) -> None:
        self.size = 50 * MIB
        self.reads = 0

    def __call__(self) -> int:
        """Its size."""
        self.reads += 1
        return self.size


def at_rest() -> tuple[Meter, Process]:
    """A meter at 50 of 400 MiB with its mark at 300 and its ceiling at 380."""
    process = Process()
    meter = Meter(process)
    meter.rebase(50 * MIB, 400 * MIB, 300 * MIB, 380 * MIB)
    process.reads = 0
    return meter, process


def test_the_process_is_read_once_a_quantum() -> None:
    """Small inserts cost an addition; one in a thousand costs a reading."""
    meter, process = at_rest()
    for _ in range(10_000):
        assert meter.claim(1024) == 0
    assert process.reads == 10_000 * 1024 // MIB


def test_a_small_limit_has_a_small_quantum() -> None:
    """A quarter of a percent of the limit where that is less than 1 MiB."""
    meter, _ = at_rest()
    assert meter.quantum == MIB
    meter.rebase(MIB, 40 * MIB, 30 * MIB, 38 * MIB)
    assert meter.quantum == 40 * MIB // 400


def test_above_the_mark_an_insert_pays_with_at_least_its_own_weight() -> None:
    """At the mark one byte for one byte, steeper toward the ceiling, the rest on top beyond it."""
    meter, process = at_rest()
    process.size = 301 * MIB
    at_mark = meter.claim(MIB)
    process.size = 340 * MIB
    midway = meter.claim(MIB)
    process.size = 390 * MIB
    beyond = meter.claim(MIB)
    assert MIB <= at_mark < 2 * MIB
    assert at_mark < midway < beyond
    assert beyond >= 10 * MIB


def test_what_others_hold_counts_as_last_read() -> None:
    """A group's use at the tick, plus what this process grew since."""
    process = Process()
    meter = Meter(process)
    meter.rebase(250 * MIB, 400 * MIB, 300 * MIB, 380 * MIB)
    assert meter.estimate() == 250 * MIB
    process.size += 60 * MIB
    assert meter.estimate() == 310 * MIB
    assert meter.claim(MIB) >= MIB


def test_without_a_quick_reading_claims_are_believed() -> None:
    """On systems where nothing can be read that fast, what is claimed is added up."""
    meter = Meter(None)
    meter.rebase(299 * MIB, 400 * MIB, 300 * MIB, 380 * MIB)
    assert meter.claim(MIB) == 0
    assert meter.claim(MIB) >= MIB


def test_without_a_limit_nothing_is_evicted() -> None:
    """No mark is ever reached."""
    meter, process = at_rest()
    meter.rebase(MIB, None, float("inf"), float("inf"))
    process.size = 1 << 40
    assert meter.claim(10 * MIB) == 0
