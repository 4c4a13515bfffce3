"""multiprocessing's own helpers under `membudget run`: they hold nothing and are not governed."""

import json
import sys
from pathlib import Path

import pytest

from commands import membudget

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are told apart by /proc")

PROGRAM = """
import json, multiprocessing, os, subprocess, sys, time
from multiprocessing import forkserver, resource_tracker

def is_governed(pid):
    names = []
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/comm") as file:
                names.append(file.read().strip())
        except OSError:
            pass
    return "membudget" in names

def work(results, leave):
    until = time.monotonic() + 20
    while not is_governed(os.getpid()) and time.monotonic() < until:
        time.sleep(0.01)
    results.put(is_governed(os.getpid()))
    leave.wait(100)

if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    results, leave = context.Queue(), context.Event()
    worker = context.Process(target=work, args=(results, leave))
    worker.start()
    worker_is_governed = results.get(timeout=300)
    helpers = [resource_tracker._resource_tracker._pid, forkserver._forkserver._forkserver_pid]
    listed = subprocess.run(
        [sys.executable, "-m", "membudget", "memory", "--json"], capture_output=True, text=True
    ).stdout
    pids = [json.loads(line)["pid"] for line in listed.splitlines()]
    leave.set()
    worker.join()
    print(json.dumps({
        "worker": worker_is_governed,
        "helpers": [is_governed(pid) for pid in helpers],
        "listed": [pid in pids for pid in helpers],
    }))
"""


def test_helpers_are_listed_and_not_governed_and_workers_are(tmp_path: Path) -> None:
    """A thread and a share of what all are told would be wasted on them."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    environment = {"MEMBUDGET_AGENT_DIRECTORY": str(folder)}
    done = membudget(
        *("run", "--limit", "2GiB", "--", sys.executable, str(program)), environment=environment
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "worker": True,
        "helpers": [False, False],
        "listed": [True, True],
    }
