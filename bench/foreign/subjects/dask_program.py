"""A program that computes with Dask on two processes, each with its nanny: PROGRAM TASKS.

The first line has the workers' process ids; it goes on at the end of a line on standard input and
prints what they found. The last line has the seconds that this took; it ends at the end of a second
line.
"""

from __future__ import annotations

import os
import sys
import time

import dask.array as da
from distributed import Client, LocalCluster


def count_primes(start: int) -> int:
    """The primes among the next 2000 numbers."""
    return sum(
        all(number % divisor for divisor in range(2, int(number**0.5) + 1))
        for number in range(max(2, start), start + 2000)
    )


def main(tasks: int) -> None:
    """Count primes, and add up an array in pieces."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        print(*sorted(client.run(os.getpid).values()), flush=True)
        sys.stdin.readline()
        began = time.monotonic()
        print(sum(client.gather(client.map(count_primes, range(0, 2000 * tasks, 2000)))))
        numbers = da.arange(20_000_000, chunks=500_000)
        print((numbers * numbers % 1000).sum().compute())
        print(time.monotonic() - began, flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    main(int(sys.argv[1]))
