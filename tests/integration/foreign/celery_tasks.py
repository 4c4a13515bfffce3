"""Tasks as people write them with Celery, on a broker of plain files; QUEUE names their folder.

    celery -A celery_tasks worker             # does them
    python celery_tasks.py TASKS WORKERS      # sends them and prints what comes back

The client's first line has the process ids of so many workers, asked until all have answered; it
goes on at the end of a line on standard input. Each further line is one task's result, and the last
has the seconds from the first task to the last result.
"""
# ruff: noqa: T201 - a program's output

import os
import sys
import time
from typing import Any

from celery import Celery  # type: ignore[import-untyped]  # it ships no types

_PATIENCE = 60.0
_POLL = 0.005

_folder = os.environ["QUEUE"]
for _name in ("queue", "outbox", "control", "results"):
    os.makedirs(f"{_folder}/{_name}", exist_ok=True)

app = Celery("tasks", broker="filesystem://", backend=f"file://{_folder}/results")
app.conf.broker_transport_options = {
    "data_folder_in": f"{_folder}/queue",
    "data_folder_out": f"{_folder}/queue",
    "control_folder": f"{_folder}/control",
    "polling_interval": 0.01,
}


@app.task(name="tell_pid")  # type: ignore[untyped-decorator]  # it ships no types
def tell_pid() -> int:
    """Which worker process does the work; slow enough that all get their turn."""
    time.sleep(0.05)
    return os.getpid()


@app.task(name="add_up")  # type: ignore[untyped-decorator]  # it ships no types
def add_up(count: int) -> int:
    return sum(number * number for number in range(count))


def send(task: Any, *arguments: Any) -> Any:
    """Send a task as a whole: a worker of this broker would read a file half written."""
    result = task.delay(*arguments)
    for name in os.listdir(f"{_folder}/outbox"):
        os.rename(f"{_folder}/outbox/{name}", f"{_folder}/queue/{name}")
    return result


def main(tasks: int, workers: int) -> None:
    app.conf.broker_transport_options["data_folder_out"] = f"{_folder}/outbox"
    pids: set[int] = set()
    until = time.monotonic() + _PATIENCE
    while len(pids) < workers and time.monotonic() < until:
        asked = [send(tell_pid) for _ in range(2 * workers)]
        pids |= {one.get(timeout=_PATIENCE, interval=_POLL) for one in asked}
    print(*sorted(pids), flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    sent = [send(add_up, 1000 + number) for number in range(tasks)]
    for one in sent:
        print(one.get(timeout=_PATIENCE, interval=_POLL))
    print(time.monotonic() - began)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
