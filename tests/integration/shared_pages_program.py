"""Preloads a heap, forks workers that each take memory of their own, and says how they ended.

    python tests/integration/shared_pages_program.py os|multiprocessing WORKERS OBJECTS MIB SECONDS

Each worker reads what it shares with the others, and takes so many MiB.
"""

import json
import multiprocessing
import os
import sys
import time

_TICK = 0.05


def work(data: list[dict[str, object]], mib: int, seconds: float) -> None:
    mine: list[bytearray] = []
    ends = time.monotonic() + seconds
    looked = 0
    while time.monotonic() < ends:
        looked += len(data[len(mine)])
        if len(mine) < mib:
            mine.append(bytearray(b"x" * (1 << 20)))
        time.sleep(_TICK)


def by_os(workers: int, data: list[dict[str, object]], mib: int, seconds: float) -> list[int]:
    pids = []
    for _ in range(workers):
        if (pid := os.fork()) == 0:
            work(data, mib, seconds)
            os._exit(0)
        pids.append(pid)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def by_multiprocessing(
    workers: int, data: list[dict[str, object]], mib: int, seconds: float
) -> list[int | None]:
    context = multiprocessing.get_context("fork")
    started = [context.Process(target=work, args=(data, mib, seconds)) for _ in range(workers)]
    for one in started:
        one.start()
    for one in started:
        one.join()
    return [one.exitcode for one in started]


def main(way: str, workers: int, objects: int, mib: int, seconds: float) -> None:
    data: list[dict[str, object]] = [{"id": n, "tags": [n, n + 1]} for n in range(objects)]
    ways = {"os": by_os, "multiprocessing": by_multiprocessing}
    print(json.dumps(ways[way](workers, data, mib, seconds)))  # noqa: T201  # its one way to speak


if __name__ == "__main__":
    workers, objects, mib = map(int, sys.argv[2:5])
    main(sys.argv[1], workers, objects, mib, float(sys.argv[5]))
