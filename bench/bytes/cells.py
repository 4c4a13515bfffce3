"""One cell: a fresh process that fills one cache with one kind of values."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import NamedTuple

_WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "worker.py")
_GRACE = 120.0


class Outcome(NamedTuple):
    """What came of one cell.

    Attributes:
        growth: Of resident memory, a share of the budget; None where it failed.
        us: Microseconds a set.
        seconds: In all sets together.
        done: The share of the values that were set before time was up.
        entries: Held at the end.
        error: Why it failed.
    """

    contestant: str
    kind: str
    growth: float | None = None
    us: float = 0.0
    seconds: float = 0.0
    done: float = 0.0
    entries: int = 0
    error: str = ""


def true_bytes(kind: str) -> float:
    """What a value of that kind takes, measured in a process that holds nothing else."""
    done = subprocess.run(
        [sys.executable, _WORKER, "true", kind], stdout=subprocess.PIPE, text=True, check=True
    )
    return float(json.loads(done.stdout)["bytes"])


def run_cell(contestant: str, kind: str, budget: int, count: int, seconds: float) -> Outcome:
    """Fill once.

    Args:
        contestant: Its name.
        kind: Of the values.
        budget: Bytes.
        count: Values to set.
        seconds: When to stop, the making of values included.
    """
    rest = [contestant, kind, str(budget), str(count), str(seconds)]
    try:
        done = subprocess.run(
            [sys.executable, _WORKER, "fill", *rest],
            capture_output=True,
            text=True,
            timeout=seconds + _GRACE,
            check=True,
        )
    except subprocess.TimeoutExpired:
        return Outcome(contestant, kind, error="stuck")
    except subprocess.CalledProcessError as failed:
        told = failed.stderr.strip().splitlines()
        return Outcome(contestant, kind, error=told[-1] if told else f"exit {failed.returncode}")
    said = json.loads(done.stdout)
    if "raised" in said:
        return Outcome(contestant, kind, error=f"raises {said['raised']}")
    return Outcome(contestant, kind, **said)
