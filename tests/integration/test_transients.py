"""Loads that come and go beside a cache, under a limit that the kernel keeps."""

import json
import sys
from pathlib import Path

import pytest

from cgroup_v1 import limited_group, unavailable
from membudget.units import MIB

REASON = unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))
PROGRAM = str(Path(__file__).parent / "transients_program.py")


def test_loads_that_fit_live_and_the_cache_beside_them_stays() -> None:
    """120 MB each second in 400 MiB: the cache settles at what is left, and is not emptied."""
    with limited_group(400 * MIB) as group:
        done = group.run([sys.executable, PROGRAM, "12"], timeout=300)
        kills = group.oom_kills()
    assert done.returncode == 0, done.stderr
    assert kills == 0
    told = json.loads(done.stdout)
    assert told["an_hour"] >= 2, told
    assert told["load"] <= told["kept"] + MIB <= 1.3 * told["load"]
    assert told["held"] > 180 * MIB, told
    assert max(told["lost"][2:]) < 0.05, told
