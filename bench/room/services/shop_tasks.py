"""The same as tasks of Celery, on a broker of plain files; QUEUE names their folder.

celery -A shop_tasks worker                  # does them
python shop_tasks.py SECONDS SEED            # sends them, and prints each answer
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from celery import Celery
from shop import look

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
app.conf.worker_prefetch_multiplier = 4

_UNDER_WAY, _PATIENCE, _POLL = 16, 10.0, 0.01
_KEYS = 400


@app.task(name="look")
def answer(numbers: str) -> str:
    """How many of these were cached."""
    return look(numbers)


def _send(numbers: str) -> Any:
    """Send a task as a whole: a worker of this broker would read a file half written."""
    result = answer.delay(numbers)
    for name in os.listdir(f"{_folder}/outbox"):
        os.rename(f"{_folder}/outbox/{name}", f"{_folder}/queue/{name}")
    return result


def main(seconds: float, seed: int) -> None:
    """Keep some tasks under way; what does not come back in time is told as lost."""
    from asking import keys_of

    app.conf.broker_transport_options["data_folder_out"] = f"{_folder}/outbox"
    stream = keys_of(seed, _KEYS)
    _send(next(stream)).get(timeout=60.0, interval=_POLL)  # It is up.
    began, sent = time.monotonic(), []
    while time.monotonic() < began + seconds or sent:
        while len(sent) < _UNDER_WAY and time.monotonic() < began + seconds:
            sent.append(_send(next(stream)))
        try:
            print(sent.pop(0).get(timeout=_PATIENCE, interval=_POLL), flush=True)
        except Exception:  # noqa: BLE001  # a worker was killed, or the broker lost it
            print("lost", flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
