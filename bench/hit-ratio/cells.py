"""The cells: a trace, a size of the cache, a contestant; and the process that replays one trace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "worker.py")


class Job(NamedTuple):
    """What one process replays.

    Attributes:
        trace: Its name.
        path: Its file; None for the one that is made.
        mode: "entries" or "bytes".
        shares: The sizes of the cache, each a share of the distinct keys or of their bytes.
        contestants: Their names.
        limit: Requests at most.
        distribution: Of the sizes, where the trace has none.
    """

    trace: str
    path: str | None
    mode: str
    shares: Sequence[float]
    contestants: Sequence[str]
    limit: int
    distribution: str


class Row(NamedTuple):
    """One trace at one size.

    Attributes:
        trace: Its name.
        mode: "entries" or "bytes".
        share: The cache's size, as a share of all.
        bound: That in entries or bytes.
        requests: How many were replayed.
        hits: Percent of the requests, by contestant.
        bytes_hit: Percent of the bytes asked for, by contestant; empty where entries bind.
        optimum: Percent of the requests that could have been hits; None where bytes bind.
        seconds: Of processor time, by contestant.
        errors: Why a contestant has no figure.
    """

    trace: str
    mode: str
    share: float
    bound: int
    requests: int
    hits: Mapping[str, float]
    bytes_hit: Mapping[str, float]
    optimum: float | None
    seconds: Mapping[str, float]
    errors: Mapping[str, str]


def run(jobs: Sequence[Job], at_once: int) -> list[Row]:
    """Replay each in a fresh process, so many at once, and tell each row as it comes."""
    rows: list[Row] = []
    with ThreadPoolExecutor(at_once) as pool:
        for found in pool.map(_replayed, jobs):
            rows += found
    return rows


def _replayed(job: Job) -> list[Row]:
    return list(_rows(job))


def _rows(job: Job) -> Iterator[Row]:
    command = [sys.executable, _WORKER, json.dumps(job._asdict())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            row = Row(**json.loads(line))
            spent = sum(row.seconds.values())
            told = f"{row.trace}, {row.mode}, {row.share:.1%}: {spent:.0f} s"
            print(told, file=sys.stderr, flush=True)
            for name, error in row.errors.items():
                print(f"  {name}: {error}", file=sys.stderr, flush=True)
            yield row
    if process.returncode:
        told = f"{job.trace}, {job.mode}: the process ended with {process.returncode}"
        print(told, file=sys.stderr, flush=True)
