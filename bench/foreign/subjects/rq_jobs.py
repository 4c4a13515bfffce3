"""Jobs as people write them with RQ, whose worker forks for each of them.

    rq worker --url URL              # does them
    python rq_jobs.py URL JOBS       # sends them and prints what comes back

The client's first line has the result of one job; it goes on at the end of a line on
standard input. Each further line is one job's result, and the last has the seconds that they took.
"""

from __future__ import annotations

import sys
import time

from redis import Redis
from rq import Queue

_PATIENCE = 60.0
_POLL = 0.005


def add_up(count: int) -> int:
    """A little work."""
    return sum(number * number for number in range(count))


def results(queue: Queue, counts: range) -> list[int]:
    """What the worker finds, in the order in which it was asked."""
    # By its name: what this module is called here, the worker would not find.
    jobs = [queue.enqueue("rq_jobs.add_up", count) for count in counts]
    until = time.monotonic() + _PATIENCE
    while not (jobs[-1].is_finished or jobs[-1].is_failed):
        if time.monotonic() > until:
            raise TimeoutError(f"not done within {_PATIENCE} s")
        time.sleep(_POLL)
    return [job.return_value() for job in jobs]


def main(url: str, jobs: int) -> None:
    """Have one job done, then so many."""
    queue = Queue(connection=Redis.from_url(url))
    print(*results(queue, range(1000, 1001)), flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    for found in results(queue, range(1000, 1000 + jobs)):
        print(found)
    print(time.monotonic() - began, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
