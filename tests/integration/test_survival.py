"""What the package is for: under a limit that the kernel enforces, a governed process lives."""

import json
import signal
import sys
from pathlib import Path

import pytest

from cgroup_v1 import limited_group, unavailable
from membudget.units import MIB

REASON = unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

PROGRAM = str(Path(__file__).parent / "survival_program.py")
LIMIT = 100 * MIB


def test_a_cache_that_would_outgrow_the_limit_tenfold_keeps_its_process_alive() -> None:
    """Told neither the limit nor a size, the cache finds the group's limit and stays useful."""
    with limited_group(LIMIT) as group:
        done = group.run([sys.executable, PROGRAM, "budget"], timeout=300)
        kills = group.oom_kills()
    assert done.returncode == 0, done.stderr
    assert kills == 0
    figures = json.loads(done.stdout)
    assert figures["limit"] == LIMIT
    assert figures["newest"]
    # Evicting all would survive as well, and be no cache.
    assert figures["entries"] * 10_000 > LIMIT // 4


def test_without_a_budget_the_same_load_is_killed() -> None:
    """The twin with a plain dict shows that the limit is real."""
    with limited_group(LIMIT) as group:
        done = group.run([sys.executable, PROGRAM, "dict"], timeout=300)
        kills = group.oom_kills()
    assert done.returncode == -signal.SIGKILL
    assert kills == 1
