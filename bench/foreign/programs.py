"""Programs that know nothing of a budget, each with a fixed piece of work of one to three seconds.

A program is a context manager: entered, it is up; its work is a call; left, nothing of it runs.
What they serve and compute is in the tests' folder of foreign programs.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    Prefix: TypeAlias = Sequence[str]
    Program: TypeAlias = Callable[[Prefix], AbstractContextManager["Ready"]]

FOREIGN = Path(__file__).resolve().parents[2] / "tests" / "integration" / "foreign"
_PATIENCE = 60.0
_POLL = 0.001
_PORT = r"127\.0\.0\.1(?: port |:)(\d+)"
_PIDS = r"^(\d+)[ \d]*\n"


@dataclass(frozen=True)
class Ready:
    """A program that is up.

    Attributes:
        process: What was started.
        session: The session of all processes whose work is counted.
        work: Has the work done and returns how many seconds that took.
    """

    process: subprocess.Popen[str]
    session: int
    work: Callable[[], float]


@contextmanager
def _server(
    prefix: Prefix, *, arguments: Prefix, path: str, requests: int, workers: int = 0
) -> Iterator[Ready]:
    """A server that is up once all of its workers have answered."""
    with _started([*prefix, sys.executable, *arguments]) as (process, log):
        port = int(_told(process, log, _PORT)[1])
        pids: set[bytes] = set()
        while len(pids) < workers:
            pids.add(_ask(port, "/pid"))
        _ask(port, path)
        yield Ready(process, process.pid, partial(_fetch, port, path, requests))


@contextmanager
def _pytest(prefix: Prefix) -> Iterator[Ready]:
    """The tests of toolz; up at the first result."""
    arguments = ["-m", "pytest", "--pyargs", "toolz", "-p", "no:cacheprovider", "-q"]
    with _started([*prefix, sys.executable, *arguments]) as (process, log):
        _told(process, log, r"^\.")
        yield Ready(process, process.pid, partial(_run_out, process))


@contextmanager
def _pool(prefix: Prefix, *, method: str, chunks: int) -> Iterator[Ready]:
    command = [*prefix, sys.executable, "pool_program.py", method, str(chunks)]
    with _started(command) as (process, log):
        _told(process, log, _PIDS)
        yield Ready(process, process.pid, partial(_figure_told, process, log))


@contextmanager
def _celery(prefix: Prefix, *, pool: str, tasks: int) -> Iterator[Ready]:
    workers = 2 if pool == "prefork" else 1
    arguments = ["-m", "celery", "-A", "celery_tasks", "worker", f"--pool={pool}", "-c2"]
    with tempfile.TemporaryDirectory() as folder:
        environment = {"QUEUE": folder}
        client = [sys.executable, "celery_tasks.py", str(tasks), str(workers)]
        with (
            _started([*prefix, sys.executable, *arguments], environment) as (worker, _),
            _started(client, environment) as (process, log),
        ):
            _told(process, log, _PIDS)
            yield Ready(worker, worker.pid, partial(_figure_told, process, log))


@contextmanager
def _kernel(prefix: Prefix, *, cells: int) -> Iterator[Ready]:
    command = [sys.executable, "kernel_client.py", str(cells), *prefix, sys.executable]
    with _started(command) as (process, log):
        session = int(_told(process, log, r"^1 (\d+)\n")[1])
        yield Ready(process, session, partial(_figure_told, process, log))
        # The kernel has a session of its own, and its client ends it.
        _run_out(process)


_HTTP = ("-u", "-m", "http.server", "0", "--bind=127.0.0.1")
_GUNICORN = ("-m", "gunicorn", "--workers=2", "--bind=127.0.0.1:0", "flask_app:app")
_UVICORN = ("-m", "uvicorn", "--workers=2", "--port=0", "--no-access-log", "starlette_app:app")
PROGRAMS: dict[str, Program] = {
    "http.server": partial(_server, arguments=_HTTP, path="/flask_app.py", requests=1500),
    "gunicorn": partial(_server, arguments=_GUNICORN, path="/orders/100", requests=1500, workers=2),
    "uvicorn": partial(_server, arguments=_UVICORN, path="/orders/100", requests=1500, workers=2),
    "celery-solo": partial(_celery, pool="solo", tasks=1000),
    "celery-prefork": partial(_celery, pool="prefork", tasks=1000),
    "pytest": _pytest,
    "pool-fork": partial(_pool, method="fork", chunks=300),
    "pool-spawn": partial(_pool, method="spawn", chunks=300),
    "jupyter": partial(_kernel, cells=200),
}


@contextmanager
def _started(
    command: Prefix, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process and the file of all that it says; bytecode is kept, as for what is installed."""
    kept = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=FOREIGN,
                env={**kept, **(environment or {})},
                start_new_session=True,
            )
        try:
            yield process, log
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def _told(process: subprocess.Popen[str], log: Path, pattern: str) -> re.Match[str]:
    until = time.monotonic() + _PATIENCE
    while True:
        said = log.read_text()
        if (found := re.search(pattern, said, re.MULTILINE)) is not None:
            return found
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"{process.args!r} did not say {pattern!r}: {said}")
        time.sleep(_POLL)


def _fetch(port: int, path: str, requests: int) -> float:
    """Each request has a connection of its own.

    On one that is kept, uvicorn's workers wait 40 ms an answer for the client's acknowledgement.
    """
    began = time.perf_counter()
    for _ in range(requests):
        _ask(port, path)
    return time.perf_counter() - began


def _ask(port: int, path: str) -> bytes:
    """The answer to one request; servers say their port before they listen."""
    until = time.monotonic() + _PATIENCE
    while True:
        with closing(HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)) as connection:
            try:
                connection.request("GET", path)
                return connection.getresponse().read()
            except ConnectionRefusedError:
                if time.monotonic() > until:
                    raise
        time.sleep(_POLL)


def _run_out(process: subprocess.Popen[str]) -> float:
    began = time.perf_counter()
    process.communicate("\n\n", timeout=_PATIENCE)
    if process.returncode:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
    return time.perf_counter() - began


def _figure_told(process: subprocess.Popen[str], log: Path) -> float:
    if process.stdin is None:
        raise RuntimeError(f"{process.args!r} has no standard input")
    process.stdin.write("\n")
    process.stdin.flush()
    return float(_told(process, log, r"^(\d+\.\d{3,})\n")[1])
