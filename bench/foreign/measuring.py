"""Runs of a program without and with a budget, interleaved, and what their ratios say."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from itertools import permutations
from math import comb, isnan, nan
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from deaths import Deaths
from programs import limited_group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from programs import Ready, Subject

    from cgroup_v1 import LimitedGroup

_RUN = (sys.executable, "-m", "membudget", "run")
UNDER_RUN = (*_RUN, "--limit", "400MiB", "--")
IN_A_GROUP = (*_RUN, "--")
"""Where a memory group is the limit, `run` is to find it."""
WAYS = ("without", "with", "again")
"""The second run without shows what two equal runs differ by: the noise floor."""

_MARK = "membudget: "
"""How the lines begin that `run` writes to standard error."""

_CONFIDENCE = 0.95
# Of proc_pid_stat(5), from the state on.
_SESSION, _OF_ENDED_CHILDREN = 3, (13, 14)
_FAILURES = (AssertionError, OSError, HTTPException, subprocess.TimeoutExpired)
_TICK = 1 / os.sysconf("SC_CLK_TCK")
_NANO = 1e-9


class Run(NamedTuple):
    """What one run took, in seconds, and what was seen of it.

    Attributes:
        start: From the first process to the program being up.
        work: The fixed piece of work; NaN where it was not done.
        processor: Processor time of all the program's processes during the work.
        code: The exit code, None where it did not end when asked to.
        seen: What its clients got and what it said, times and numbers left out, in any order.
        deaths: Its processes that died by a signal that nobody sends on purpose, if it can be told.
        lines: What membudget wrote to standard error.
    """

    start: float
    work: float
    processor: float
    code: int | None
    seen: list[str]
    deaths: int | None
    lines: list[str]


class Ratio(NamedTuple):
    """The median of the ratios of pairs, and where it lies with 95 % confidence."""

    median: float
    low: float
    high: float


def measure(subject: Subject, pairs: int) -> Iterator[dict[str, Run]]:
    """A run in each way, so many times, in ever another order; one before to warm up."""
    _run(subject, "with")
    orders = list(permutations(WAYS))
    for number in range(pairs):
        yield {way: _run(subject, way) for way in orders[number % len(orders)]}


@contextmanager
def place(subject: Subject, way: str) -> Iterator[tuple[LimitedGroup | None, Sequence[str]]]:
    """The group that it is to run in, if any, and the command to start it behind."""
    prefix: Sequence[str] = () if way != "with" else IN_A_GROUP if subject.room else UNDER_RUN
    if subject.room is None:
        yield None, prefix
        return
    with limited_group(subject.room) as group:
        yield group, group.enter_command(prefix)


def _run(subject: Subject, way: str) -> Run:
    with ExitStack() as stack:
        group, prefix = stack.enter_context(place(subject, way))
        deaths = stack.enter_context(Deaths())
        ended, began = _children_processor_time(), time.perf_counter()
        try:
            ready = stack.enter_context(subject.run(prefix))
        except _FAILURES as error:
            killed = group.oom_kills() if group is not None else None
            seen = [f"did not come up: {error!r}"]
            return Run(time.perf_counter() - began, nan, nan, None, seen, killed, [])
        start, before = time.perf_counter() - began, _processor_time(ready.session)
        try:
            took, seen = ready.work()
        except _FAILURES as error:
            took, seen = nan, [f"did not do its work: {error!r}"]
        if ready.program.process.returncode is None:
            spent = _processor_time(ready.session) - before
        else:
            spent = _children_processor_time() - ended - before
        code, said, lines = _end(ready)
        killed = deaths.of(ready.program.process.pid)
        if group is not None:
            killed = max(killed or 0, group.oom_kills())
    seen = [line for line in (*seen, *said) if not re.search(subject.races, line)]
    return Run(start, took, spent, code, seen, killed, lines)


def _end(ready: Ready) -> tuple[int | None, list[str], list[str]]:
    """The exit code, what the program said, and what membudget wrote."""
    try:
        outcome = ready.program.end(ready.by)
    except subprocess.TimeoutExpired:
        return None, ["did not end when asked to"], []
    lines = lines_of(outcome.errors)
    own = "\n".join(line for line in outcome.errors.splitlines() if line not in lines)
    code, *said = outcome._replace(errors=own).general()
    return code, sorted(set().union(*said)), lines


def lines_of(errors: str) -> list[str]:
    """What membudget wrote among a program's errors."""
    return [line for line in errors.splitlines() if _MARK in line]


def differences(rounds: Sequence[dict[str, Run]]) -> list[str]:
    """What no run without did or said, and what all of them did but one with a budget did not."""
    plain = [one[way] for one in rounds for way in ("without", "again")]
    known = set().union(*(run.seen for run in plain))
    due = set(plain[0].seen).intersection(*(run.seen for run in plain))
    found: dict[str, None] = {}
    for run in (one["with"] for one in rounds):
        if run.code not in {other.code for other in plain}:
            found[f"exit code {run.code} instead of {plain[0].code}"] = None
        found |= dict.fromkeys(f"only under run: {x}" for x in run.seen if x not in known)
        found |= dict.fromkeys(f"not under run: {x}" for x in sorted(due.difference(run.seen)))
    return list(found)


def ratio(
    rounds: Sequence[dict[str, Run]], of: str, figure: Callable[[Run], float], to: str = "without"
) -> Ratio | None:
    """One way's figure over the other's, pair by pair, or None where no pair did its work.

    The interval is the sign test's: between the two ratios that the true median lies outside of in
    at most 5 % of samples, whatever they are distributed like. Under six pairs it is their range.
    """
    ratios = (figure(one[of]) / figure(one[to]) for one in rounds)
    found = sorted(one for one in ratios if not isnan(one))
    if not found:
        return None
    count, outside, left_out = len(found), 1, 0
    while 2 * outside <= (1 - _CONFIDENCE) * 2**count:
        left_out += 1
        outside += comb(count, left_out)
    left_out = max(0, left_out - 1)
    return Ratio(median(found), found[left_out], found[-1 - left_out])


def _children_processor_time() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _processor_time(session: int) -> float:
    """Seconds of a session: its living threads, as the scheduler counts them, and its dead."""
    total = 0.0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            figures = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(figures[_SESSION]) == session:
                total += sum(int(figures[index]) for index in _OF_ENDED_CHILDREN) * _TICK
                for task in entry.glob("task/*/schedstat"):
                    total += int(task.read_text().split()[0]) * _NANO
        except (ProcessLookupError, FileNotFoundError):
            continue
    return total
