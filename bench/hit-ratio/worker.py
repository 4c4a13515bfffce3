"""One trace's process: replays it at each size with each contestant, a row of JSON a size.

Run as `python worker.py JOB`, where JOB is a `cells.Job` in JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING

from cells import Job, Row
from contestants import CONTESTANTS, ENTRIES
from optimum import most_hits
from traces import footprint, load, with_sizes

if TYPE_CHECKING:
    from traces import Trace


def main(told: str) -> None:
    """Replay and print."""
    job = Job(**json.loads(told))
    trace = load(job.trace, job.path, job.limit)
    is_by_entries = job.mode == ENTRIES
    trace = trace._replace(sizes=[]) if is_by_entries else with_sizes(trace, job.distribution)
    whole = footprint(trace)
    for share in job.shares:
        print(json.dumps(_row(job, trace, share, max(1, round(whole * share)))._asdict()))
        sys.stdout.flush()
    os._exit(0)  # Threads that a contestant leaves behind are nobody's figure.


def _row(job: Job, trace: Trace, share: float, bound: int) -> Row:
    hits: dict[str, float] = {}
    bytes_hit: dict[str, float] = {}
    seconds: dict[str, float] = {}
    errors: dict[str, str] = {}
    for name in job.contestants:
        before = time.process_time()
        try:
            score = CONTESTANTS[name].replay(job.mode, bound, trace.keys, trace.sizes)
        except Exception as error:  # noqa: BLE001 - a contestant that fails is a row's news.
            errors[name] = f"{type(error).__name__}: {error}"
            continue
        seconds[name] = time.process_time() - before
        hits[name] = 100 * score.hits / len(trace.keys)
        if trace.sizes:
            bytes_hit[name] = 100 * score.bytes_hit / sum(trace.sizes)
    optimum = None
    if job.mode == ENTRIES:
        optimum = 100 * most_hits(trace.keys, bound) / len(trace.keys)
    return Row(
        job.trace,
        job.mode,
        share,
        bound,
        len(trace.keys),
        hits,
        bytes_hit,
        optimum,
        seconds,
        errors,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
