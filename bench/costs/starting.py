"""What a start costs, in fresh processes: processor time, memory, threads and modules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from importlib.util import find_spec

_SRC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "src")
UNWANTED = ("psutil", "asyncio", "ssl", "numpy", "dataclasses")
"""What a start must not import into a program that has no use for it."""

_HOST = "import fastapi, uvicorn; app = fastapi.FastAPI(); config = uvicorn.Config(app)"
_OURS = (
    "import membudget; budget = membudget.start('400MiB'); "
    "cache = budget.cache('prices', max_bytes='50MiB')"
)
_PEERS = "import psutil; psutil.Process().memory_info(); psutil.virtual_memory()"

# No site: what an editable install or a .pth file loads would otherwise hide what we load.
_PROGRAM = """
import os, sys, time
sys.path[:0] = sys.argv[1].split(os.pathsep)
host, measured, rest = sys.argv[2:5]
def rss():
    fd = os.open("/proc/self/statm", os.O_RDONLY)
    pages = int(os.read(fd, 200).split()[1])
    os.close(fd)
    return pages * os.sysconf("SC_PAGE_SIZE")
space = {}
exec(host, space)
code = compile(measured, "measured", "exec")
before, modules = rss(), set(sys.modules)
began = time.process_time()
exec(code, space)
took = time.process_time() - began
grown = rss() - before
time.sleep(float(rest))
settled, new = rss() - before, sorted(set(sys.modules) - modules)
threads = len(os.listdir("/proc/self/task")) - 1
import json
print(json.dumps([took, grown, settled, threads, new]))
"""


@dataclass(frozen=True)
class Start:
    """One start (seconds and bytes).

    Attributes:
        took: Of processor time, from the import to a running budget with one cache.
        grown: How far resident memory rose by then.
        settled: How far it had risen a moment later, with what the thread loads.
        threads: Threads beside the first.
        modules: What was imported.
    """

    took: float
    grown: int
    settled: int
    threads: int
    modules: tuple[str, ...]


def has_host() -> bool:
    """Whether FastAPI and uvicorn are there to start beside."""
    return all(find_spec(name) is not None for name in ("fastapi", "uvicorn"))


def kinds() -> dict[str, tuple[str, str]]:
    """By name, what runs before the clock starts and what is timed."""
    found = {"ours alone": ("", _OURS), "psutil alone": ("", _PEERS)}
    if has_host():
        found |= {"ours in a host": (_HOST, _OURS), "psutil in a host": (_HOST, _PEERS)}
    return found


def measure(repetitions: int, rest: float = 0.5) -> dict[str, list[Start]]:
    """So many starts of each kind, interleaved; one of each before, to fill the file cache."""
    starts: dict[str, list[Start]] = {name: [] for name in kinds()}
    for number in range(repetitions + 1):
        for name, (host, measured) in kinds().items():
            start = _start(host, measured, rest)
            if number:
                starts[name].append(start)
    return starts


def _start(host: str, measured: str, rest: float) -> Start:
    paths = [os.path.abspath(_SRC), sysconfig.get_path("purelib"), *filter(None, sys.path[1:])]
    argv = [sys.executable, "-I", "-S", "-c", _PROGRAM, os.pathsep.join(paths)]
    done = subprocess.run(
        [*argv, host, measured, str(rest)], check=True, capture_output=True, text=True
    )
    took, grown, settled, threads, modules = json.loads(done.stdout)
    return Start(took, grown, settled, threads, tuple(modules))
