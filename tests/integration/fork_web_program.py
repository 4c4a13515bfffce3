"""A web application that starts its budget when it is loaded: before a server forks its workers."""

import json
import os
import sys
import time
from typing import Any

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from collections.abc import Callable, Iterable

import membudget
from own_threads import own_threads

_PATIENCE = 60.0

budget = membudget.start("400MiB", monitoring={"check_interval": 0.01})
cache: Any = budget.cache("answers", max_bytes="10MiB")
loaded_by = os.getpid()


def app(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers who it is and how its governor does."""
    cache.set("mine", os.getpid())
    answer = {
        "pid": os.getpid(),
        "loaded_by": loaded_by,
        "steps": _steps(),
        "threads": own_threads(),
        "cached": cache.get("mine"),
        "sampled": _sampled(),
    }
    start_response("200 OK", [("Content-Type", "application/json"), ("Connection", "close")])
    return [json.dumps(answer).encode()]


def _sampled() -> list[int]:
    """The processes that the samples kept here are of, once there are any."""
    until = time.monotonic() + _PATIENCE
    while not (samples := budget.samples) and time.monotonic() < until:
        time.sleep(0.001)
    return sorted({one.pid for one in samples})


def _steps() -> bool:
    reading = budget.governor.reading
    until = time.monotonic() + _PATIENCE
    while budget.governor.reading is reading:
        if time.monotonic() > until:
            return False
        time.sleep(0.001)
    return True
