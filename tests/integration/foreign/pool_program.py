"""A program with a pool of processes, as people write it: python pool_program.py METHOD CHUNKS.

The first line has the workers' process ids; it goes on at the end of a line on standard input and
prints what they found. The last line has the seconds that this took; it ends at the end of a second
line.
"""
# ruff: noqa: T201 - a program's output

import multiprocessing
import os
import sys
import time


def pid_of_worker(_: int) -> int:
    """Which worker this is; slow enough that all get their turn."""
    time.sleep(0.05)
    return os.getpid()


def count_primes(start: int) -> int:
    return sum(
        all(number % divisor for divisor in range(2, int(number**0.5) + 1))
        for number in range(max(2, start), start + 2000)
    )


def main(method: str, chunks: int) -> None:
    with multiprocessing.get_context(method).Pool(2) as pool:
        pids: set[int] = set()
        while len(pids) < 2:
            pids.update(pool.map(pid_of_worker, range(2), chunksize=1))
        print(*sorted(pids), flush=True)
        sys.stdin.readline()
        began = time.monotonic()
        found = pool.map(count_primes, range(0, 2000 * chunks, 2000), chunksize=1)
        took = time.monotonic() - began
        print(sum(found), found[:3])
        print(took, flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
