"""The compiled core gives back all that it took: whole lives of caches and walks of the sizer."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from membudget._native import core
from membudget.probes.allocator import in_use

TESTS = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.skipif(core is None, reason="the compiled core was not built"),
    pytest.mark.skipif(in_use() is None, reason="this C library has no mallinfo2"),
]


@pytest.mark.parametrize("part", ["caches", "contents", "failures", "sizer"])
def test_rounds_of_everything_leave_nothing_behind(part: str) -> None:
    """Each block comes from malloc, which tells how many bytes are in use."""
    environ = {**os.environ, "PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [sys.executable, TESTS / "balance_scene.py", part],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 8000  # Everything was done 900 times, and no block is below 24 bytes.
