"""One run's process: asks for too much, with or without the brake, and says what came of it.

Run as `python worker.py LOAD BRAKE SETTING`, inside the memory group. Prints one JSON line, with
the room it had just before the load, and one with what came of it, which a killed one never does.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import nullcontext

from loads import LOADS
from program import braked, outcome_of

_THREADS = 20
_A_TICK = 1.2


def main(name: str, brake: str, setting: str) -> None:
    """Go through one load."""
    is_over = threading.Event()
    if setting == "loaded before":
        _load(is_over)
    with braked() if brake == "braked" else nullcontext() as armed:
        if setting == "loaded after":
            _load(is_over)
        if armed is not None:
            time.sleep(_A_TICK)
            state = armed.state
            print(json.dumps({"room": state.room, "never": state.never_touched}), flush=True)
        outcome = outcome_of(LOADS[name])
        outcome["hits"] = armed.state.hits if armed is not None else 0
        is_over.set()
    print(json.dumps(outcome), flush=True)


def _load(is_over: threading.Event) -> None:
    """What a service has loaded: numpy, and 20 threads that wait."""
    import numpy as np  # noqa: F401  # for what it sets aside

    for _ in range(_THREADS):
        threading.Thread(target=is_over.wait, daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
