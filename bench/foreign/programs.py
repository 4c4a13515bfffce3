"""Programs that know nothing of a budget, each with a fixed piece of work of one to five seconds.

A program is a context manager: entered, it is up; its work is a call; it is ended by who measures,
and left, nothing of it runs. What they serve and compute is in the tests' folder of foreign
programs, and in `subjects` what needs more than the tests do.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from zlib import crc32

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))

from cgroup_v1 import limited_group, unavailable
from commands import clean_environment
from integration.foreign.program import FOREIGN, started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from integration.foreign.program import Program

    Prefix: TypeAlias = Sequence[str]

__all__ = ["PROGRAMS", "Ready", "Subject", "Work", "limited_group"]

_SUBJECTS = Path(__file__).parent / "subjects"
_PATIENCE = 30.0
_POLL = 0.001
_PORT = r"127\.0\.0\.1(?: port |:)(\d+)"
_PIDS = r"^(\d+)[ \d]*\n"
_FIGURE = r"\A.*\n((?:.*\n)*?)(\d+\.\d{3,})\n"
"""Between the first line and the last, which has the seconds, is what was found."""


class Work(NamedTuple):
    """How many seconds the work took, and what came of it."""

    took: float
    seen: list[str]


@dataclass(frozen=True)
class Ready:
    """A program that is up.

    Attributes:
        program: What was started, and is judged by how it ends.
        session: The session of all processes whose work is counted.
        work: Has the work done.
        by: The signal that ends it; without one, the end of its input.
    """

    program: Program
    session: int
    work: Callable[[], Work]
    by: signal.Signals | None = None


@dataclass(frozen=True)
class Subject:
    """A program to measure.

    Attributes:
        run: Starts it behind a command.
        room: Bytes of the memory group that it runs in, if in one of its own.
        needs: Modules and commands without which it cannot run.
        races: Matches lines of its own that come and go by chance.
    """

    run: Callable[[Prefix], AbstractContextManager[Ready]]
    room: int | None = None
    needs: tuple[str, ...] = ()
    races: str = r"(?!)"

    def why_not(self) -> str | None:
        """Why it cannot run here, or None where it can."""
        for name in self.needs:
            if shutil.which(name) is None and find_spec(name) is None:
                return f"{name} is not installed"
        return unavailable() if self.room is not None else None


@contextmanager
def _server(
    prefix: Prefix,
    *,
    arguments: Prefix,
    path: str,
    requests: int,
    workers: int = 0,
    clients: int = 1,
    cwd: Path = FOREIGN,
) -> Iterator[Ready]:
    """A server that is up once all of its workers have answered."""
    with _started([*prefix, sys.executable, *arguments], cwd=cwd) as program:
        port = int(program.told(_PORT)[1])
        pids: set[bytes] = set()
        while len(pids) < workers:
            pids.add(_first_answer(program, port, "/pid"))
        _first_answer(program, port, path.format(0))
        work = partial(_fetch, port, path, requests, clients)
        yield Ready(program, program.process.pid, work, signal.SIGTERM)


@contextmanager
def _pytest(prefix: Prefix) -> Iterator[Ready]:
    """The tests of toolz, six times; up at the first result."""
    arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--keep-duplicates", "--pyargs"]
    arguments += ["toolz"] * 6
    with _started([*prefix, sys.executable, *arguments]) as program:
        program.told(r"^\.")
        yield Ready(program, program.process.pid, partial(_run_out, program))


@contextmanager
def _computing(prefix: Prefix, *, arguments: Prefix, cwd: Path = FOREIGN) -> Iterator[Ready]:
    """A program that says when it is up, goes on when told to, and says what it found."""
    with _started([*prefix, sys.executable, *arguments], cwd=cwd) as program:
        program.told(_PIDS)
        yield Ready(program, program.process.pid, partial(_figure_told, program))


@contextmanager
def _celery(prefix: Prefix, *, pool: str, tasks: int) -> Iterator[Ready]:
    workers = 2 if pool == "prefork" else 1
    arguments = ["-m", "celery", "-A", "celery_tasks", "worker", f"--pool={pool}", "-c2"]
    client = [sys.executable, "celery_tasks.py", str(tasks), str(workers)]
    with tempfile.TemporaryDirectory() as folder:
        kept = {"QUEUE": folder}
        with _serving([*prefix, sys.executable, *arguments], client, FOREIGN, kept) as ready:
            yield ready


@contextmanager
def _rq(prefix: Prefix, *, jobs: int) -> Iterator[Ready]:
    with tempfile.TemporaryDirectory() as folder:
        place, url = f"{folder}/redis", f"unix://{folder}/redis"
        command = ["redis-server", "--port", "0", "--unixsocket", place, "--save", ""]
        worker = [*prefix, sys.executable, "-m", "rq.cli", "worker", "--quiet", "--url", url]
        client = [sys.executable, "rq_jobs.py", url, str(jobs)]
        with _started(command, cwd=Path(folder)) as redis:
            redis.told("ready to accept connections")
            with _serving(worker, client, _SUBJECTS) as ready:
                yield ready


@contextmanager
def _serving(
    worker: Prefix, client: Prefix, cwd: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Ready]:
    """A worker, and a client that says when work has been done for it, and what was found."""
    with (
        _started(worker, environment, cwd=cwd) as served,
        _started(client, environment, cwd=cwd) as asking,
    ):
        asking.told(_PIDS)
        work = partial(_figure_told, asking)
        yield Ready(served, served.process.pid, work, signal.SIGTERM)


@contextmanager
def _kernel(prefix: Prefix, *, cells: int) -> Iterator[Ready]:
    """A kernel has a session of its own, and its client ends it."""
    command = [sys.executable, "kernel_client.py", str(cells), *prefix, sys.executable]
    with _started(command) as program:
        session = int(program.told(r"^1 (\d+)\n")[1])
        yield Ready(program, session, partial(_figure_told, program))


_HTTP = ("-u", "-m", "http.server", "0", "--bind=127.0.0.1")
_GUNICORN = ("-m", "gunicorn", "--workers=2", "--bind=127.0.0.1:0", "flask_app:app")
_PRELOAD = ("-m", "gunicorn", "--preload", "-w4", "--bind=127.0.0.1:0", "catalogue_app:app")
_UVICORN = ("-m", "uvicorn", "--workers=2", "--port=0", "--no-access-log", "starlette_app:app")
_FRAMES = ("-m", "uvicorn", "--port=0", "--no-access-log", "frames_app:app")
_served, _computed = partial(partial, _server), partial(partial, _computing)
PROGRAMS: dict[str, Subject] = {
    "http.server": Subject(_served(arguments=_HTTP, path="/flask_app.py", requests=1500)),
    "gunicorn": Subject(_served(arguments=_GUNICORN, path="/orders/100", requests=1500, workers=2)),
    "gunicorn-preload": Subject(
        _served(
            arguments=_PRELOAD,
            path="/products/{}",
            requests=4000,
            workers=4,
            clients=4,
            cwd=_SUBJECTS,
        ),
        room=260_000_000,
    ),
    "uvicorn": Subject(_served(arguments=_UVICORN, path="/orders/100", requests=1500, workers=2)),
    "uvicorn-pandas": Subject(
        _served(arguments=_FRAMES, path="/frames/{}", requests=100, clients=4, cwd=_SUBJECTS),
        room=450_000_000,
    ),
    "celery-solo": Subject(partial(_celery, pool="solo", tasks=1000), races="results:"),
    # Whether its pool outlives the signal that ends it is a race of Celery's own.
    "celery-prefork": Subject(
        partial(_celery, pool="prefork", tasks=1000), races="results:|Error|ERROR"
    ),
    "rq": Subject(partial(_rq, jobs=100), needs=("rq", "redis-server")),
    "dask": Subject(
        _computed(arguments=("dask_program.py", "100"), cwd=_SUBJECTS), needs=("distributed",)
    ),
    "pyarrow": Subject(
        _computed(arguments=("arrow_program.py", "220", "30"), cwd=_SUBJECTS),
        room=400_000_000,
        needs=("pyarrow",),
    ),
    "pytest": Subject(_pytest),
    "pool-fork": Subject(_computed(arguments=("pool_program.py", "fork", "300"))),
    "pool-spawn": Subject(_computed(arguments=("pool_program.py", "spawn", "300"))),
    # What a cell prints comes in one message or in two.
    "jupyter": Subject(partial(_kernel, cells=200), races="^stdout "),
}


@contextmanager
def _started(
    command: Prefix, environment: Mapping[str, str] | None = None, *, cwd: Path = FOREIGN
) -> Iterator[Program]:
    """A process in a session of its own; bytecode is kept, as for what is installed."""
    kept = clean_environment(environment)
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    with (
        tempfile.TemporaryDirectory() as folder,
        started(command, Path(folder), cwd=cwd, environment=kept) as program,
    ):
        yield program


def _fetch(port: int, path: str, requests: int, clients: int) -> Work:
    """Each request has a connection of its own.

    On one that is kept, uvicorn's workers wait 40 ms an answer for the client's acknowledgement.
    """
    until = time.monotonic() + 2 * _PATIENCE

    def fetch(number: int) -> tuple[str, int]:
        if time.monotonic() > until:
            return "not asked any more", 0
        try:
            status, body = _ask(port, path.format(number))
        except (OSError, HTTPException) as error:
            return type(error).__name__, 0
        return f"answered {status}", crc32(body)

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(fetch, range(requests)))
    took = time.perf_counter() - began
    counts = Counter(what for what, _ in found)
    told = [f"{count} of {requests} {what}" for what, count in counts.items()]
    return Work(took, [*told, f"sum of answers {sum(number for _, number in found)}"])


def _first_answer(program: Program, port: int, path: str) -> bytes:
    """Servers say their port before they listen."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            return _ask(port, path)[1]
        except ConnectionRefusedError:
            if time.monotonic() > until or program.process.poll() is not None:
                raise
        time.sleep(_POLL)


def _ask(port: int, path: str) -> tuple[int, bytes]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()


def _run_out(program: Program) -> Work:
    began = time.perf_counter()
    program.process.wait(_PATIENCE)
    return Work(time.perf_counter() - began, [])


def _figure_told(program: Program) -> Work:
    program.goes_on()
    found = program.told(_FIGURE)
    return Work(float(found[2]), found[1].splitlines())
