"""Services of several processes that know nothing of a budget, in one container.

    uv run --group bench python bench/room/servers.py [--quick] [--service NAME] [--seconds 20]

gunicorn, uvicorn and Celery with four workers each; every worker has an unbounded functools cache
of 20 kB values, and would hold 400 MB of them in the end, as much as the memory group of all. Run
as they are, under `membudget run`, and under `membudget run` with a quarter of the limit for each.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from typing import IO, TYPE_CHECKING, NamedTuple

from groups import LimitedGroup, limited_group, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_HERE = os.path.dirname(os.path.abspath(__file__))
SERVICES = os.path.join(_HERE, "services")
sys.path.append(SERVICES)

from asking import keys_of  # noqa: E402  # beside the service

_LIMIT, _WORKERS = 400 << 20, 4
_CLIENTS, _KEYS = 8, 40
_PATIENCE = 30.0
_WINDOW = 2.0
_HEADINGS = (
    "service", "way", "hits", "last third", "requests", "lost", "processes", "peak of the limit",
    "oom kills",
)  # fmt: skip
_RUN = (sys.executable, "-m", "membudget", "run", "--quiet")
WAYS: Mapping[str, Sequence[str]] = {
    "without": (),
    "run": (*_RUN, "--"),
    "run --limit ÷ 4": (*_RUN, "--limit", f"{(_LIMIT >> 20) // _WORKERS}MiB", "--"),
}


class Tally:
    """What came back: keys asked for and had, by window of time; and requests in vain."""

    def __init__(self) -> None:
        self.asks: Counter[int] = Counter()
        self.hits: Counter[int] = Counter()
        self.pids: Counter[str] = Counter()
        self.lost = 0
        self._began, self._lock = time.monotonic(), threading.Lock()

    def add(self, answer: str) -> None:
        """Take in one answer: who gave it, how many keys, how many of them were cached."""
        window = int((time.monotonic() - self._began) / _WINDOW)
        with self._lock:
            try:
                pid, asks, hits = answer.split()
                self.asks[window] += int(asks)
                self.hits[window] += int(hits)
                self.pids[pid] += 1
            except ValueError:
                self.lost += 1

    def path(self) -> list[int]:
        """Percent of hits in each window."""
        return [round(100 * self.hits[one] / asks) for one, asks in sorted(self.asks.items())]


class Outcome(NamedTuple):
    """One run of a service."""

    tally: Tally
    peak: int
    oom_kills: int


def _http(
    prefix: Sequence[str], arguments: Sequence[str], group: LimitedGroup, ends: float
) -> Tally:
    with tempfile.TemporaryFile("w+") as said:
        command = [*prefix, sys.executable, *arguments]
        server = group.start(
            command, cwd=SERVICES, stdout=said, stderr=said, start_new_session=True
        )
        try:
            port = _port(server, said)
            _up(port)
            tally = Tally()
            clients = [
                threading.Thread(target=_ask, args=(port, seed, tally, ends))
                for seed in range(_CLIENTS)
            ]
            for one in clients:
                one.start()
            for one in clients:
                one.join()
        finally:
            _end(server)
    return tally


def _port(server: subprocess.Popen[str], said: IO[str]) -> int:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and server.poll() is None:
        said.seek(0)
        if found := re.search(r"127\.0\.0\.1:(\d+)", said.read()):
            return int(found[1])
        time.sleep(0.05)
    said.seek(0)
    raise TimeoutError(f"the server did not come up: {said.read()}")


def _up(port: int) -> None:
    """Wait until all workers have answered."""
    until, pids = time.monotonic() + _PATIENCE, set()
    while len(pids) < _WORKERS and time.monotonic() < until:
        pids.add(_answer(port, "0").partition(" ")[0])
        time.sleep(0.01)
        pids.discard("lost")


def _ask(port: int, seed: int, tally: Tally, seconds: float) -> None:
    until = time.monotonic() + seconds
    for keys in keys_of(seed, _KEYS):
        if time.monotonic() >= until:
            return
        answer = _answer(port, keys)
        tally.add(answer)
        if answer == "lost":
            time.sleep(0.05)


def _answer(port: int, keys: str) -> str:
    """By a connection of its own: so it is the kernel that chooses a worker, each time."""
    with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)) as connection:
        try:
            connection.request("GET", f"/{keys}")
            return connection.getresponse().read().decode()
        except (OSError, HTTPException):
            return "lost"


def _celery(prefix: Sequence[str], group: LimitedGroup, seconds: float) -> Tally:
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "QUEUE": folder}
        arguments = [
            "-m",
            "celery",
            "-A",
            "shop_tasks",
            "worker",
            "--pool=prefork",
            f"-c{_WORKERS}",
        ]
        options = {"cwd": SERVICES, "env": environment}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        worker = group.start(
            [*prefix, sys.executable, *arguments], start_new_session=True, **quiet, **options
        )
        try:
            client = [sys.executable, "shop_tasks.py", str(seconds), "1"]
            asking = subprocess.Popen(client, stdout=subprocess.PIPE, text=True, **options)
            tally = Tally()
            for line in asking.stdout or ():
                tally.add(line)
            asking.wait()
        finally:
            _end(worker)
    return tally


def _end(server: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        server.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(5.0)
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


_GUNICORN = ("-m", "gunicorn", f"--workers={_WORKERS}", "--bind=127.0.0.1:0", "shop:wsgi")
_UVICORN = (
    "-m", "uvicorn", f"--workers={_WORKERS}", "--port=0", "--no-access-log", "shop:asgi",
)  # fmt: skip
NAMES: Mapping[str, Callable[[Sequence[str], LimitedGroup, float], Tally]] = {
    "gunicorn": lambda prefix, group, seconds: _http(prefix, _GUNICORN, group, seconds),
    "uvicorn": lambda prefix, group, seconds: _http(prefix, _UVICORN, group, seconds),
    "celery": _celery,
}


def main() -> int:
    """Measure and print; exits 1 where the kernel killed something under `run`."""
    options = _options()
    if (reason := unavailable()) is not None:
        print(f"room/servers: {reason}", file=sys.stderr)
        return 2
    print("|", " | ".join(_HEADINGS), "|")
    print("|", " | ".join("---" for _ in _HEADINGS), "|")
    lived, paths = True, []
    for name in options.services:
        if find_spec(name) is None:
            print(f"{name} is left out: it is not installed", file=sys.stderr)
            continue
        for way, prefix in WAYS.items():
            with limited_group(_LIMIT) as group:
                tally = NAMES[name](prefix, group, options.seconds)
                outcome = Outcome(tally, group.peak(), group.oom_kills())
            lived &= way == "without" or not outcome.oom_kills
            print(_row(name, way, outcome), flush=True)
            paths.append(f"{name}, {way}: {' '.join(map(str, tally.path()))}")
    print("\nHits in each two seconds:\n")
    print("\n".join(paths))
    return int(not lived)


def _row(name: str, way: str, outcome: Outcome) -> str:
    tally = outcome.tally
    last = max(tally.asks, default=0) * 2 / 3
    late = [one for one in tally.asks if one >= last]
    cells = (
        name,
        way,
        _share(tally.hits.total(), tally.asks.total()),
        _share(sum(tally.hits[one] for one in late), sum(tally.asks[one] for one in late)),
        f"{tally.pids.total():,}",
        f"{tally.lost:,}",
        f"{len(tally.pids)}",
        f"{outcome.peak / _LIMIT:.0%}",
        f"{outcome.oom_kills}",
    )
    return f"| {' | '.join(cells)} |"


def _share(hits: int, asks: int) -> str:
    return f"{100 * hits / asks:.1f}" if asks else "-"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="room/servers", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="8 seconds each")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--service", dest="services", action="append", choices=NAMES)
    options = parser.parse_args()
    options.services = options.services or list(NAMES)
    if options.quick:
        options.seconds = 8.0
    return options


if __name__ == "__main__":
    sys.exit(main())
