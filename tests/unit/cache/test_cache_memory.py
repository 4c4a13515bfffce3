"""What a cache weighs is what a process grows by, in a process of its own."""

import os
import platform
import subprocess
import sys

import pytest

from membudget._native import core

PROGRAM = """
import sys
from membudget import Cache

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

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
from membudget import Cache

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

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
from membudget import Cache

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

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
    command = [sys.executable, "-c", PROGRAM, str(entries), ttl]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # our own
    held, grown = map(int, told.split())
    assert held == pytest.approx(grown, rel=0.15)


@has_proc
@has_trim
def test_a_cache_of_large_values_does_not_leave_its_bound_in_holes() -> None:
    """Values let go here and there: malloc keeps their room, 26 % of the bound, unless trimmed."""
    command = [sys.executable, "-c", HOLES]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # our own
    assert float(told) < 1.18


@has_proc
@pytest.mark.skipif(core is None, reason="the plain table is Python's dict")
def test_an_emptied_cache_gives_its_own_tables_back() -> None:
    command = [sys.executable, "-c", EMPTIED]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # our own
    full, left = map(int, told.split())
    assert full > 1_000_000
    assert left < full // 2
