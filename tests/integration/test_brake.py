"""The brake under limits that the kernel enforces: what would be killed gets a MemoryError."""

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cgroup_v1 import LimitedGroup, limited_group, unavailable
from membudget.probes.allocator import allocator
from membudget.units import MIB

REASON = unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

PROGRAM = str(Path(__file__).parent / "brake_program.py")
LIMIT = 100 * MIB
LOADS = ["one_call", "many_objects", "touched_late"]
UNBRAKED = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import brake_program
getattr(brake_program, sys.argv[1])()
"""


@pytest.fixture
def group() -> Iterator[LimitedGroup]:
    with limited_group(LIMIT) as made:
        yield made


def run(group: LimitedGroup, what: str) -> dict[str, Any]:
    """All that the program says, once it has ended well and unkilled."""
    done = group.run([sys.executable, PROGRAM, what], timeout=300)
    assert done.returncode == 0, done.stderr
    assert group.oom_kills() == 0
    said: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        said |= json.loads(line)
    return said


@pytest.mark.parametrize("load", LOADS)
def test_what_would_be_killed_is_a_memory_error_in_its_caller(
    group: LimitedGroup, load: str
) -> None:
    """The traceback can be told, the threads beside it live, and small requests go on."""
    said = run(group, load)
    assert said["ended"] == "MemoryError"
    assert load in said["told"]
    assert said["threads_lived"] == 4
    assert said["goes_on"]
    assert said["afterwards"] == -1


@pytest.mark.skipif(allocator().name != "glibc", reason="only glibc's malloc can be trimmed")
def test_what_fits_once_malloc_gave_back_is_not_refused(group: LimitedGroup) -> None:
    """60 MiB freed between blocks in use, then 55 MiB in one call: both are more than there is."""
    said = run(group, "freed")
    assert said["ended"] == "fitted"
    assert said["failed"] == 0


@pytest.mark.parametrize("load", LOADS)
def test_without_the_brake_the_same_load_is_killed(group: LimitedGroup, load: str) -> None:
    """The twin shows that the limit is real."""
    done = group.run([sys.executable, "-c", UNBRAKED, load], timeout=300)
    assert done.returncode == -signal.SIGKILL
    assert group.oom_kills() == 1


def test_no_child_is_bound(group: LimitedGroup) -> None:
    """Whatever way a child is made, it has the old limit, and the parent its brake again."""
    said = run(group, "children")
    own = said.pop("own")
    assert 0 < own < LIMIT + 64 * MIB
    said.pop("released_after")
    assert set(said.values()) == {-1}, said


def test_a_forked_worker_is_braked_for_itself_after_a_while(group: LimitedGroup) -> None:
    """Born free, since it may exec at once; then it has a limit of its own, which works."""
    said = run(group, "forked")
    assert said["born"] == -1
    assert 0 < said["later"] == said["state"]
    assert said["ended"] == "MemoryError"


def test_a_second_budget_and_a_limit_put_back_leave_no_limit_behind(group: LimitedGroup) -> None:
    """Neither a refused second brake's limit nor one that a library put back is the program's."""
    said = run(group, "put_back")
    assert said["second"] == 1
    assert said["lowered"] == said["read"] - 10 * MIB
    assert said["afterwards"] == -1


def test_threads_can_be_started_with_the_memory_full(group: LimitedGroup) -> None:
    """Their stacks count as mapped, 8 MiB each; a tick at the wrong moment may refuse one."""
    said = run(group, "threads")
    assert said["room"] < 8 * MIB
    assert said["started"] >= 18
