"""The cgroup probe and its wake-ups in real memory groups whose limits the kernel keeps."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cgroup_v1 import LimitedGroup, limited_group, unavailable
from commands import line_from, say_to
from fakes import FakeClock
from membudget.probes.cgroup import CgroupProbe, cgroup_probe
from membudget.units import MIB

REASON = unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

READ_ITSELF = """
import json
from membudget.probes.cgroup import cgroup_probe
reading = cgroup_probe()()
print(json.dumps([reading.source, reading.limit, reading.used]))
"""
READ_A_FILE = """
import json, os, sys
from membudget.probes.cgroup import cgroup_probe
path, size = sys.argv[1], int(sys.argv[2])
chunk = bytes(1 << 20)
with open(path, "wb") as file:
    for _ in range(size >> 20):
        file.write(chunk)
    os.fsync(file.fileno())
for _ in range(2):
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 20):
            pass
reading = cgroup_probe()()
print(json.dumps([reading.used, reading.parts["cgroup_file"]]))
"""
CROSS_A_THRESHOLD = """
import json, select
from membudget.probes.cgroup import cgroup_probe
from membudget.probes.hints import kernel_hints
hints = kernel_hints(cgroup_probe(), [64 << 20, 96 << 20], environ={})
hint = hints[0]
poll = select.poll()
poll.register(hint.fileno(), hint.events)
fired = [bool(poll.poll(0))]
blocks = []
for size in (20 << 20, 50 << 20, 30 << 20):
    blocks.append(bytearray(b"x") * size)
    fired.append(bool(poll.poll(0)))
    hint.clear()
print(json.dumps([hint.name, fired]))
"""


def run_inside(group: LimitedGroup, code: str, *arguments: str) -> Any:
    """What a Python program prints as JSON when it runs inside a group."""
    done = group.run([sys.executable, "-c", code, *arguments])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextmanager
def waiting_process(group: LimitedGroup) -> Iterator[int]:
    """The process id of something that runs inside a group and does nothing."""
    with group.start(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        # Its answer says that it has entered the group.
        say_to(process, "here")
        assert line_from(process) == "here\n"
        yield process.pid


def probe_of(pid: int, clock: FakeClock | None = None) -> CgroupProbe:
    """The cgroup probe of a process."""
    probe = cgroup_probe(pid, now=(clock or FakeClock()).now)
    assert probe is not None
    return probe


def test_a_process_finds_the_limit_of_its_group() -> None:
    """The limit is the kernel's, the source names the group, and use is about what Python needs."""
    with limited_group(200 * MIB) as group:
        source, limit, used = run_inside(group, READ_ITSELF)
    assert limit == 200 * MIB
    assert source.startswith("cgroup v1 /")
    assert source.endswith(group.path.name)
    assert MIB < used < 100 * MIB


def test_the_limit_of_a_group_above_counts() -> None:
    """A group without a limit of its own ends where the one above it does."""
    with (
        limited_group(300 * MIB) as parent,
        limited_group(None, parent=parent) as child,
        limited_group(None, parent=child) as grandchild,
    ):
        source, limit, _used = run_inside(grandchild, READ_ITSELF)
    assert limit == 300 * MIB
    assert source.endswith(parent.path.name)


def test_what_others_use_in_the_group_above_counts() -> None:
    """Use and limit are of the group above, so a neighbour there is seen as well."""
    neighbour = "import sys; block = bytearray(b'x') * (60 << 20); print(); input()"
    with (
        limited_group(300 * MIB) as parent,
        limited_group(None, parent=parent) as ours,
        limited_group(None, parent=parent) as theirs,
        theirs.start(
            [sys.executable, "-c", neighbour], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other,
        waiting_process(ours) as pid,
    ):
        line_from(other)
        assert probe_of(pid)().used > 60 * MIB
        other.communicate("\n")


def test_a_limit_changed_while_running_is_seen() -> None:
    """A container that is resized, or given its first limit, is judged by the new one."""
    clock = FakeClock()
    with limited_group(None) as group, waiting_process(group) as pid:
        probe = probe_of(pid, clock)
        before = probe().limit
        group.set_limit(200 * MIB)
        assert probe().limit == before
        clock.advance(5.0)
        assert probe().limit == 200 * MIB
        group.set_limit(100 * MIB)
        clock.advance(5.0)
        assert probe().limit == 100 * MIB


def test_a_process_moved_to_another_group_is_found_there() -> None:
    """The probe follows the process, not the group it once was in."""
    clock = FakeClock()
    with (
        limited_group(200 * MIB) as one,
        limited_group(300 * MIB) as other,
        waiting_process(one) as pid,
    ):
        probe = probe_of(pid, clock)
        assert probe().limit == 200 * MIB
        (other.path / "cgroup.procs").write_text(str(pid))
        clock.advance(5.0)
        assert probe().limit == 300 * MIB


def test_where_a_group_was_removed_the_new_one_is_found_at_once() -> None:
    """The kernel refuses the files of a removed group; they are not read as nought."""
    with (
        limited_group(300 * MIB) as other,
        limited_group(200 * MIB) as group,
        waiting_process(group) as pid,
    ):
        probe = probe_of(pid)
        (other.path / "cgroup.procs").write_text(str(pid))
        group.path.rmdir()
        assert probe().limit == 300 * MIB


def test_reading_files_is_no_use(tmp_path: Path) -> None:
    """A program that only streams a file fills the group with page cache and needs none of it."""
    with limited_group(128 * MIB) as group:
        used, file = run_inside(group, READ_A_FILE, str(tmp_path / "big"), str(256 * MIB))
    assert file > 80 * MIB
    assert used < 40 * MIB


def test_kills_in_the_group_are_counted() -> None:
    """A process that takes more than the limit is killed, and the probe can tell."""
    with limited_group(64 * MIB) as group, waiting_process(group) as pid:
        probe = probe_of(pid)
        assert probe.oom_kills() == 0
        # The biggest process is chosen, which is not the one that waits.
        done = group.run([sys.executable, "-c", "bytearray(b'x') * (200 << 20)"])
        assert done.returncode != 0
        assert probe.oom_kills() == group.oom_kills() == 1


def test_crossing_a_threshold_wakes_and_can_wake_again() -> None:
    """The kernel tells when usage crosses each threshold, and only then."""
    with limited_group(200 * MIB) as group:
        name, fired = run_inside(group, CROSS_A_THRESHOLD)
    assert name == f"cgroup v1 usage of {group.path}"
    assert fired == [False, False, True, True]
