"""A budget and forks: each process ends up with a governor of its own, and nobody is stuck.

FORKS in the environment says how many; 50 where it is not set.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fork_warnings import warned_too_late

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

FORKS = int(os.environ.get("FORKS", "50"))
HERE = Path(__file__).parent
PATIENCE = 20.0


def fork(way: str, forks: int, threads: int) -> dict[str, Any]:
    """The summary of the program that forks."""
    argv = [sys.executable, str(HERE / "fork_program.py"), way, str(forks), str(threads)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60 + forks)
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    assert summary["stuck"] == 0, done.stderr
    return summary


@pytest.mark.timeout(90 + FORKS)
@pytest.mark.parametrize("way", ["os", "multiprocessing"])
def test_every_child_of_a_busy_process_governs_itself(way: str) -> None:
    """Forked amid inserts and fast steps, children step, see their own memory, cache, and end."""
    summary = fork(way, FORKS, threads=2)
    assert summary["codes"] == {"0": FORKS}
    assert summary["parent_steps"]
    assert not summary["failures"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="this Python does not warn of threads")
def test_a_program_with_one_thread_is_not_warned_of_threads_when_it_forks() -> None:
    """Python from 3.12 on warns of forks with threads; the governor's must not be the cause."""
    # As an error the warning is swallowed by os.fork() itself, so it has to be shown.
    if (why := warned_too_late()) is not None:
        pytest.skip(why)
    summary = fork("os", FORKS, threads=0)
    assert summary["codes"] == {"0": FORKS}
    assert summary["warnings"] == 0, summary["warning"]


class Server:
    """A web server under test, asked over loopback."""

    def __init__(self, master: int, port: int) -> None:
        self.master = master
        self._port = port

    def workers(self, but: set[int]) -> dict[int, dict[str, Any]]:
        """The answers of two workers that are none of these, by process id."""
        answers: dict[int, dict[str, Any]] = {}
        until = time.monotonic() + PATIENCE
        while len(answers) < 2:
            assert time.monotonic() < until, f"only {list(answers)} answered beside {but}"
            answer = self._ask()
            if answer is not None and answer["pid"] not in but:
                answers[answer["pid"]] = answer
        return answers

    def _ask(self) -> dict[str, Any] | None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        try:
            connection.request("GET", "/")
            answer: dict[str, Any] = json.load(connection.getresponse())
        except (OSError, http.client.HTTPException):  # A worker being replaced may hang up.
            time.sleep(0.01)
            return None
        finally:
            connection.close()
        return answer


@contextmanager
def preloaded_server(tmp_path: Path) -> Iterator[Server]:
    """Gunicorn with two workers, forked from a master that runs the budget already."""
    with socket.socket() as listener, (tmp_path / "log").open("w+") as log:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"fd://{listener.fileno()}"
        argv = [sys.executable, "-m", "gunicorn", "--no-control-socket", f"--bind={address}"]
        server = subprocess.Popen(
            [*argv, "--preload", "--workers=2", "--graceful-timeout=5", "fork_web_program:app"],
            pass_fds=[listener.fileno()],
            cwd=HERE,
            stderr=log,
        )
        try:
            yield Server(server.pid, listener.getsockname()[1])
            server.terminate()
            code = server.wait(PATIENCE)
            log.seek(0)
            assert code == 0, log.read()
        finally:
            server.kill()
            server.wait()


def replace_all(server: Server, _: set[int]) -> None:
    os.kill(server.master, signal.SIGHUP)


def kill_all(_: Server, workers: set[int]) -> None:
    """Kill the workers, as the kernel does when memory is out."""
    for pid in workers:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("end", [replace_all, kill_all])
def test_every_worker_of_a_preloaded_server_governs_itself(
    tmp_path: Path, end: Callable[[Server, set[int]], None]
) -> None:
    """Workers forked from a master with a budget step by themselves, however often replaced."""
    pytest.importorskip("gunicorn")
    with preloaded_server(tmp_path) as server:
        seen: set[int] = set()
        for _ in range(4):
            answers = server.workers(but=seen)
            for pid, answer in answers.items():
                assert answer == {
                    "pid": pid,
                    "loaded_by": server.master,
                    "steps": True,
                    "threads": 1,
                    "cached": pid,
                    "sampled": [pid],
                }
            end(server, set(answers))
            seen |= set(answers)
