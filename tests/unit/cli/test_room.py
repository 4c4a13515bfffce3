"""Whether there is room for a start, on trees of files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from membudget.cli.restart.deaths import Kills, Room

FIXTURES = Path(__file__).parents[2] / "fixtures" / "cgroups"


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
    assert Room(0.7, str(root)).kills() == Kills(where="group", count=17)


def test_where_no_group_counts_the_machine_does(tmp_path: Path) -> None:
    """Linux counts all its kills in vmstat."""
    root = shutil.copytree(FIXTURES / "without-memory", tmp_path / "root")
    (root / "proc/vmstat").write_text("pgmajfault 12\noom_kill 5\n")
    assert Room(0.7, str(root)).kills() == Kills(where="machine", count=5)


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
