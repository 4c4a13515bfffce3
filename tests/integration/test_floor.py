"""A real floor: memory that no cache counts stays, and a hot cache beside it lives on."""

import json
import sys
from pathlib import Path

import pytest

from cgroup_v1 import limited_group, unavailable
from membudget.units import MIB

REASON = unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

PROGRAM = str(Path(__file__).parent / "floor_program.py")


def test_a_hot_cache_beside_a_mapping_that_stays_is_served_from_memory() -> None:
    """A mapping takes three quarters of the limit: the working set is whole again, then calm."""
    with limited_group(120 * MIB) as group:
        done = group.run([sys.executable, PROGRAM], timeout=300)
        kills = group.oom_kills()
    assert done.returncode == 0, done.stderr
    assert kills == 0
    found = json.loads(done.stdout)
    assert found["is_found"], found
    assert found["is_whole"], found
    assert found["level"] in ("WARNING", "CRITICAL")
    assert found["is_forgotten"], found
    assert found["is_calm"], found
    assert len(found["held_by"]) in (1, 2), "once, and once more where nothing was left to let go"
    assert all("outside Python's and malloc's view" in text for text in found["held_by"])
