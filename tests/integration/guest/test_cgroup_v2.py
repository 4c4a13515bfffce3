"""What is promised under cgroup v2, where a kernel keeps it: limits, pressure, swap, kills."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cgroup_v2 import group_v2
from commands import clean_environment, line_from, say_to
from membudget.probes.cgroup import CgroupProbe, cgroup_probe
from membudget.units import MIB
from waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cgroup_v2 import Group

pytestmark = pytest.mark.xdist_group("guest")  # One guest has them all.

PROGRAMS = Path(__file__).parents[1]
CACHED = """
import functools
make = functools.lru_cache(maxsize=None)(lambda n: "x" * 10_000 + str(n))
for number in range(8000):
    make(number)
print(make.cache_info().currsize)
"""
"""Keeps 80 MB of results."""
FILLING = """
import os, sys
import membudget

block = os.urandom(20_000)
with membudget.start(sinks=[]) as budget:
    cache, refused, told = budget.cache("filling"), 0, None
    limit = budget.pressure.limit
    for number in range(10**9):
        try:
            cache.set(number, block + b"%d" % number)
        except MemoryError:
            refused += 1
        if number % 20 == 0:
            now = f"{budget.pressure.source} {budget.pressure.limit >> 20}"
            if now != told or number % 2000 == 0:
                told = now
                print(now, len(cache), flush=True)
            if os.path.exists(sys.argv[1]):
                break
    print("refused", refused, flush=True)
"""
"""Fills a cache for as long as a file is not there, and tells which limit rules."""
DEMO = ("demo", "--for", "8s", "--limit", "80MiB", "--json")
HOLDING = """
import sys
import membudget
ballast = bytearray(b"x") * (60 << 20)
with membudget.start(sinks=[]) as budget:
    print("ready", flush=True)
    for _line in sys.stdin:
        print(budget.step().used, flush=True)
"""


@contextmanager
def filling(group: Group, folder: Path) -> Iterator[Filling]:
    """The filling program in a group, killed at the end if it still runs."""
    end = folder / "end"
    with group.start(
        [sys.executable, "-c", FILLING, str(end)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield Filling(process, end)
        finally:
            process.kill()


class Filling:
    """A program that fills a cache until a file is there."""

    def __init__(self, process: subprocess.Popen[str], end: Path) -> None:
        self._process, self._end = process, end

    def wait_for(self, told: str, entries: int = 0) -> None:
        """Read on until it tells a limit, and that its cache holds so many."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            source_and_limit, _, held = line.rpartition(" ")
            if source_and_limit == told and int(held) >= entries:
                return
        pytest.fail(f"it ended: {self._process.communicate()}")

    def refused_at_its_end(self) -> str:
        self._end.touch()
        out, errors = self._process.communicate()
        assert self._process.returncode == 0, errors
        return out.splitlines()[-1]


@contextmanager
def waiting_process(group: Group) -> Iterator[CgroupProbe]:
    """The probe of something that runs inside a group and does nothing."""
    with group.start(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        say_to(process, "here")
        assert line_from(process) == "here\n"
        probe = cgroup_probe(process.pid)
        assert probe is not None
        yield probe
        probe.close()


@pytest.mark.parametrize("depth", range(4))
def test_the_limit_is_found_at_every_depth_of_the_tree(depth: int) -> None:
    """Of four groups in each other, the process in the lowest, one alone has a limit."""
    limits: list[int | None] = [None] * 4
    limits[depth] = 200 * MIB
    names = ["a", "a/b", "a/b/c", "a/b/c/d"]
    with (
        group_v2(limits[0], name="a") as a,
        group_v2(limits[1], name="b", parent=a) as b,
        group_v2(limits[2], name="c", parent=b) as c,
        group_v2(limits[3], name="d", parent=c) as d,
        waiting_process(d) as probe,
    ):
        reading = probe()
    assert (reading.source, reading.limit) == (f"cgroup v2 /{names[depth]}", 200 * MIB)


def test_the_group_nearest_to_its_limit_rules() -> None:
    """Whatever the neighbour holds counts against the limit that both share."""
    hold = "block = bytearray(b'x') * (60 << 20); print(flush=True); input()"
    with (
        group_v2(100 * MIB) as shared,
        group_v2(90 * MIB, name="ours", parent=shared) as ours,
        group_v2(name="theirs", parent=shared) as theirs,
        waiting_process(ours) as probe,
    ):
        assert probe().source == "cgroup v2 /app/ours"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with theirs.start([sys.executable, "-c", hold], **pipes) as neighbour:
            line_from(neighbour)
            probe.look_soon()
            reading = probe()
            neighbour.communicate("\n")
    assert reading.source == "cgroup v2 /app"
    assert reading.used > 60 * MIB


def test_memory_high_is_a_limit_that_a_cache_fills_on_below(tmp_path: Path) -> None:
    """Above it the kernel throttles a program to a standstill."""
    with group_v2(300 * MIB) as group:
        group.set_high(64 * MIB)
        with filling(group, tmp_path) as program:
            for _ in range(3):
                program.wait_for("cgroup v2 /app 64", entries=500)
            assert program.refused_at_its_end() == "refused 0"


def test_a_limit_that_is_raised_is_used_and_one_that_is_lowered_is_kept(tmp_path: Path) -> None:
    """While its cache fills; memory.high goes first, for memory.max below what is held kills."""
    with group_v2(64 * MIB) as group:
        with filling(group, tmp_path) as program:
            program.wait_for("cgroup v2 /app 64", entries=500)
            group.set_limit(128 * MIB)
            program.wait_for("cgroup v2 /app 128", entries=3000)
            group.set_high(80 * MIB)
            eventually(lambda: group.current() < 70 * MIB)
            group.set_limit(80 * MIB)
            program.wait_for("cgroup v2 /app 80", entries=500)
            assert program.refused_at_its_end() == "refused 0"
        assert group.oom_kills() == 0


def test_what_is_swapped_out_counts_as_used() -> None:
    """The kernel puts 40 MiB of 60 out, and the program needs no less than before."""
    with group_v2(128 * MIB, swap=True) as group:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with group.start([sys.executable, "-c", HOLDING], **pipes) as process:
            assert line_from(process) == "ready\n"
            group.write("memory.reclaim", str(40 * MIB))
            assert group.swapped() > 30 * MIB
            out, _ = process.communicate("\n")
        assert int(out) > 60 * MIB


def test_a_cache_filled_at_full_speed_keeps_its_process_alive() -> None:
    """Told neither the limit nor a size, it finds the group's limit; the twin is killed."""
    program = [sys.executable, str(PROGRAMS / "survival_program.py")]
    with group_v2(64 * MIB) as group, waiting_process(group) as probe:
        done = group.run([*program, "budget", "20000"])
        assert (done.returncode, group.oom_kills()) == (0, 0), done.stderr
        told = json.loads(done.stdout)
        assert told["limit"] == 64 * MIB
        assert told["newest"]
        # Evicting all would survive as well, and be no cache.
        assert told["entries"] * 10_000 > 16 * MIB
        assert group.run([*program, "dict", "20000"]).returncode == -signal.SIGKILL
        assert probe.oom_kills() == group.oom_kills() == 1


def test_an_unbounded_lru_cache_lives_under_run_and_dies_without() -> None:
    """The program is unchanged, and the same limit of the kernel's stands."""
    program = [sys.executable, "-c", CACHED]
    run = [sys.executable, "-m", "membudget", "run", "--quiet", "--", *program]
    with group_v2(64 * MIB) as group:
        assert group.run(program).returncode == -signal.SIGKILL
        assert group.oom_kills() == 1
        done = group.run(run, env=clean_environment())
        assert (done.returncode, done.stderr, group.oom_kills()) == (0, "", 1)
        assert 0 < int(done.stdout) < 8000


def test_the_brake_makes_a_memory_error_of_what_would_be_killed() -> None:
    """One call for eight times the limit; the traceback is told and small requests go on."""
    with group_v2(100 * MIB) as group:
        done = group.run([sys.executable, str(PROGRAMS / "brake_program.py"), "one_call"])
        assert (done.returncode, group.oom_kills()) == (0, 0), done.stderr
    said = json.loads(done.stdout.splitlines()[0])
    assert said["ended"] == "MemoryError"
    assert "one_call" in said["told"]
    assert said["goes_on"]


def test_the_demo_has_one_killed_beside_its_own_group() -> None:
    """Its own group holds processes, and so none with a limit: it goes beside."""
    with group_v2(name="all") as above, group_v2(parent=above) as own:
        result = own.run([sys.executable, "-m", "membudget", *DEMO], timeout=300)
        assert not list(above.path.glob("membudget-demo-*"))
    summary = json.loads(result.stdout.splitlines()[-1])["summary"]
    assert summary["group"] == "cgroup v2"
    assert summary["twin"]["killed_by"] == "kernel"
    assert summary["kept"], summary
