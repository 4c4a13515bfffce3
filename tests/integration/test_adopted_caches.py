"""An unbounded `functools.lru_cache` at full speed, in a container's limit."""

import signal
import sys
from pathlib import Path

import pytest

from cgroup_v1 import limited_group, unavailable
from commands import clean_environment

LIMIT = 400_000_000
PROGRAM = str(Path(__file__).parent / "adopted_program.py")
COUNTS = {"dict": 900_000, "1k": 700_000, "10k": 100_000, "1m": 1500}

pytestmark = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))


@pytest.mark.parametrize("kind", COUNTS)
def test_it_lives_under_run_and_dies_without(kind: str) -> None:
    """The same program, the same limit of the kernel's; under `run` it ends by itself."""
    program = [sys.executable, PROGRAM, kind, str(COUNTS[kind])]
    with limited_group(LIMIT) as group:
        bare = group.run(program, timeout=300, env=clean_environment())
        assert (bare.returncode, group.oom_kills()) == (-signal.SIGKILL, 1)
    with limited_group(LIMIT) as group:
        command = [sys.executable, "-m", "membudget", "run", "--quiet", "--", *program]
        run = group.run(command, timeout=300, env=clean_environment())
        assert (run.returncode, run.stderr, group.oom_kills()) == (0, "", 0)
        assert 0 < int(run.stdout) < COUNTS[kind]
