"""What a running budget takes of a core while the program itself does nothing.

All kinds run at the same time, each in a process of its own: whatever disturbs the machine
disturbs all of them. A process that wakes as often and does nothing shows what waking alone costs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass

_SRC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "src")
_BEGIN = """
import json, resource, sys, threading, time
sys.path.insert(0, sys.argv[1])
seconds = float(sys.argv[2])
"""
_END = """
time.sleep(1.0)
began, used = time.monotonic(), time.process_time()
wakes = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
time.sleep(seconds)
lasted, used = time.monotonic() - began, time.process_time() - used
wakes = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - wakes
"""
_OURS = """
import membudget
block = b"1" * {held}
from membudget.probes.process import process_probe
limit = int(process_probe()().used / {fraction})
budget = membudget.start(limit, sinks=[])
cache = budget.cache("prices")
{end}
print(json.dumps([used / lasted, wakes / lasted, budget.pressure.fraction]))
"""
_PEERS = """
import psutil
def look():
    process = psutil.Process()
    while True:
        process.memory_info(), psutil.virtual_memory()
        time.sleep({interval})
threading.Thread(target=look, daemon=True).start()
{end}
print(json.dumps([used / lasted, wakes / lasted, 0.0]))
"""
_NOTHING = """
def sleep():
    while True:
        time.sleep({interval})
threading.Thread(target=sleep, daemon=True).start()
{end}
print(json.dumps([used / lasted, wakes / lasted, 0.0]))
"""

_HELD = 100 << 20
_PROGRAMS = {
    "ours at rest": _OURS.format(held=0, fraction=0.1, end=_END),
    "ours at the fast tick": _OURS.format(held=_HELD, fraction=0.85, end=_END),
    "psutil each second": _PEERS.format(interval=1.0, end=_END),
    "psutil each 10 ms": _PEERS.format(interval=0.01, end=_END),
    "only sleeps of 10 ms": _NOTHING.format(interval=0.01, end=_END),
}


@dataclass(frozen=True)
class Rest:
    """One process's rest.

    Attributes:
        share: Of one core.
        wakes: How often it went to sleep and woke, a second.
        fraction: Used ÷ limit at the end, 0.0 where none is judged.
    """

    share: float
    wakes: float
    fraction: float


def measure(repetitions: int, seconds: float) -> dict[str, list[Rest]]:
    """So many rests of each kind, one second after its start."""
    found: dict[str, list[Rest]] = {name: [] for name in _PROGRAMS}
    for _ in range(repetitions):
        running = {name: _begin(program, seconds) for name, program in _PROGRAMS.items()}
        for name, process in running.items():
            said, _ = process.communicate()
            if process.returncode:
                raise RuntimeError(f"the process for {name!r} ended with {process.returncode}")
            found[name].append(Rest(*json.loads(said)))
    return found


def _begin(program: str, seconds: float) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", _BEGIN + program, os.path.abspath(_SRC), str(seconds)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
