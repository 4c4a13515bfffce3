"""What the doctor says of limits and groups, on recorded trees of files."""

import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from doctor_scene import LAYOUTS, around, put
from membudget.cli.checkup import Finding, Grade, Surroundings
from membudget.cli.checkup.limits import (
    check_container,
    check_group,
    check_limits,
    check_order,
    room,
)
from membudget.errors import ProbeError
from membudget.settings import resolve
from membudget.units import MIB


@pytest.fixture
def process() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as sleeper:
        yield sleeper.pid
        sleeper.kill()


def recorded(layout: str, to: Path) -> Path:
    return Path(shutil.copytree(LAYOUTS / layout, to / layout))


def of_process(root: Path, pid: int, **environ: str) -> Surroundings:
    """The surroundings of a process that is in the group of a recorded tree."""
    put(root, f"proc/{pid}/cgroup", (root / "proc/self/cgroup").read_text())
    return around(root, **environ).replace(pid=pid)


def of(findings: list[Finding], text: str) -> Finding:
    (found,) = (one for one in findings if text in one.found)
    return found


@pytest.mark.parametrize(
    ("layout", "ruling"),
    [
        ("v1", "400 MiB by cgroup v1 /web rules: 106 MiB used (26%)"),
        ("v1-nested", "400 MiB by cgroup v1 /site rules: 263 MiB used (66%)"),
        ("v1-hidden-parent", "400 MiB by a group above cgroup v1 /kubepods/pod7/app, which cannot"),
        ("v1-blanks", "400 MiB by cgroup v1 /my web:8080 rules"),
        ("hybrid", "400 MiB by cgroup v1 /web rules"),
        ("v2", "512 MiB by memory.max of cgroup v2 /system.slice/web.service rules"),
        ("v2-high", "400 MiB by memory.high of cgroup v2 /system.slice/web.service rules"),
        ("v2-nested", "400 MiB by memory.max of cgroup v2 /kubepods.slice/pod7 rules"),
        ("v2-outside", "256 MiB by memory.max of cgroup v2 /../.. rules"),
    ],
)
def test_the_smallest_limit_of_the_whole_tree_rules(layout: str, ruling: str) -> None:
    """Exactly one limit is marked, with what is used of it."""
    findings = list(check_limits(around(LAYOUTS / layout)))
    (rules,) = (one for one in findings if " rules" in one.found)
    assert rules.found.startswith(ruling)
    assert rules.grade is Grade.OK


def test_every_group_without_a_limit_is_named_as_well(tmp_path: Path, process: int) -> None:
    """Whoever looks for a limit sees which places were looked at."""
    resource.prlimit(process, resource.RLIMIT_AS, (1 << 30, resource.RLIM_INFINITY))
    findings = list(check_limits(of_process(recorded("v1", tmp_path), process)))
    assert of(findings, "without a limit").found == "without a limit: cgroup v1 /, RLIMIT_DATA"
    assert of(findings, "RLIMIT_AS").found == "1.00 GiB by RLIMIT_AS"


def test_without_any_limit_the_machine_rules_and_advice_is_given() -> None:
    findings = list(check_limits(around(LAYOUTS / "v1-unlimited")))
    assert "of RAM rules" in of(findings, "of RAM").found
    missing = of(findings, "no limit is set")
    assert missing.grade is Grade.NOTE
    assert "caches take" in missing.found
    assert "--limit" in missing.advice


@pytest.mark.parametrize(
    ("limit", "grade", "told"),
    [
        ("500MiB", Grade.WARNING, "500 MiB is above the 400 MiB of the cgroup, so it never rules"),
        ("395MiB", Grade.WARNING, "395 MiB and the 106 MiB that others hold in the cgroup"),
        ("290MiB", None, ""),
    ],
)
def test_a_configured_limit_is_held_against_the_kernels(
    limit: str, grade: Grade | None, told: str
) -> None:
    """Above it, or beside what others hold, it cannot be kept; below there is nothing to say."""
    findings = list(check_limits(around(LAYOUTS / "v1", MEMBUDGET_LIMIT=limit)))
    about = [one for one in findings if "the configured" in one.found]
    assert [one.grade for one in about] == ([] if grade is None else [grade])
    assert all(told in one.found and one.advice for one in about)


def test_a_configured_limit_above_the_machines_memory_never_rules(tmp_path: Path) -> None:
    """Whatever the groups say, the kernel kills before."""
    told = list(check_limits(around(recorded("v1", tmp_path), MEMBUDGET_LIMIT="100TiB")))
    assert "of RAM" in of(told, "so it never rules; the kernel kills first").found
    assert "400 MiB" in of(told, " rules: ").found


def test_a_configured_limit_that_leaves_little_room_is_noted(tmp_path: Path, process: int) -> None:
    """Children, page tables and sockets count in the group and not in the process."""
    root = recorded("v1", tmp_path)
    pages = (106 << 20) // resource.getpagesize()
    put(root, f"proc/{process}/statm", f"{2 * pages} {pages} 0 0 0 {pages} 0\n")
    findings = list(check_limits(of_process(root, process, MEMBUDGET_LIMIT="390MiB")))
    tight = of(findings, "the configured")
    assert tight.grade is Grade.NOTE
    assert "leaves 10.0 MiB of the cgroup" in tight.found
    assert "360 MiB or less" in tight.advice


@pytest.mark.parametrize(
    ("limit", "grade"), [(132, Grade.WARNING), (110, Grade.DANGER), (140, Grade.OK)]
)
def test_a_group_that_is_nearly_full_is_told_by_how_full(
    limit: int, grade: Grade, tmp_path: Path
) -> None:
    """From 80 % on a warning, from 95 % on a danger: the kernel is about to kill."""
    root = recorded("v1", tmp_path)
    put(root, "sys/fs/cgroup/memory/web/memory.limit_in_bytes", f"{limit * MIB}\n")
    finding = of(list(check_limits(around(root))), "/web")
    assert finding.grade is grade
    assert ("the kernel kills there" in finding.found) == (grade is not Grade.OK)


def test_rlimit_rss_is_told_to_be_ignored(tmp_path: Path, process: int) -> None:
    resource.prlimit(process, resource.RLIMIT_RSS, (300 * MIB, resource.RLIM_INFINITY))
    finding = of(list(check_limits(of_process(recorded("v1", tmp_path), process))), "RLIMIT_RSS")
    assert finding.grade is Grade.NOTE
    assert "ignored" in finding.found


@pytest.mark.parametrize("noted", ["none", str(1 << 30)])
def test_the_brakes_own_limit_is_none_of_the_process(
    noted: str, tmp_path: Path, process: int
) -> None:
    """It stands just above what is mapped, and would look like a shortage."""
    resource.prlimit(process, resource.RLIMIT_DATA, (100 * MIB, resource.RLIM_INFINITY))
    plain = of_process(recorded("v1", tmp_path), process)
    environ = {"MEMBUDGET_BRAKE": "true", "MEMBUDGET_LAUNCH_DATA_LIMIT": noted}
    braked = plain.replace(environ=environ, settings=resolve({}, environ))
    told = [one.found for one in check_limits(braked) if " by RLIMIT_DATA" in one.found]
    assert told == ([] if noted == "none" else ["1.00 GiB by RLIMIT_DATA"])
    assert of(list(check_limits(plain)), "by RLIMIT_DATA").found.startswith("100 MiB")


def test_room_is_what_the_tightest_group_has_left() -> None:
    assert room(around(LAYOUTS / "v1")) == 294 * MIB
    assert room(around(LAYOUTS / "v1-unlimited")) is None


def test_a_limit_that_cannot_be_read_is_no_missing_limit(tmp_path: Path) -> None:
    """It raises, and the doctor makes a finding of it."""
    root = recorded("v2", tmp_path)
    limit = root / "sys/fs/cgroup/system.slice/web.service/memory.max"
    limit.write_text("plenty\n")
    with pytest.raises(ProbeError, match="plenty"):
        list(check_limits(around(root)))


@pytest.mark.parametrize(
    ("layout", "version"),
    [
        ("v1", "v1, memory is counted in /web, 1 above it to be seen"),
        ("hybrid", "v1 (hybrid: v2 is mounted beside it, without memory)"),
        ("v2", "v2, memory is counted in /system.slice/web.service"),
    ],
)
def test_the_version_and_the_group_are_told(layout: str, version: str) -> None:
    """Whoever changes a limit has to know where."""
    first = next(iter(check_group(around(LAYOUTS / layout))))
    assert first.found.startswith(version)


@pytest.mark.parametrize(
    ("environ", "grade"), [({}, Grade.NOTE), ({"KUBERNETES_SERVICE_HOST": "x"}, Grade.WARNING)]
)
def test_a_missing_controller_is_worse_in_a_container(
    environ: dict[str, str], grade: Grade
) -> None:
    """There is a limit then that nobody can see."""
    (finding,) = check_group(around(LAYOUTS / "without-memory", **environ))
    assert finding.grade is grade
    assert finding.advice


def test_kills_so_far_are_a_warning() -> None:
    finding = of(list(check_group(around(LAYOUTS / "v1"))), "has killed")
    assert finding.grade is Grade.WARNING
    assert "3 processes" in finding.found
    assert of(list(check_group(around(LAYOUTS / "hybrid"))), "killed nobody").grade is Grade.OK


def test_killing_all_at_once_and_not_at_all_are_told(tmp_path: Path) -> None:
    """Both change what a shortage does to those who did not cause it."""
    root = recorded("v2", tmp_path)
    put(root, "sys/fs/cgroup/system.slice/memory.oom.group", "1\n")
    assert of(list(check_group(around(root))), "memory.oom.group").grade is Grade.NOTE
    root = recorded("v1", tmp_path)
    control = "oom_kill_disable 1\nunder_oom 0\noom_kill 0\n"
    put(root, "sys/fs/cgroup/memory/web/memory.oom_control", control)
    still = of(list(check_group(around(root))), "oom_kill_disable")
    assert still.grade is Grade.WARNING
    assert still.advice.endswith("memory/web/memory.oom_control")


@pytest.mark.parametrize(
    ("score", "grade"), [("0", Grade.OK), ("1000", Grade.NOTE), ("-1000", Grade.NOTE)]
)
def test_the_place_in_the_order_of_killing_is_told(
    score: str, grade: Grade, tmp_path: Path
) -> None:
    """Kubernetes and systemd set it."""
    put(tmp_path, "proc/self/oom_score_adj", score)
    (finding,) = check_order(around(tmp_path))
    assert finding.grade is grade


@pytest.mark.parametrize(
    ("layout", "environ", "grade"),
    [
        ("v1", {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, Grade.OK),
        ("v1-unlimited", {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, Grade.WARNING),
        ("v1-unlimited", {}, Grade.OK),
    ],
)
def test_a_pod_without_a_limit_is_a_warning(
    layout: str, environ: dict[str, str], grade: Grade
) -> None:
    (finding,) = check_container(around(LAYOUTS / layout, **environ))
    assert finding.grade is grade
    assert ("resources.limits.memory" in finding.advice) == (grade is Grade.WARNING)


def test_a_container_by_docker_is_seen_by_its_mark(tmp_path: Path) -> None:
    root = recorded("v1-unlimited", tmp_path)
    put(root, ".dockerenv", "")
    (finding,) = check_container(around(root))
    assert finding.grade is Grade.NOTE
    assert "--memory" in finding.advice
