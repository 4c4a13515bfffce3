"""A limit that comes or changes while a budget runs: the cache has given way before it is met."""

import resource
import subprocess
import sys
from contextlib import AbstractContextManager

import pytest

from cgroup_v1 import LimitedGroup, limited_group, unavailable
from commands import line_from
from waiting import eventually

MIB = 1 << 20
WHY_NO_GROUP = unavailable()

FILLING = """
import os, sys, time
import membudget

budget = membudget.start()
cache, told, refused, ends = budget.cache("filling"), None, 0, float("inf")
for number in range(10**9):
    try:
        cache.set(number, os.urandom(20_000))
    except MemoryError:
        refused += 1
    if number % 20 == 0:
        time.sleep(0.003)
        now = f"{budget.pressure.source} {(budget.pressure.limit or 0) >> 20}"
        if now != told:
            told = now
            print(now, flush=True)
            ends = time.monotonic() + (2 if sys.argv[1] in now else 1e9)
        if time.monotonic() > ends:
            break
print(refused, len(cache) > 0, flush=True)
"""
"""Fills a cache by 20 MB a second, and ends two seconds after the limit looked for is told."""


def filling(
    until: str, group: LimitedGroup | None = None
) -> AbstractContextManager[subprocess.Popen[str]]:
    """The program, in a group where one is given."""
    command = [sys.executable, "-c", FILLING, until]
    if group is not None:
        command = group.enter_command(command)
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def rest_of(program: subprocess.Popen[str]) -> list[str]:
    """What it still prints, to its end."""
    assert program.stdout is not None
    lines = program.stdout.read().splitlines()
    assert program.wait() == 0
    return lines


@pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux keeps them")
def test_a_resource_limit_that_is_set_from_outside_is_kept() -> None:
    """`prlimit` on a running process: no value is refused, and the cache is not emptied."""
    with filling("RLIMIT_AS") as program:
        line_from(program)
        with open(f"/proc/{program.pid}/statm", encoding="ascii") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        _, hard = resource.prlimit(program.pid, resource.RLIMIT_AS)
        resource.prlimit(program.pid, resource.RLIMIT_AS, (size + 120 * MIB, hard))
        *told, last = rest_of(program)
    assert any(line.startswith("RLIMIT_AS") for line in told)
    assert last == "0 True"


@pytest.mark.skipif(WHY_NO_GROUP is not None, reason=str(WHY_NO_GROUP))
def test_a_process_that_is_moved_keeps_the_limit_of_its_new_group() -> None:
    """While its cache grows; the kernel has nobody to kill."""
    with limited_group(400 * MIB) as one, limited_group(60 * MIB) as other:
        with filling(f"{other.path.name} 60", one) as program:
            line_from(program)
            (other.path / "cgroup.procs").write_text(str(program.pid))
            *told, last = rest_of(program)
        assert told[-1].endswith(f"{other.path.name} 60")
        assert last == "0 True"
        assert other.oom_kills() == 0


@pytest.mark.skipif(WHY_NO_GROUP is not None, reason=str(WHY_NO_GROUP))
def test_a_group_above_that_gets_less_is_kept_to() -> None:
    """The limit of the parent is lowered; the group itself has none."""
    with limited_group(400 * MIB) as above, limited_group(None, parent=above) as own:
        with filling(f"{above.path.name} 100", own) as program:
            line_from(program)
            above.set_limit(100 * MIB)
            *told, last = rest_of(program)
        assert told[-1].endswith(f"{above.path.name} 100")
        assert last == "0 True"
        assert above.oom_kills() == 0


@pytest.mark.skipif(WHY_NO_GROUP is not None, reason=str(WHY_NO_GROUP))
@pytest.mark.parametrize("whose", ["its own", "one above"])
def test_caches_give_back_until_a_limit_below_what_is_held_fits(whose: str) -> None:
    """v1 refuses it as long as nobody does; who lowers it tries again."""
    with limited_group(300 * MIB) as above, limited_group(None, parent=above) as own:
        group = own if whose == "its own" else above
        with filling(f"{group.path.name} 100", own) as program:
            eventually(lambda: own.peak() > 160 * MIB)
            eventually(lambda: lowered(group, 100 * MIB))
            *told, last = rest_of(program)
        assert told[-1].endswith(f"{group.path.name} 100")
        assert last == "0 True"
        assert (own.oom_kills(), above.oom_kills()) == (0, 0)


def lowered(group: LimitedGroup, limit: int) -> bool:
    try:
        group.set_limit(limit)
    except AssertionError:
        return False
    return True
