"""The highest use: bursts that no reading saw count, what was before and files do not."""

from pathlib import Path

from fakes import MIB
from membudget.core import RISE, Reading
from membudget.probes.process import LOOK_EVERY, HighWater


def write_mark(proc: Path, mark: int | None) -> None:
    """Have the kernel tell this high-water mark, in MiB; or nothing of it."""
    (proc / "self").mkdir(exist_ok=True)
    told = "" if mark is None else f"VmHWM:\t  {mark * 1024} kB\n"
    (proc / "self" / "status").write_text(f"Name:\tweb\n{told}VmRSS:\t  1024 kB\n")


def reading(at: float, used: int, file: int = 0) -> Reading:
    """A process that holds so many MiB, and files besides."""
    parts = {"rss": (used + file) * MIB, "file": file * MIB}
    return Reading(at=at, used=used * MIB, source="fake", parts=parts)


def test_a_burst_between_two_readings_is_seen(tmp_path: Path) -> None:
    """Less the files that were resident; once, and no more while it does not rise."""
    write_mark(tmp_path, 20)
    high = HighWater(str(tmp_path))
    assert high.follow(reading(0, used=15, file=5)) == (15 * MIB, 20 * MIB)
    write_mark(tmp_path, 155)
    assert high.follow(reading(1, used=15, file=5)) == (15 * MIB, 20 * MIB)
    assert high.follow(reading(LOOK_EVERY, used=15, file=5)) == (150 * MIB, 155 * MIB)
    assert high.follow(reading(2 * LOOK_EVERY, used=15)) == (15 * MIB, 15 * MIB)


def test_files_are_taken_off_where_no_reading_came_between_two_looks(tmp_path: Path) -> None:
    """A process that ends at once has had one."""
    write_mark(tmp_path, 20)
    high = HighWater(str(tmp_path))
    high.follow(reading(0, used=15, file=5))
    write_mark(tmp_path, 30)
    assert high.look() == (25 * MIB, 30 * MIB)


def test_what_was_before_the_first_look_is_not_ours(tmp_path: Path) -> None:
    """Neither before a start nor, in a forked child, its parent's."""
    write_mark(tmp_path, 300)
    high = HighWater(str(tmp_path))
    assert high.look() == (0, 0)
    write_mark(tmp_path, 400)
    high.begin()
    assert high.look() == (0, 0)


def test_a_file_that_was_mapped_for_a_while_is_no_use(tmp_path: Path) -> None:
    """The most that any reading saw of it is taken off."""
    write_mark(tmp_path, 20)
    high = HighWater(str(tmp_path))
    high.follow(reading(0, used=15, file=5))
    write_mark(tmp_path, 515)
    high.follow(reading(1, used=15, file=500))
    assert high.follow(reading(LOOK_EVERY, used=15, file=5)) == (15 * MIB, 515 * MIB)


def test_where_the_kernel_tells_no_mark_the_readings_are_what_is_known(tmp_path: Path) -> None:
    """Also where the file is gone, or says something else."""
    high = HighWater(str(tmp_path))
    assert high.follow(reading(0, used=15)) == (15 * MIB, 15 * MIB)
    write_mark(tmp_path, None)
    assert high.look() == (0, 0)
    (tmp_path / "self" / "status").write_text("VmHWM:\t lots kB\n")
    assert high.look() == (0, 0)


def test_while_holders_take_much_in_it_is_looked_at_often(tmp_path: Path) -> None:
    """And what was found is left for whoever takes note of it; nothing where nobody looked."""
    write_mark(tmp_path, 20)
    high = HighWater(str(tmp_path))
    high.follow(reading(0, used=15))
    high.burst = None
    write_mark(tmp_path, 155)
    high.follow(reading(0.1, used=15), RISE - 1)
    found = [high.burst]
    for at, taken_in in ((0.2, RISE), (0.3, 2 * RISE)):
        high.follow(reading(at, used=15), taken_in)
        found.append(high.burst)
    assert found == [None, 155 * MIB, 0]
