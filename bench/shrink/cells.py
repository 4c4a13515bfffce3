"""One cell: a fresh process that churns one cache and has it shrink."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field

_WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "worker.py")
_PATIENCE = 300.0


@dataclass(frozen=True)
class Outcome:
    """What came of one cell: its figures by name, or why there are none."""

    contestant: str
    kind: str
    figures: dict[str, float] = field(default_factory=dict)
    error: str = ""


def true_bytes(kind: str) -> float:
    """What a key and a value of that kind take, measured in a process that holds nothing else."""
    done = subprocess.run(
        [sys.executable, _WORKER, "true", kind], stdout=subprocess.PIPE, text=True, check=True
    )
    return float(json.loads(done.stdout)["bytes"])


def run_cell(contestant: str, kind: str, limit: int, true: float) -> Outcome:
    """Churn and shrink once.

    Args:
        contestant: Its name.
        kind: Of the values.
        limit: The bound in bytes.
        true: Bytes that a key and a value take.
    """
    argv = [sys.executable, _WORKER, "churn", contestant, kind, str(limit), str(true)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_PATIENCE, check=True)
    except subprocess.TimeoutExpired:
        return Outcome(contestant, kind, error=f"took more than {_PATIENCE:.0f} s")
    except subprocess.CalledProcessError as failed:
        told = failed.stderr.strip().splitlines()
        error = told[-1] if told else f"ended with {failed.returncode}"
        return Outcome(contestant, kind, error=error)
    return Outcome(contestant, kind, json.loads(done.stdout))
