"""Runs of a program without and with a budget, interleaved, and what their ratios say."""

from __future__ import annotations

import os
import resource
import sys
import time
from itertools import permutations
from math import comb
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from programs import Program

UNDER_RUN = (sys.executable, "-m", "membudget", "run", "--limit", "400MiB", "--quiet", "--")
WAYS = {"without": (), "with": UNDER_RUN, "again": ()}
"""The second run without shows what two equal runs differ by: the noise floor."""

_CONFIDENCE = 0.95
_NANO = 1e-9


class Run(NamedTuple):
    """What one run took, in seconds.

    Attributes:
        start: From the first process to the program being up.
        work: The fixed piece of work.
        processor: Processor time of all the program's processes during the work.
    """

    start: float
    work: float
    processor: float

    @property
    def whole(self) -> float:
        """Start and work."""
        return self.start + self.work


class Ratio(NamedTuple):
    """The median of the ratios of pairs, and where it lies with 95 % confidence."""

    median: float
    low: float
    high: float


def measure(program: Program, pairs: int) -> Iterator[dict[str, Run]]:
    """A run in each way, so many times and once before to warm up, in ever another order."""
    orders = list(permutations(WAYS))
    for number in range(pairs + 1):
        found = {way: _run(program, WAYS[way]) for way in orders[number % len(orders)]}
        if number:
            yield found


def _run(program: Program, prefix: Sequence[str]) -> Run:
    ended = _children_processor_time()
    began = time.perf_counter()
    with program(prefix) as ready:
        start = time.perf_counter() - began
        before = _processor_time(ready.session)
        work = ready.work()
        if ready.process.returncode is None:
            spent = _processor_time(ready.session) - before
        else:
            spent = _children_processor_time() - ended - before
    return Run(start, work, spent)


def ratio(
    rounds: Sequence[dict[str, Run]], of: str, figure: Callable[[Run], float], to: str = "without"
) -> Ratio:
    """One way's figure over the other's, pair by pair.

    The interval is the sign test's: between the two ratios that the true median lies outside of in
    at most 5 % of samples, whatever they are distributed like. Under six pairs it is their range.
    """
    found = sorted(figure(one[of]) / figure(one[to]) for one in rounds)
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
    """Seconds of all living threads of a session, as the scheduler counts them."""
    total = 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(entry.name)) == session:
                for task in entry.glob("task/*/schedstat"):
                    total += int(task.read_text().split()[0])
        except (ProcessLookupError, FileNotFoundError):
            continue
    return total * _NANO
