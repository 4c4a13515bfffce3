"""Forks again and again under a budget, and says in JSON what became of the children.

    PYTHONPATH=src python tests/integration/fork_program.py [os|multiprocessing] FORKS [THREADS]

Needs nothing but the standard library and membudget, so that any interpreter can run it. THREADS
of the program's own hammer a cache meanwhile; with 0 it has a single thread, as most that fork.
Each child must step by a thread of its own, see its own memory, use the cache, and end.
"""

import faulthandler
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from statistics import median
from typing import Any

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from collections.abc import Callable

import membudget
from own_threads import own_threads

_PATIENCE = 30.0
"""Seconds for a child to end; one that does not is stuck, and tells where before it is killed."""

_OWN = 30 << 20
"""Bytes that a child takes and must find in its own figures."""

_UNEXPECTED = 100
STEPS, SEES_ITSELF, CACHES = 1, 2, 3
"""Exit codes: what a child failed at."""


class Children:
    """What became of them so far: exit codes by count, and seconds from fork to first step."""

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        self.firsts: list[float] = []
        self.stuck = 0

    def note(self, code: int | None, first: str) -> None:
        if code is None:
            self.stuck += 1
        else:
            self.codes[code] = self.codes.get(code, 0) + 1
        if first:
            self.firsts.append(float(first))


def main(way: str, forks: int, threads: int) -> None:
    faulthandler.enable()
    told: list[Any] = []
    children = Children()
    with (
        membudget.start("400MiB", sinks=[told.append], monitoring={"check_interval": 0.01}) as own,
        warnings.catch_warnings(record=True) as warned,
    ):
        warnings.simplefilter("always")
        cache = own.cache("values", max_bytes="20MiB")
        stop = threading.Event()
        hammers = [threading.Thread(target=_hammer, args=(cache, stop)) for _ in range(threads)]
        for hammer in hammers:
            hammer.start()
        began = time.monotonic()
        for _ in range(forks):
            _WAYS[way](own, cache, children)
        took = time.monotonic() - began
        still = _steps(own)
        stop.set()
        for hammer in hammers:
            hammer.join()
    summary = {
        "python": sys.version.split()[0],
        "forks": forks,
        "took": round(took, 2),
        "codes": children.codes,
        "stuck": children.stuck,
        "first_step_ms": _in_ms(median(children.firsts)) if children.firsts else None,
        "first_step_worst_ms": _in_ms(max(children.firsts)) if children.firsts else None,
        "parent_steps": still,
        "warnings": len(warned),
        "warning": str(warned[0].message) if warned else None,
        "failures": [repr(event) for event in told if type(event).__name__ == "Failed"][:3],
    }
    print(json.dumps(summary))  # noqa: T201  # its one way to speak


def _hammer(cache: Any, stop: threading.Event) -> None:
    number = 0
    while not stop.is_set():
        number += 1
        cache.set(number % 5000, bytes(8000))
        cache.get(number % 777)


def _fork_by_os(budget: Any, cache: Any, children: Children) -> None:
    read, write = os.pipe()
    forked = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _live(budget, cache, lambda: os.write(write, str(time.monotonic() - forked).encode()))
    os.close(write)
    code = _wait(pid)
    children.note(code, os.read(read, 100).decode())
    os.close(read)


def _fork_by_multiprocessing(budget: Any, cache: Any, children: Children) -> None:
    context = multiprocessing.get_context("fork")
    read, write = context.Pipe(duplex=False)
    forked = time.monotonic()
    process = context.Process(
        target=_live,
        args=(budget, cache, lambda: write.send_bytes(str(time.monotonic() - forked).encode())),
    )
    process.start()
    write.close()
    process.join(_PATIENCE)
    if (code := process.exitcode) is None and process.pid is not None:
        os.kill(process.pid, signal.SIGABRT)
        process.join()
    children.note(code, read.recv_bytes().decode() if read.poll() else "")
    read.close()
    process.close()


_WAYS: dict[str, Callable[[Any, Any, Children], None]] = {
    "os": _fork_by_os,
    "multiprocessing": _fork_by_multiprocessing,
}


def _live(budget: Any, cache: Any, stepped: Callable[[], object]) -> None:
    """What a child does; ends it with what it failed at, or 0."""
    code = _UNEXPECTED
    try:
        code = _checked(budget, cache, stepped)
    finally:
        os._exit(code)


def _checked(budget: Any, cache: Any, stepped: Callable[[], object]) -> int:
    if not _steps(budget):
        return STEPS
    stepped()
    before = budget.governor.reading.used
    block = b"\1" * _OWN
    if not _wait_until(lambda: budget.governor.reading.used > before + len(block) // 2):
        return SEES_ITSELF
    cache.set("mine", os.getpid())
    return 0 if cache.get("mine") == os.getpid() else CACHES


def _steps(budget: Any) -> bool:
    """Whether a thread of this process's own takes readings."""
    at = budget.governor.reading.at
    is_stepping = _wait_until(lambda: budget.governor.reading.at > at)
    return is_stepping and own_threads() == 1


def _wait_until(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + _PATIENCE / 2
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.001)
    return True


def _wait(pid: int) -> int | None:
    """Its exit code, or None where it was stuck; then it says where, on standard error."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(pid, signal.SIGABRT)
    os.waitpid(pid, 0)
    return None


def _in_ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if sys.argv[3:] else 2)
