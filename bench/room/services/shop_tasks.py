"""The same as tasks of Celery, on a broker of plain files; QUEUE names their folder.

celery -A shop_tasks worker                  # does them
python shop_tasks.py SECONDS SEED            # sends them, and prints each answer
"""

from __future__ import annotations

import os
import sys
import time

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(_HERE, "..", "..", "..", "tests", "integration", "foreign"))

from celery_tasks import app, send  # noqa: E402  # among the tests
from shop import look  # noqa: E402  # beside it

_UNDER_WAY, _PATIENCE, _POLL = 16, 10.0, 0.01
_KEYS = 400


@app.task(name="look")
def answer(numbers: str) -> str:
    """How many of these were cached."""
    return look(numbers)


def main(seconds: float, seed: int) -> None:
    """Keep some tasks under way; what does not come back in time is told as lost."""
    from asking import keys_of

    app.conf.broker_transport_options["data_folder_out"] = f"{os.environ['QUEUE']}/outbox"
    stream = keys_of(seed, _KEYS)
    send(answer, next(stream)).get(timeout=60.0, interval=_POLL)  # It is up.
    began, sent = time.monotonic(), []
    while time.monotonic() < began + seconds or sent:
        while len(sent) < _UNDER_WAY and time.monotonic() < began + seconds:
            sent.append(send(answer, next(stream)))
        try:
            print(sent.pop(0).get(timeout=_PATIENCE, interval=_POLL), flush=True)
        except Exception:  # noqa: BLE001  # a worker was killed, or the broker lost it
            print("lost", flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
