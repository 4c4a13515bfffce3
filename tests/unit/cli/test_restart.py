"""What an end was, in words, how long to wait, and whether there is room, on trees of files."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from membudget.cli.restart import HEEDED, MOST, SETTLED, Backoff, Death, Request, Room

FIXTURES = Path(__file__).parents[2] / "fixtures" / "cgroups"


def _death(code: int, before: int | None = 3, after: int | None = 3) -> Death:
    kills = [None if count is None else ("group", count) for count in (before, after)]
    return Death(code=code, before=kills[0], after=kills[1])


@pytest.mark.parametrize(
    ("death", "reason"),
    [
        (_death(-9, 3, 4), "killed by the kernel for want of memory (group oom_kill 3 → 4)"),
        (_death(-9), "killed by somebody with signal 9 (SIGKILL); group oom_kill is no higher"),
        (
            _death(-9, None, None),
            "killed by signal 9 (SIGKILL); nothing tells whether for want of memory",
        ),
        (_death(-15), "ended by signal 15 (SIGTERM)"),
        (_death(-40), "ended by signal 40"),
        (_death(75), "left by the ladder's exit (75)"),
        (_death(1), "ended by itself with exit code 1"),
        (_death(64), "ended by itself with exit code 64 (wrong usage)"),
    ],
)
def test_a_death_is_told_by_what_caused_it(death: Death, reason: str) -> None:
    """A kill is the kernel's only where its own count rose."""
    assert death.reason == reason


def test_a_kill_beside_a_death_of_another_kind_is_told_too() -> None:
    """A worker that the kernel took is often why its parent left."""
    told = "; meanwhile the kernel killed another process (group oom_kill 3 → 5)"
    assert _death(1, 3, 5).reason == f"ended by itself with exit code 1{told}"


def test_counts_of_different_things_are_not_compared() -> None:
    """A program moved out of sight of its group is not said to have been killed for memory."""
    before, after = ("group", 0), ("machine", 7)
    reason = Death(code=-9, before=before, after=after).reason
    assert reason.endswith("machine oom_kill is no higher")


@pytest.mark.parametrize(("code", "reported"), [(0, 0), (7, 7), (255, 255), (-9, 137), (-15, 143)])
def test_the_exit_code_is_what_a_shell_reports(code: int, reported: int) -> None:
    """128 + n for signal n."""
    assert _death(code).exit_code == reported


@pytest.mark.parametrize("code", [0, 64, 126, 127])
def test_what_no_restart_mends_is_final(code: int) -> None:
    """All went well, or the command itself is wrong."""
    assert _death(code).is_final


@given(st.integers(-64, 255).filter(lambda code: code not in (0, 64, 126, 127)))
def test_everything_else_is_tried_again(code: int) -> None:
    assert not _death(code).is_final


def test_waits_double_up_to_sixty_times_the_first() -> None:
    backoff = Backoff(1.0)
    assert [backoff.after(0.1) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_life_of_a_minute_makes_the_wait_short_again() -> None:
    """Yesterday's deaths do not slow down today's restart."""
    backoff = Backoff(1.0)
    for _ in range(5):
        backoff.after(SETTLED - 1)
    assert backoff.after(SETTLED) == 1
    assert backoff.after(0.1) == 2


@given(st.floats(0.001, 100), st.lists(st.floats(0, 200), max_size=30))
def test_every_wait_is_bounded(first: float, lives: list[float]) -> None:
    """Never shorter than the first, never above its sixtyfold."""
    backoff = Backoff(first)
    for lived in lives:
        assert first <= backoff.after(lived) <= MOST * first


@pytest.mark.parametrize("code", [-15, 143])
def test_a_request_is_obeyed_by_the_end_that_its_signal_brings(code: int) -> None:
    """By the signal itself, or by what a shell reports of it."""
    assert Request(number=15, at=0.0).is_obeyed_by(code)
    assert not Request(number=2, at=0.0).is_obeyed_by(code)


def test_a_request_is_forgotten_when_the_program_has_lived_on() -> None:
    """An end ten seconds after the signal may still follow from it, a later one does not."""
    request = Request(number=2, at=100.0)
    assert request.is_recent(100.0 + HEEDED)
    assert not request.is_recent(100.1 + HEEDED)


@pytest.mark.parametrize(
    ("layout", "file"),
    [
        ("v1", "sys/fs/cgroup/memory/web/memory.oom_control"),
        ("v2", "sys/fs/cgroup/system.slice/web.service/memory.events"),
    ],
)
def test_kills_are_counted_in_the_group_of_the_process(
    layout: str, file: str, tmp_path: Path
) -> None:
    """Both versions tell how often the kernel killed in it."""
    root = shutil.copytree(FIXTURES / layout, tmp_path / "root")
    (root / file).write_text("low 0\nunder_oom 0\noom_kill 17\n")
    assert Room(0.7, str(root)).kills() == ("group", 17)


def test_where_no_group_counts_the_machine_does(tmp_path: Path) -> None:
    """Linux counts all its kills in vmstat."""
    root = shutil.copytree(FIXTURES / "without-memory", tmp_path / "root")
    (root / "proc/vmstat").write_text("pgmajfault 12\noom_kill 5\n")
    assert Room(0.7, str(root)).kills() == ("machine", 5)


def test_nothing_to_read_is_no_kill_and_no_wait(tmp_path: Path) -> None:
    """A sandbox without any of the files must not keep the program from starting."""
    room = Room(0.7, str(tmp_path))
    assert room.kills() is None
    assert room.shortage() is None


def test_use_above_the_low_mark_is_a_shortage_that_names_its_source(tmp_path: Path) -> None:
    """What the group holds without the program counts, told with figures."""
    root = shutil.copytree(FIXTURES / "v1", tmp_path / "root")
    room = _grown(root, used=100 << 20, limit=400 << 20)
    assert room.shortage() is None
    _set(root, used=300 << 20, limit=400 << 20)
    shortage = room.shortage()
    assert shortage is not None
    assert "holds 300 MiB of 400 MiB without it, above 70%" in shortage
    _set(root, used=280 << 20, limit=400 << 20)
    assert room.shortage() is None


def test_what_others_held_before_the_first_start_keeps_nobody_waiting(tmp_path: Path) -> None:
    """A full machine on which the program was started anyway is room enough for the next start."""
    root = shutil.copytree(FIXTURES / "v1", tmp_path / "root")
    room = _grown(root, used=360 << 20, limit=400 << 20)
    assert room.shortage() is None
    _set(root, used=361 << 20, limit=400 << 20)
    assert room.shortage() is not None


def _grown(root: Path, used: int, limit: int) -> Room:
    _set(root, used, limit)
    return Room(0.7, str(root))


def _set(root: Path, used: int, limit: int) -> None:
    group = root / "sys/fs/cgroup/memory/web"
    (group / "memory.stat").write_text(f"total_cache 0\ntotal_rss {used}\ntotal_shmem 0\n")
    (group / "memory.kmem.usage_in_bytes").write_text("0\n")
    (group / "memory.limit_in_bytes").write_text(f"{limit}\n")
