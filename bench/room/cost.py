"""What it costs to be one of many: processes at rest in one group, with a budget each."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

from groups import limited_group

_COUNT, _EACH = 64, 24 << 20
_SETTLES = 4.0
_TICK = 1 / os.sysconf("SC_CLK_TCK")

_RESTING = """
import sys, time
import membudget
cache = membudget.start().cache("few") if sys.argv[1] == "membudget" else membudget.Cache("few")
for number in range(100):
    cache.set(number, b"1" * 10_000)
while True:
    cache.get(1)
    time.sleep(0.5)
"""


class Cost(NamedTuple):
    """Milliseconds of processor time a process and second, and bytes of its slot."""

    processor: float
    slot: float
    deaths: int


def cost(way: str, seconds: float) -> Cost:
    """Watch so many at rest, with "membudget" or without."""
    with limited_group(_COUNT * _EACH) as group, tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o700)
        environment = {**os.environ, "MEMBUDGET_AGENT_DIRECTORY": folder}
        command = [sys.executable, "-c", _RESTING, way]
        running = [
            group.start(command, env=environment, stderr=subprocess.DEVNULL) for _ in range(_COUNT)
        ]
        time.sleep(_SETTLES + 0.1 * _COUNT)
        before, began = sum(map(_processor_time, running)), time.monotonic()
        time.sleep(seconds)
        spent, took = sum(map(_processor_time, running)) - before, time.monotonic() - began
        slots = [os.stat(one).st_size for one in os.scandir(folder) if one.name.endswith(".slot")]
        deaths = sum(one.poll() is not None for one in running)
        for one in running:
            one.kill()
            one.wait()
    return Cost(1000 * spent / _COUNT / took, sum(slots) / max(1, len(slots)), deaths)


def _processor_time(process: subprocess.Popen[str]) -> float:
    try:
        with open(f"/proc/{process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) * _TICK
