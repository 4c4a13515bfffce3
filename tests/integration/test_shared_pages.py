"""Workers forked from a process that has loaded much share its pages, under a budget as without."""

import json
import sys
from pathlib import Path

import pytest

from cgroup_v1 import limited_group, unavailable
from commands import clean_environment
from membudget.units import MIB

REASON = unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

PROGRAM = str(Path(__file__).parent / "shared_pages_program.py")
WORKERS, OBJECTS, OWN = 4, 200_000, 12
LIMIT = 165 * MIB
"""What all of them need without a budget is 125 MiB; copied once in each worker, 300."""


@pytest.mark.parametrize("way", ["os", "multiprocessing"])
def test_pressure_does_not_copy_what_workers_share(way: str) -> None:
    """Above its marks for seconds, nobody is killed for pages that a collection wrote to."""
    words = [PROGRAM, way, str(WORKERS), str(OBJECTS), str(OWN), "5"]
    launch = [sys.executable, "-m", "membudget", "run", "--", sys.executable, *words]
    with limited_group(LIMIT) as group:
        done = group.run(launch, timeout=300, env=clean_environment())
        kills = group.oom_kills()
    assert json.loads(done.stdout or "null") == [0] * WORKERS, done.stderr
    assert kills == 0
    assert "CRITICAL" in done.stderr  # Else nothing was asked for.
