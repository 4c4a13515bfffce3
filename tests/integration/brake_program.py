"""A process under the brake: what it asks for, what came of it, and what its children may have.

Run as `python brake_program.py LOAD|children|forked|threads|freed|put_back`, inside a memory group;
prints lines of JSON.
"""

import contextlib
import json
import mmap
import multiprocessing
import os
import resource
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import membudget
from membudget.brake.brake import Brake
from membudget.probes.process import process_probe
from membudget.units import MIB

_PATIENCE = 60.0
_BORN = (
    "import json, resource as r, sys, time; until = time.monotonic() + 60\n"
    "while r.getrlimit(2)[0] != -1 and time.monotonic() < until: time.sleep(0.01)\n"
    "print(json.dumps({sys.argv[1]: r.getrlimit(2)[0]}))"
)
"""Where the system takes longer than the brake's moment to make a child, a later tick frees it."""
assert resource.RLIMIT_DATA == 2


@contextlib.contextmanager
def braked() -> Iterator[Brake]:
    """A budget that finds its limit, with the brake on."""
    with membudget.start(sinks=[], brake=True) as budget:
        assert budget.brake is not None
        yield budget.brake


class SmallRequests:
    """Threads that each make 100 KB of small objects and drop them, over and over."""

    def __init__(self, threads: int) -> None:
        self.ok = self.failed = 0
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._serve) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def wait_for(self, more: int) -> bool:
        """Whether so many more are answered in time."""
        enough, until = self.ok + more, time.monotonic() + _PATIENCE
        while self.ok < enough and time.monotonic() < until:
            time.sleep(0.01)
        return self.ok >= enough

    def stop(self) -> int:
        """End the threads; returns how many had lived until now."""
        lived = sum(thread.is_alive() for thread in self._threads)
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        return lived

    def _serve(self) -> None:
        while not self._is_over.wait(0.001):
            try:
                answer = [bytes(1000) for _ in range(100)]
            except MemoryError:
                self.failed += 1
            else:
                self.ok += len(answer) > 0


def outcome_of(load: Callable[[], object], threads: int = 4) -> dict[str, Any]:
    """Run a load beside small requests; its caller handles the MemoryError, traceback and all."""
    small = SmallRequests(threads)
    told = ""
    try:
        load()
        ended = "fitted"
    except MemoryError:
        told = traceback.format_exc()
        ended = "MemoryError"
    failed = small.failed
    goes_on = small.wait_for(20)
    lived = small.stop()
    return {
        "ended": ended,
        "told": told,
        "goes_on": goes_on,
        "ok": small.ok,
        "failed": failed,
        "failed_after": small.failed - failed,
        "threads_lived": lived,
    }


def one_call() -> object:
    """Eight times the limit in one call of C."""
    return b"x" * (800 * MIB)


def many_objects() -> object:
    """Ten times the limit, bit by bit."""
    return {number: {"number": number, "text": f"{number:0>200}"} for number in range(3_000_000)}


def touched_late() -> object:
    """Maps without touching, and touches when more has been mapped, as numpy's zeros are."""
    maps: list[mmap.mmap] = []
    while len(maps) < 100:
        try:
            maps.append(mmap.mmap(-1, 8 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        except OSError as error:
            raise MemoryError(len(maps)) from error
        if len(maps) > 2:
            maps[-3][:] = b"\1" * (8 * MIB)
    return maps


def print_limits_of_children() -> None:
    """The limit that each kind of child is born with, in lines of JSON; -1 is none."""
    python = [sys.executable, "-c", _BORN]
    subprocess.run([*python, "subprocess"], check=True)
    pid = os.posix_spawn(sys.executable, [*python, "os.posix_spawn"], os.environ)
    os.waitpid(pid, 0)
    os.system(f"{sys.executable} -c '{_BORN}' os.system")  # noqa: S605  # one of the kinds
    if (pid := os.fork()) == 0:
        _print_own("os.fork")
        os._exit(0)
    os.waitpid(pid, 0)
    os.spawnv(os.P_WAIT, sys.executable, [*python, "os.spawnv"])  # noqa: S606
    children = [
        multiprocessing.get_context("fork").Process(target=_print_own, args=("fork",)),
        multiprocessing.get_context("spawn").Process(target=_print_own_in_time, args=("spawn",)),
    ]
    for child in children:
        child.start()
        child.join()


def _print_own(kind: str) -> None:
    _say({kind: _own_limit()})


def _print_own_in_time(kind: str) -> None:
    """What raises no audit event is released by its parent at a later tick."""
    born, until = time.monotonic(), time.monotonic() + _PATIENCE
    while _own_limit() != resource.RLIM_INFINITY and time.monotonic() < until:
        time.sleep(0.01)
    _say({kind: _own_limit(), "released_after": time.monotonic() - born})


def print_limits_of_forked(brake: Brake) -> None:
    """What a worker forked under the brake may have when it is born and after a while."""
    if (pid := os.fork()) == 0:
        born, until = _own_limit(), time.monotonic() + _PATIENCE
        while _own_limit() == resource.RLIM_INFINITY and time.monotonic() < until:
            time.sleep(0.01)
        figures = {"born": born, "later": _own_limit(), "state": brake.state.limit}
        _say(figures | outcome_of(one_call, threads=1))
        os._exit(0)
    os.waitpid(pid, 0)


def start_threads_when_full(brake: Brake) -> dict[str, int]:
    """Fill up until there is no room for one stack, then start 20 threads."""
    hoard: list[bytes] = []
    with contextlib.suppress(MemoryError):
        while True:
            hoard.append(b"\1" * (256 << 10))
    time.sleep(1.2)  # A tick at rest, so that nothing is left over from before.
    room, is_over = brake.state.room, threading.Event()
    threads = [threading.Thread(target=is_over.wait, daemon=True) for _ in range(20)]
    started = 0
    with contextlib.suppress(RuntimeError):
        for thread in threads:
            thread.start()
            started += 1
    is_over.set()
    return {"room": room, "started": started}


def ask_for_what_was_freed(brake: Brake) -> dict[str, Any]:
    """Free many blocks between others that stay; ask, some time later, for what fits without."""
    held = [bytes(2000) for _ in range(30_000)]
    kept = held[::300]
    del held
    own = process_probe().own_bytes
    wait_until(lambda: own() < 40 * MIB)
    wait_until(lambda: brake.state.room > 60 * MIB)
    return outcome_of(lambda: (kept, b"x" * (55 * MIB)))


def lower_and_put_back(brake: Brake) -> dict[str, int]:
    """Do with the limit what a library may do, and arm a second brake in a register of its own."""
    read, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (read - 10 * MIB, hard))
    wait_until(lambda: brake.own_limit == read - 10 * MIB)
    lowered = _own_limit()
    resource.setrlimit(resource.RLIMIT_DATA, (read, hard))
    with membudget.start(
        sinks=[], brake=True, registry=membudget.Registry(), agent={"directory": "none"}
    ) as second:
        refused = second.brake is None
        wait_until(lambda: (brake.own_limit or 0) > lowered)
    return {"read": read, "lowered": lowered, "second": refused}


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE
    while not is_so() and time.monotonic() < until:
        time.sleep(0.01)


def wait_until_braked() -> int:
    """The soft limit, once there is one again."""
    wait_until(lambda: _own_limit() != resource.RLIM_INFINITY)
    return _own_limit()


def _say(figures: dict[str, Any]) -> None:
    print(json.dumps(figures), flush=True)  # noqa: T201  # its one way to speak


def _own_limit() -> int:
    return resource.getrlimit(resource.RLIMIT_DATA)[0]


def main(what: str) -> None:
    with braked() as brake:
        if what == "children":
            print_limits_of_children()
            _say({"own": wait_until_braked()})
        elif what == "forked":
            print_limits_of_forked(brake)
        elif what == "threads":
            _say(start_threads_when_full(brake))
        elif what == "freed":
            _say(ask_for_what_was_freed(brake))
        elif what == "put_back":
            _say(lower_and_put_back(brake))
        else:
            loads = {load.__name__: load for load in (one_call, many_objects, touched_late)}
            _say(outcome_of(loads[what]))
    _say({"afterwards": _own_limit()})


if __name__ == "__main__":
    main(sys.argv[1])
