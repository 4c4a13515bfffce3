"""The meter: a check by the thread that inserts, often enough and not too steep."""

from membudget.core import Meter

MIB = 1 << 20


class Process:
    """A process whose size is set by hand, how often it was read, and what its caches hold."""

    def __init__(self) -> None:
        self.size = 50 * MIB
        self.held = 200 * MIB
        self.reads = 0

    def __call__(self) -> int:
        self.reads += 1
        return self.size

    def holds(self) -> int:
        return self.held


MARKS = {"mark": 300 * MIB, "brim": 320 * MIB, "ceiling": 380 * MIB}


def at_rest() -> tuple[Meter, Process]:
    """A meter at 50 of 400 MiB with its mark at 300, its brim at 320 and its ceiling at 380."""
    process = Process()
    meter = Meter(process, process.holds)
    meter.rebase(50 * MIB, 400 * MIB, **MARKS)
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
    meter.rebase(MIB, 40 * MIB, mark=30 * MIB, brim=32 * MIB, ceiling=38 * MIB)
    assert meter.quantum == 40 * MIB // 400


def insert(meter: Meter, process: Process, size: int) -> int:
    """One quantum comes in and the process stands at so many MiB; the bytes due are evicted."""
    process.size = size * MIB
    due = meter.claim(MIB)
    process.held += MIB - due
    return due


def test_growth_above_the_mark_is_paid_for_the_steeper_the_higher() -> None:
    """At the mark one byte for one byte; at the brim nine, at the ceiling twenty-five."""
    meter, process = at_rest()
    assert insert(meter, process, 300) == 0
    assert MIB <= insert(meter, process, 301) < 2 * MIB
    assert insert(meter, process, 320) >= 19 * 9 * MIB
    meter, process = at_rest()
    process.held = 9000 * MIB
    insert(meter, process, 379)
    assert 24 * MIB < insert(meter, process, 380) <= 27 * MIB


def test_a_cache_above_the_mark_does_not_empty_itself() -> None:
    """At rest, what came in goes out and no more: new entries fill the holes of the old."""
    meter, process = at_rest()
    insert(meter, process, 305)
    held = process.held
    for _ in range(300):
        insert(meter, process, 305)
    assert held <= process.held <= held + 300 * MIB // 32


def test_refilling_holes_does_not_creep_upward() -> None:
    """After paying, a cache keeps to its allowance instead of growing into the next payment."""
    meter, process = at_rest()
    insert(meter, process, 305)
    insert(meter, process, 306)
    held = process.held
    for _ in range(20):
        insert(meter, process, 306)
    assert process.held < held + 2 * MIB


def test_above_the_brim_the_allowance_is_drained_until_the_figure_falls() -> None:
    """A little at each insert, and all is forgotten below the mark."""
    meter, process = at_rest()
    insert(meter, process, 340)
    held = process.held
    for _ in range(320):
        insert(meter, process, 340)
    assert held - 12 * MIB < process.held < held - 8 * MIB
    insert(meter, process, 299)
    assert meter.allowance == float("inf")
    assert meter.owed() == 0


def test_beyond_the_ceiling_standing_high_costs_as_well() -> None:
    """The overshoot is due and the weight inserted, growing or not."""
    meter, process = at_rest()
    process.held = 10 * MIB
    insert(meter, process, 390)
    assert insert(meter, process, 390) >= 11 * MIB


def test_what_inserts_do_not_pay_is_owed_by_all() -> None:
    """The rest of a debt is for the loop to collect, least worthy caches first."""
    meter, process = at_rest()
    process.size = 330 * MIB
    assert meter.claim(MIB) > 0
    assert meter.owed() > 100 * MIB
    process.size = 300 * MIB
    assert meter.claim(MIB) == 0
    assert meter.owed() == 0


def test_the_peak_is_the_highest_that_inserts_have_seen() -> None:
    """Below the mark as well; what was granted and has not come in is no use."""
    meter, process = at_rest()
    insert(meter, process, 200)
    insert(meter, process, 120)
    assert meter.peak == 200 * MIB


def test_what_others_hold_counts_as_last_read() -> None:
    """A group's use at the tick, plus what this process grew since."""
    process = Process()
    meter = Meter(process, process.holds)
    meter.rebase(250 * MIB, 400 * MIB, **MARKS)
    assert meter.estimate() == 250 * MIB
    process.size += 60 * MIB
    assert meter.estimate() == 310 * MIB
    assert meter.claim(MIB) >= 10 * MIB


def test_without_a_quick_reading_claims_are_believed() -> None:
    """On systems where nothing can be read that fast, what is claimed is added up."""
    meter = Meter(None, lambda: 200 * MIB)
    meter.rebase(299 * MIB, 400 * MIB, **MARKS)
    assert meter.claim(MIB) == 0
    assert meter.claim(MIB) >= MIB


def test_without_a_limit_nothing_is_evicted() -> None:
    meter, process = at_rest()
    infinite = float("inf")
    meter.rebase(MIB, None, mark=infinite, brim=infinite, ceiling=infinite)
    process.size = 1 << 40
    assert meter.claim(10 * MIB) == 0


KEPT = {"kept": 60 * MIB, "resting": 50 * MIB}


def with_kept_room() -> tuple[Meter, Process]:
    """A meter that keeps 60 MiB for what comes unasked, its holders at their mark of 250 MiB."""
    process = Process()
    process.size = 250 * MIB
    meter = Meter(process, process.holds)
    lines = {"mark": 250 * MIB, "brim": 256 * MIB, "ceiling": 380 * MIB}
    meter.rebase(250 * MIB, 400 * MIB, **lines, **KEPT, held=process.held)
    return meter, process


def test_who_inserts_pays_nothing_for_a_load_that_room_was_kept_for() -> None:
    """Neither as it comes nor as it goes; nor does the loop ask for what is above the brim."""
    meter, process = with_kept_room()
    for size in (270, 290, 309, 260, 249):
        process.size = size * MIB
        assert meter.claim(MIB) == 0
    assert meter.owed() == 0
    lines = {"mark": 250 * MIB, "brim": 256 * MIB, "ceiling": 380 * MIB}
    meter.rebase(310 * MIB, 400 * MIB, **lines, **KEPT, own=310 * MIB, held=process.held)
    assert meter.over_brim() == 0


def test_what_is_more_than_the_room_kept_is_paid_for() -> None:
    meter, process = with_kept_room()
    process.size = 320 * MIB
    assert meter.claim(MIB) > 0


def test_holders_themselves_do_not_take_the_room_kept() -> None:
    """Their own growth raises no line, and what they let go of is no load."""
    meter, process = with_kept_room()
    process.size, process.held = 260 * MIB, 210 * MIB
    assert meter.claim(MIB) > 0
    meter, process = with_kept_room()
    process.size, process.held = 260 * MIB, 150 * MIB
    assert meter.claim(MIB) == 0  # Ten of it are a load: what was held at the reading counts.
    process.size = 272 * MIB
    process.held = 212 * MIB
    assert meter.claim(MIB) > 0


def test_a_granted_load_uses_the_room_kept_and_is_not_counted_twice() -> None:
    """The caches stay as they are from the grant on; there is no room for the same again."""
    meter, process = with_kept_room()
    meter.door = 360 * MIB
    meter.reserve(60 * MIB, meter.estimate())
    assert meter.claim(MIB) == 0
    process.size = 310 * MIB
    assert meter.claim(MIB) == 0
    process.size = 330 * MIB
    assert meter.claim(MIB) > 0


def sharing() -> tuple[Meter, Process]:
    """A meter far below its mark, whose holders hold 200 MiB and have a share of 150."""
    meter, process = at_rest()
    meter.share = 150 * MIB
    return meter, process


def test_who_inserts_beyond_the_share_of_all_holders_pays_twice_until_all_are_within() -> None:
    meter, process = sharing()
    assert insert(meter, process, 50) == 2 * MIB
    for _ in range(100):
        insert(meter, process, 50)
    assert 149 * MIB <= process.held <= 151 * MIB
    assert insert(meter, process, 50) == MIB
    meter.share = None
    assert insert(meter, process, 50) == 0


def test_room_ends_at_the_share_or_at_the_mark() -> None:
    meter, process = sharing()
    process.held = 100 * MIB
    assert meter.room() == 50 * MIB
    process.size = 290 * MIB
    assert meter.room() == 10 * MIB


def test_one_large_value_is_paid_for_once_and_not_steeply() -> None:
    """Its siblings make room for it; they and itself would go, were it priced as steady growth."""
    meter, process = at_rest()
    process.size, process.held = 330 * MIB, 260 * MIB
    assert 30 * MIB <= meter.claim(60 * MIB) < 40 * MIB


def test_what_others_under_the_limit_grew_is_not_paid_for_here() -> None:
    meter, process = at_rest()
    meter.share = 250 * MIB
    process.size = 51 * MIB
    assert meter.claim(MIB) == 0
    meter.rebase(330 * MIB, 400 * MIB, **MARKS, own=51 * MIB)
    process.size = 52 * MIB
    assert 0 < meter.claim(MIB) < 20 * MIB


def test_a_value_fits_where_its_holder_could_make_room_for_it() -> None:
    meter, process = at_rest()
    process.size = 340 * MIB  # The value is part of it.
    assert meter.fits(60 * MIB, 50 * MIB)
    assert not meter.fits(60 * MIB, 30 * MIB)
    process.size, meter.share = 100 * MIB, 210 * MIB
    assert meter.fits(60 * MIB, 50 * MIB)
    assert not meter.fits(60 * MIB, 40 * MIB)
