"""Caches of one budget in a process under a limit that the kernel keeps, asked by threads."""

import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from cgroup_v1 import limited_group, unavailable
from membudget.units import MIB
from mounting import can_mount

REASON = unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))
spills = pytest.mark.skipif(find_spec("diskcache") is None, reason="diskcache is not installed")

PROGRAM = str(Path(__file__).parent / "cache_pressure_program.py")
LIMIT = 120 * MIB
A_VALUE = 4096
"""More than one value weighs: a look may come between taking one in and letting another go."""

ON_A_SMALL_DISK = """
mount -t tmpfs -o size=400k,mode=0700 none "$1" && shift && exec "$@"
"""


def figures(*words: str, before: Sequence[str] = ()) -> dict[str, Any]:
    """What a scene of the program printed; it lived, and every value was right."""
    with limited_group(LIMIT) as group:
        done = group.run([*before, sys.executable, PROGRAM, *words], timeout=300)
        kills = group.oom_kills()
    assert done.returncode == 0, done.stderr
    assert kills == 0
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["wrong"] == 0
    assert found["errors"] == []
    return found


def test_caches_of_one_budget_keep_to_its_sum_and_the_busy_one_gets_the_room() -> None:
    """At every look; a bound of one's own holds too, and who is not asked keeps something."""
    found = figures("divided")
    assert found["are_full"], found
    assert found["is_moved"], found
    shared = found["size_limit"]
    assert found["most_of_all"] <= shared + 3 * A_VALUE
    assert 0 < found["most"]["bounded"] <= found["own"] + A_VALUE
    assert sum(found["shares"].values()) <= shared
    # A twentieth of an equal part is what each keeps, however little it earns.
    assert all(share >= shared // 100 for share in found["shares"].values())
    assert found["entries_of_idle"] > 0
    assert found["shares_after"], "the budget has ended"
    assert not any(found["shares_after"]), "who is divided no longer is not held to a share"


def test_caches_give_memory_back_when_another_part_needs_it_and_go_on() -> None:
    """What it needs goes back to the system, by nobody's doing but the budget's."""
    found = figures("pressed")
    assert found["is_full"], found
    assert found["has_room"], found
    assert {"CRITICAL", "EMERGENCY"} & set(found["levels"])
    assert found["has_fallen"], found
    assert found["given"] > 0, found
    assert sum(found["entries"]) < sum(found["before"])
    assert found["goes_on"], found


@spills
@pytest.mark.parametrize("bound", [[], ["2MiB"]], ids=["pressed", "bounded"])
def test_a_disk_that_is_taken_away_only_turns_spilling_off(
    tmp_path: Path, bound: list[str]
) -> None:
    """Until then what was evicted comes back from it; then that is told, once."""
    found = figures("spilled", str(tmp_path / "spill"), *bound)
    assert found["comes_back"], found
    assert found["from_disk"]
    assert all(found["from_disk"])
    is_off(found)


@spills
def test_a_disk_that_fills_only_turns_spilling_off(tmp_path: Path) -> None:
    """It is smaller than the spill's own bound, as where others fill it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if not can_mount(disk):
        pytest.skip("no file system can be mounted here: not root, or no namespaces")
    before = ["unshare", "-m", "sh", "-c", ON_A_SMALL_DISK, "sh", str(disk)]
    is_off(figures("spilled", str(disk / "spill"), "2MiB", before=before))


def is_off(found: dict[str, Any]) -> None:
    """The cache lives on in memory alone, and that was told."""
    assert found["is_off"], found
    assert found["state"].startswith("off: ")
    assert len(found["failures"]) == 1
    assert "spills no more" in found["failures"][0]
    assert (found["waiting"], found["on_disk"]) == (0, 0)
    assert found["goes_on"], found
    assert found["entries"] > 0
