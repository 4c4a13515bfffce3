"""A cache's memory: what it weighs, gives back, and does where there is none."""

import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from membudget._native import core
from membudget.probes.allocator import in_use

RESIDENT = """
import sys
from membudget import Cache

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
"""

TRUE = """
count, ttl = int(sys.argv[1]), sys.argv[2] or None
small = Cache("small", ttl=ttl)
small.set("a", 1.5)
before = resident()
cache = Cache("true", max_bytes="4GiB", ttl=ttl)
for number in range(count):
    cache.set(f"key number {number}", number * 1.5)
assert len(cache) == count
print(cache.held_bytes(), resident() - before)
"""

HOLES = """
sizes, bound, grown = [200, 8_000, 16_000, 30_000], 40 << 20, []
before = resident()
cache = Cache("holes", max_bytes=bound)
for number in range(40_000):
    cache.set(number, bytes(sizes[number % 4]))
    if number >= 20_000 and number % 500 == 0:
        grown.append(resident() - before)
print(sum(grown) / len(grown) / bound)
"""

EMPTIED = """
cache = Cache("emptied", max_entries=100_000)
before = resident()
for number in range(16_000):
    cache.set(number, None)
full = resident() - before
for number in range(15_990):
    cache.delete(number)
cache.reclaim(1, float("inf"))
assert 0 < len(cache) < 10
print(full, resident() - before)
"""


def told(program: str, *given: str) -> list[str]:
    command = [sys.executable, "-c", program, *given]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


has_proc = pytest.mark.skipif(
    not os.path.exists("/proc/self/statm"), reason="this system has no /proc"
)
has_trim = pytest.mark.skipif(
    core is None or "glibc" not in platform.libc_ver()[0],
    reason="only the compiled table trims, and only glibc's heap",
)


@has_proc
@pytest.mark.parametrize("ttl", ["", "1h"])
@pytest.mark.parametrize("entries", [60_000, 170_000])
def test_the_weight_is_what_the_process_grows_by(ttl: str, entries: int) -> None:
    """The cache's own cost included, within 15 %: the index grows in steps."""
    held, grown = map(int, told(RESIDENT + TRUE, str(entries), ttl))
    assert held == pytest.approx(grown, rel=0.15)


@has_proc
@has_trim
def test_a_cache_of_large_values_does_not_leave_its_bound_in_holes() -> None:
    """Values let go here and there: malloc keeps their room, 26 % of the bound, unless trimmed."""
    (grown,) = told(RESIDENT + HOLES)
    assert float(grown) < 1.18


@has_proc
@pytest.mark.skipif(core is None, reason="the plain table is Python's dict")
def test_an_emptied_cache_gives_its_own_tables_back() -> None:
    full, left = map(int, told(RESIDENT + EMPTIED))
    assert full > 1_000_000
    assert left < full // 2


STARVED = """
import gc
from collections import Counter, deque
from _testcapi import remove_mem_hooks, set_nomemory
from membudget import Cache
from membudget.registry import Registry

gc.disable()  # Where the collector runs out of memory the interpreter gives up.
calls = {
    "evict": lambda cache: cache._evict(10_000, "pressure"),
    "enforce": lambda cache: cache._enforce(),
    "set": lambda cache: cache.set(2, fresh),
    "set_many": lambda cache: cache.set_many(pairs),
    "get_many": lambda cache: cache.get_many([1, 2, 3]),
    "values": lambda cache: cache.values(),
    "items": lambda cache: cache.items(),
    "some": lambda cache: cache._some_values(0, 100),
    "reweigh": lambda cache: cache._reweigh(),
    "pop": lambda cache: cache.pop(1),
    "clear": lambda cache: cache.clear(),
}
fresh, ends = deque([2] * 20), Counter()
pairs = [(number, deque([number])) for number in range(8)]
for listener in (None, lambda *_: None):
    for name, call in calls.items():
        for first in range(30):
            for width in (1, 2, 5):
                cache = Cache("starved", max_bytes=10**7, on_evict=listener, registry=Registry())
                for key in range(5):
                    cache.set(key, deque([key] * 20))
                try:
                    set_nomemory(first, first + width)
                    try:
                        call(cache)
                    finally:
                        remove_mem_hooks()
                except BaseException as error:
                    ends[f"{name}: {type(error).__name__}"] += 1
print(sum(ends.values()), *sorted(end for end in ends if not end.endswith(": MemoryError")))
"""


@pytest.mark.skipif(core is None, reason="no Python code is whole where each line may lack memory")
@pytest.mark.skipif(
    importlib.util.find_spec("_testcapi") is None, reason="this interpreter cannot make it fail"
)
def test_a_deque_let_go_amid_an_error_does_not_clear_it() -> None:
    """Where it finds no memory for its own end it clears what is under way: SystemError."""
    short, *others = told(STARVED)
    assert int(short) > 100
    assert others == []


@pytest.mark.skipif(core is None, reason="the compiled core was not built")
@pytest.mark.skipif(in_use() is None, reason="this C library has no mallinfo2")
@pytest.mark.parametrize("part", ["caches", "contents", "failures", "sizer"])
def test_rounds_of_everything_leave_nothing_behind(part: str) -> None:
    """Each block comes from malloc, which tells how many bytes are in use."""
    environ = {**os.environ, "PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [sys.executable, Path(__file__).parents[2] / "balance_scene.py", part],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 8000  # Everything was done 900 times, and no block is below 24 bytes.
