"""Laws of the cgroup probe, on recorded trees of files in every layout that is in use."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from fakes import FakeClock
from membudget.core import OWN
from membudget.errors import ProbeError
from membudget.probes.cgroup import CgroupProbe, cgroup_probe
from membudget.units import KIB, MIB

LAYOUTS = Path(__file__).parents[2] / "fixtures" / "cgroups"
V1_USED = 106 * MIB
V2_USED = 107 * MIB - 772 * KIB


def probe_of(root: Path, clock: FakeClock | None = None) -> CgroupProbe:
    """The probe of a tree that has a memory controller."""
    probe = cgroup_probe(root=str(root), now=(clock or FakeClock()).now)
    assert probe is not None
    return probe


def copy_of(layout: str, to: Path) -> Path:
    """A recorded tree that a test may change."""
    return Path(shutil.copytree(LAYOUTS / layout, to / layout))


def open_files_below(folder: Path) -> list[int]:
    """This process's descriptors of files in a folder."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        target = Path(f"/proc/self/fd/{name}")
        if target.is_symlink() and os.readlink(target).startswith(str(folder)):
            found.append(int(name))
    return found


@pytest.mark.parametrize(
    ("layout", "source", "limit", "used"),
    [
        ("v1", "cgroup v1 /web", 400 * MIB, V1_USED),
        ("v1-nested", "cgroup v1 /site", 400 * MIB, 263 * MIB),
        ("v1-container", "cgroup v1 /docker/0a1b2c", 512 * MIB, V1_USED),
        (
            "v1-hidden-parent",
            "cgroup v1 /kubepods/pod7/app (limit of a group above)",
            400 * MIB,
            V1_USED,
        ),
        ("v1-host-path", "cgroup v1 /", 300 * MIB, V1_USED),
        ("v1-unlimited", "cgroup v1 /a/b", None, 86 * MIB),
        ("v1-without-kmem", "cgroup v1 /web", None, 104 * MIB),
        ("v1-blanks", "cgroup v1 /my web:8080", 400 * MIB, V1_USED),
        ("hybrid", "cgroup v1 /web", 400 * MIB, V1_USED),
        ("v2", "cgroup v2 /system.slice/web.service", 512 * MIB, V2_USED),
        ("v2-high", "cgroup v2 /system.slice/web.service", 400 * MIB, V2_USED),
        ("v2-nested", "cgroup v2 /kubepods.slice/pod7", 400 * MIB, V2_USED + 200 * MIB),
        ("v2-container", "cgroup v2 /", 512 * MIB, V2_USED),
        ("v2-outside", "cgroup v2 /../..", 256 * MIB, V2_USED),
        ("v2-leaf-without-memory", "cgroup v2 /user.slice", 400 * MIB, V2_USED),
        ("v2-without-kernel", "cgroup v2 /web", 512 * MIB, 104 * MIB + 1588 * KIB),
    ],
)
def test_each_layout_tells_the_group_its_limit_and_what_cannot_be_taken_back(
    layout: str, source: str, limit: int | None, used: int
) -> None:
    """Limit and use are of the same group, page cache and reclaimable slab are not counted."""
    reading = probe_of(LAYOUTS / layout)()
    assert (reading.source, reading.limit, reading.used) == (source, limit, used)


def test_the_parts_tell_the_page_cache_beside_it() -> None:
    parts = probe_of(LAYOUTS / "v1")().parts
    assert parts == {"cgroup": V1_USED, "cgroup_file": 50 * MIB, "cgroup_shmem": 4 * MIB}


def test_what_a_group_has_swapped_out_is_used_and_told(tmp_path: Path) -> None:
    """A group that swaps needs more than its limit; pages read back count once."""
    v2, v1 = copy_of("v2", tmp_path), copy_of("v1", tmp_path)
    group = v2 / "sys/fs/cgroup/system.slice/web.service"
    (group / "memory.swap.current").write_text(f"{90 * MIB}\n")
    stat = (group / "memory.stat").read_text()
    (group / "memory.stat").write_text(stat.replace("swapcached 0", f"swapcached {20 * MIB}"))
    older = v1 / "sys/fs/cgroup/memory/web/memory.stat"
    older.write_text(older.read_text().replace("total_swap 0", f"total_swap {70 * MIB}"))
    for root, used in ((v2, V2_USED), (v1, V1_USED)):
        reading = probe_of(root)()
        assert reading.used == used + 70 * MIB
        assert reading.parts["cgroup_swap"] == 70 * MIB


def test_of_several_mounts_the_one_that_shows_most_groups_counts(tmp_path: Path) -> None:
    """A mount of the container's own part beside the whole tree hides no limit above."""
    root = copy_of("v2-nested", tmp_path)
    mounts = root / "proc/self/mountinfo"
    part = "34 29 0:26 /kubepods.slice/pod7/app /part rw - cgroup2 cgroup2 rw\n"
    shutil.copytree(root / "sys/fs/cgroup/kubepods.slice/pod7/app", root / "part")
    for text in (part + mounts.read_text(), mounts.read_text() + part):
        mounts.write_text(text)
        assert probe_of(root)().limit == 400 * MIB


def test_a_limit_of_nothing_is_one_that_is_exceeded(tmp_path: Path) -> None:
    """memory.high may be 0 to squeeze a group: then all it uses is too much."""
    root = copy_of("v2", tmp_path)
    (root / "sys/fs/cgroup/system.slice/web.service/memory.high").write_text("0\n")
    assert probe_of(root)().fraction > 1


@pytest.mark.parametrize("layout", ["without-memory", "nothing at all"])
def test_without_a_memory_controller_there_is_no_probe(layout: str) -> None:
    """None is the answer of a machine that has no memory cgroups, not an error."""
    assert cgroup_probe(root=str(LAYOUTS / layout)) is None


def test_an_unreadable_file_is_an_error_and_not_no_limit(tmp_path: Path) -> None:
    """A limit that is there and cannot be read must not look like no limit."""
    root = copy_of("v2", tmp_path)
    limit = root / "sys/fs/cgroup/system.slice/web.service/memory.max"
    limit.unlink()
    limit.mkdir()
    with pytest.raises(ProbeError, match=r"cannot read .*memory\.max .*set a limit of your own"):
        cgroup_probe(root=str(root))


def test_a_group_that_may_not_be_looked_into_is_an_error() -> None:
    """A folder without permission must not be taken for one that is not there."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody without permissions")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        root = copy_of("v2", Path(folder))
        (root / "sys/fs/cgroup/system.slice/web.service").chmod(0o700)
        os.seteuid(65534)
        try:
            with pytest.raises(ProbeError, match="Permission denied"):
                cgroup_probe(root=str(root))
        finally:
            os.seteuid(0)


@pytest.mark.parametrize("name", ["memory.max", "memory.stat"])
def test_a_file_that_says_something_else_is_an_error(name: str, tmp_path: Path) -> None:
    """What cannot be understood is told with its words, not guessed at."""
    root = copy_of("v2", tmp_path)
    (root / "sys/fs/cgroup/system.slice/web.service" / name).write_text("plenty\n")
    with pytest.raises(ProbeError, match=rf"{name} reads 'plenty"):
        cgroup_probe(root=str(root))


def test_a_changed_limit_is_seen_after_half_a_second(tmp_path: Path) -> None:
    """Containers are resized while they run: limits are read again, but not at each tick."""
    root, clock = copy_of("v2", tmp_path), FakeClock()
    probe = probe_of(root, clock)
    (root / "sys/fs/cgroup/system.slice/web.service/memory.max").write_text(f"{256 * MIB}\n")
    clock.advance(0.4)
    assert probe().limit == 512 * MIB
    clock.advance(0.1)
    assert probe().limit == 256 * MIB


def test_the_group_nearest_to_its_limit_is_judged_anew(tmp_path: Path) -> None:
    """A limit given to another group of the tree takes over when it is the tighter one."""
    root, clock = copy_of("v2-nested", tmp_path), FakeClock()
    probe = probe_of(root, clock)
    assert probe().source.endswith("/pod7")
    (root / "sys/fs/cgroup/kubepods.slice/pod7/app/memory.high").write_text(f"{120 * MIB}\n")
    clock.advance(5.0)
    reading = probe()
    assert (reading.source, reading.limit) == ("cgroup v2 /kubepods.slice/pod7/app", 120 * MIB)
    assert reading.used == V2_USED


def test_a_process_that_was_moved_is_found_again(tmp_path: Path) -> None:
    """A process may be put into another group while it runs."""
    root, clock = copy_of("v2-nested", tmp_path), FakeClock()
    probe = probe_of(root, clock)
    (root / "proc/self/cgroup").write_text("0::/kubepods.slice\n")
    clock.advance(5.0)
    assert probe().source == "cgroup v2 /kubepods.slice"


def test_after_an_error_the_next_call_looks_for_the_group_anew(tmp_path: Path) -> None:
    """A group that is gone is told once; the process is found where it is then."""
    root, clock = copy_of("v1", tmp_path), FakeClock()
    probe = probe_of(root, clock)
    stat = root / "sys/fs/cgroup/memory/web/memory.stat"
    text = stat.read_text()
    stat.write_text("")
    with pytest.raises(ProbeError, match=r"memory\.stat reads ''"):
        probe()
    stat.write_text(text)
    assert probe().limit == 400 * MIB


@pytest.mark.parametrize(("layout", "kills"), [("v1", 3), ("v2", 2), ("v2-container", 0)])
def test_kills_are_counted(layout: str, kills: int) -> None:
    assert probe_of(LAYOUTS / layout).oom_kills() == kills


def test_kills_that_are_not_told_are_none(tmp_path: Path) -> None:
    root = copy_of("v1", tmp_path)
    (root / "sys/fs/cgroup/memory/web/memory.oom_control").write_text("under_oom 0\n")
    assert probe_of(root).oom_kills() is None


def test_only_the_watched_group_stays_open_and_close_gives_all_back() -> None:
    """A probe keeps two descriptors at most, which no child inherits."""
    folder = LAYOUTS / "v2-nested"
    probe = probe_of(folder)
    probe()
    kept = open_files_below(folder)
    assert len(kept) == 1
    assert not any(os.get_inheritable(descriptor) for descriptor in kept)
    probe.close()
    assert open_files_below(folder) == []
    assert probe().limit == 400 * MIB
    probe.close()


def test_the_process_is_told_as_it_stood_when_its_group_was_read(tmp_path: Path) -> None:
    """What it grew since is counted from there; a process that cannot be read hides no group."""
    figures = iter([5 * MIB, 9 * MIB])
    root = copy_of("v1", tmp_path)
    probe = CgroupProbe(root=str(root), own=lambda: next(figures), now=FakeClock().now)
    assert probe().parts[OWN] == 5 * MIB
    assert probe().parts[OWN] == 9 * MIB

    def gone() -> int:
        raise ProbeError("the process has ended")

    reading = CgroupProbe(root=str(root), own=gone, now=FakeClock().now)()
    assert reading.used == V1_USED
    assert OWN not in reading.parts
