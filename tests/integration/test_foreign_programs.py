"""Real programs that nobody here wrote, without and with a budget: nobody sees a difference."""

import http.client
import json
import os
import re
import signal
import sys
import time
import venv
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import membudget as membudget_package
from commands import ended, membudget
from fork_warnings import warned_too_late
from integration.foreign.program import (
    FOREIGN,
    PATIENCE,
    POLL,
    WAYS,
    Outcome,
    both,
    running,
    whole_run,
)
from waiting import eventually

pytestmark = pytest.mark.skipif(
    not os.path.isdir("/proc/self/fd"), reason="what processes do is read from /proc"
)

LIMIT = 400 << 20


def assert_reached(way: str, pids: Iterable[int]) -> None:
    """With a budget, each process can be asked, and says that it keeps within the limit."""
    if way == "without":
        return
    for pid in pids:
        eventually(partial(_is_asked, pid))


def _is_asked(pid: int) -> bool:
    result = membudget("memory", "-v", "--json", "--pid", str(pid))
    told = json.loads(result.stdout) if result.stdout else {}
    return told.get("limit") == LIMIT and "gc" in told


class Server(NamedTuple):
    """A server, what it is asked, and the signal that ends it."""

    arguments: Sequence[str]
    path: str
    by: signal.Signals
    workers: int = 0


GUNICORN = (
    *("-m", "gunicorn", "--no-control-socket", "--workers=2"),
    *("--bind=127.0.0.1:0", "flask_app:app"),
)
UVICORN = ("-m", "uvicorn", "--workers=2", "--port=0", "starlette_app:app")
HTTP_SERVER = ("-u", "-m", "http.server", "0", "--bind=127.0.0.1")
SERVERS = {
    "http.server, SIGTERM": Server(HTTP_SERVER, "/flask_app.py", signal.SIGTERM),
    "http.server, SIGINT": Server(HTTP_SERVER, "/flask_app.py", signal.SIGINT),
    "gunicorn, SIGTERM": Server(GUNICORN, "/orders/3", signal.SIGTERM, 2),
    "uvicorn, SIGTERM": Server(UVICORN, "/orders/3", signal.SIGTERM, 2),
    "uvicorn, SIGINT": Server(UVICORN, "/orders/3", signal.SIGINT, 2),
}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str


def ask(port: int, path: str) -> Answer:
    """The answer to one request, however long the server takes to listen."""
    until = time.monotonic() + PATIENCE
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            headers = {name: text for name, text in response.getheaders() if name.lower() != "date"}
            return Answer(response.status, headers, response.read().decode())
        except ConnectionRefusedError:
            assert time.monotonic() < until, f"nobody listens on port {port}"
            time.sleep(POLL)
        finally:
            connection.close()


def workers_of(port: int, count: int) -> set[int]:
    """The process ids of so many workers, asked until all have answered."""
    pids: set[int] = set()
    until = time.monotonic() + PATIENCE
    while len(pids) < count:
        assert time.monotonic() < until, f"only {pids} answered"
        pids.add(int(ask(port, "/pid").body))
    return pids


def serve(server: Server, streams: Path, way: str) -> tuple[object, ...]:
    """What its clients and whoever starts it see of a server."""
    with running(way, *server.arguments, streams=streams) as program:
        port = int(program.told(r"127\.0\.0\.1(?: port |:)(\d+)")[1])
        pids = workers_of(port, server.workers) or {program.process.pid}
        answers = [ask(port, server.path), ask(port, "/nothing")]
        assert [one.status for one in answers] == [200, 404]
        assert_reached(way, pids)
        return *answers, program.end(server.by).general()


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_answers_logs_and_ends_as_without(name: str, tmp_path: Path) -> None:
    """Answers, log lines and exit code are the same, and every worker has the budget."""
    without, under = both(partial(serve, SERVERS[name], tmp_path))
    assert without == under


def work(pool: str, workers: int, streams: Path, way: str) -> tuple[object, ...]:
    """What clients see of a Celery worker, and what it says itself."""
    environment = {"QUEUE": str(streams / way)}
    arguments = ("-m", "celery", "-A", "celery_tasks", "worker", "--pool", pool)
    with running(
        way, *arguments, "--concurrency=2", streams=streams, environment=environment
    ) as worker:
        client = ended(
            [sys.executable, "celery_tasks.py", "5", str(workers)],
            environment,
            cwd=FOREIGN,
            check=True,
            input="\n",
        )
        pids, *results, _ = client.stdout.splitlines()
        assert len(pids.split()) == workers
        assert_reached(way, map(int, pids.split()))
        code, output, errors = worker.end(signal.SIGTERM).general()
    # Whether its pool outlives the same signal is a race of Celery's own.
    errors = {line for line in errors if "Error" not in line and "ERROR" not in line}
    return results, code, output, errors


@pytest.mark.parametrize(("pool", "workers"), [("solo", 1), ("prefork", 2)])
def test_a_celery_worker_does_its_tasks_as_without(pool: str, workers: int, tmp_path: Path) -> None:
    """Results, banner and exit code are the same, and every worker process has the budget."""
    without, under = both(partial(work, pool, workers, tmp_path))
    assert without == under


def test_the_tests_of_a_package_pass_as_without(tmp_path: Path) -> None:
    """A test suite is a program as well: toolz runs its own, warnings and counts included."""
    if (why := warned_too_late()) is not None:
        pytest.skip(why)
    arguments = ("-m", "pytest", "--pyargs", "toolz", "-p", "no:cacheprovider", "-q")
    outcomes = both(lambda way: whole_run(way, *arguments, streams=tmp_path, cwd=tmp_path))
    without, under = (
        one._replace(output=re.sub(r"in [\d.]+s", "in 0s", one.output)) for one in outcomes
    )
    assert without == under
    assert " passed" in under.output


def compute(method: str, streams: Path, way: str) -> tuple[int, Sequence[str], str]:
    """What a program with a pool of processes prints, but for their ids."""
    with running(way, "pool_program.py", method, "5", streams=streams) as program:
        found = program.told(r"^(\d+) (\d+)\n")
        assert_reached(way, map(int, found.groups()))
        program.goes_on()
        code, output, errors = program.end()
        return code, output.splitlines()[1:-1], errors


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_of_processes_computes_as_without(method: str, tmp_path: Path) -> None:
    """However the workers are started, they have the budget, and the result is the same."""
    without, under = both(partial(compute, method, tmp_path))
    assert without == under == (0, ["1229 [303, 247, 233]"], "")


def notebook(streams: Path, way: str) -> tuple[int, Sequence[str], str]:
    """What a notebook's cells show."""
    command = ("kernel_client.py", "3", *WAYS[way], sys.executable)
    (streams / way).mkdir()
    with running("without", *command, streams=streams / way) as client:
        pid = int(client.told(r"^1 (\d+)\n")[1])
        assert_reached(way, [pid])
        client.goes_on()
        code, output, errors = client.end()
        return code, output.splitlines()[1:-1], errors


def test_a_jupyter_kernel_runs_cells_as_without(tmp_path: Path) -> None:
    """A kernel.json that names `membudget run` starts a kernel that a notebook cannot tell."""
    without, under = both(partial(notebook, tmp_path))
    assert without == under
    assert under[1][-1] == "ZeroDivisionError division by zero"


OWN_SITE = """
import atexit, builtins, sys
builtins.called = set()
sys.setprofile(lambda frame, event, _: called.add(frame.f_code.co_name))
atexit.register(lambda: print("main was called:", "main" in called))
print(__name__, __file__, sys.path)
"""


def view(streams: Path, way: str, *flags: str, **options: Any) -> Outcome:
    """What a program finds of its interpreter."""
    return whole_run(way, *flags, "view_program.py", "argument", streams=streams, **options)


def test_a_program_finds_its_interpreter_as_without(tmp_path: Path) -> None:
    """Path, handlers, hooks, filters, collector: what can be seen of us is gone when it begins."""
    without, under = both(partial(view, tmp_path))
    assert without == under
    assert without.code == 0


def test_a_path_of_the_programs_own_keeps_its_order(tmp_path: Path) -> None:
    """PYTHONPATH is added to and nothing of it is lost, twice and missing entries included."""
    entries = [str(tmp_path / name) for name in ("b", "a", "b", "missing")]
    environment = {"PYTHONPATH": os.pathsep.join(entries)}
    without, under = both(partial(view, tmp_path, environment=environment))
    assert without == under
    assert entries[0] in under.output


@pytest.mark.parametrize("flags", ["-I", "-E", "-OO", "-P", "-X dev -bb -W error"])
def test_flags_of_the_interpreter_work_as_without(flags: str, tmp_path: Path) -> None:
    """Whether they shut us out, which is told, or are only hard to please: it runs as it would."""
    without, under = both(lambda way: view(tmp_path, way, *flags.split()))
    told = [line for line in under.errors.splitlines() if line.startswith("membudget: ")]
    assert without == under._replace(errors="")
    assert without.code == 0
    assert [f"is started with {flags}, which ignores" in line for line in told] == (
        [True] if flags in ("-I", "-E") else []
    )


def test_an_interpreter_without_site_runs_as_without(tmp_path: Path) -> None:
    """Nothing of ours can start, which is all that is said."""
    arguments = ("-S", "-c", "import sys; print(sys.argv, sys.flags); sys.exit(7)", "argument")
    without, under = both(lambda way: whole_run(way, *arguments, streams=tmp_path))
    assert without == under._replace(errors="")
    assert without.code == 7
    (line,) = under.errors.splitlines()
    assert "is started with -S, which leaves out" in line


def test_a_sitecustomize_on_the_path_works_as_without(tmp_path: Path) -> None:
    """It is loaded once, under its own name, with its own path, and its hooks stay."""
    (tmp_path / "sitecustomize.py").write_text(OWN_SITE)
    environment = {"PYTHONPATH": str(tmp_path)}
    without, under = both(partial(view, tmp_path, environment=environment))
    assert without.general() == under.general()
    assert "main was called: True" in under.output


def test_a_sitecustomize_that_fails_is_told_as_without(tmp_path: Path) -> None:
    """The interpreter's own words about it, and the program runs."""
    (tmp_path / "sitecustomize.py").write_text("raise ValueError('own')\n")
    environment = {"PYTHONPATH": str(tmp_path)}
    without, under = both(partial(view, tmp_path, environment=environment))
    assert without == under
    assert "ValueError: own" in under.errors


@pytest.mark.parametrize("is_ours", [False, True], ids=["without us", "with us installed"])
def test_another_environment_runs_as_without(tmp_path: Path, *, is_ours: bool) -> None:
    """Its sitecustomize is loaded; where it has no membudget it is lent ours, and sees no more."""
    venv.create(tmp_path / "venv", symlinks=True)
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (packages / "sitecustomize.py").write_text(OWN_SITE)
    if is_ours:
        (packages / "membudget.pth").write_text(str(Path(membudget_package.__file__).parents[1]))
    python = str(tmp_path / "venv" / "bin" / "python")
    without, under = both(partial(view, tmp_path, python=python))
    assert without.general() == under.general()
    assert without.errors == under.errors == ""
    assert "main was called: True" in under.output
