"""One cell: a fresh process in a fresh memory group, and how it ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from groups import LimitedGroup

_HERE = os.path.dirname(os.path.abspath(__file__))
_PATIENCE = 600.0
_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)


@dataclass(frozen=True)
class Outcome:
    """How one run of a cell ended (bytes and seconds).

    Attributes:
        ended: "lived"; "killed" by the kernel for want of memory, by the exit status and by the
            group's own count; "stuck" when it took too long; else "failed" with its exit code.
        took: From the first insert to the end of the load, or to the death.
        peak: The most charged to the group, less the page cache still charged at the end.
        hit_rate: Hits ÷ gets, of those that lived.
        figures: What the worker said at the end.
        told: What it wrote to standard error.
    """

    contestant: str
    load: str
    ended: str
    took: float
    peak: int
    oom_kills: int
    hit_rate: float | None = None
    figures: dict[str, Any] = field(default_factory=dict)
    told: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON; what was told stays out where all went well."""
        values = asdict(self)
        if self.ended == "lived":
            del values["told"]
        return values


def run_cell(contestant: str, load: str, group: LimitedGroup) -> Outcome:
    """Run one worker inside the group, from its first instruction on."""
    argv = [sys.executable, os.path.join(_HERE, "worker.py"), contestant, load]
    worker = group.start(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        said, told = worker.communicate(timeout=_PATIENCE)
        stuck = False
    except subprocess.TimeoutExpired:
        worker.kill()
        said, told = worker.communicate()
        stuck = True
    ended_at = time.monotonic()
    lines = [json.loads(line) for line in said.splitlines()]
    began = lines[0]["began"] if lines else ended_at
    figures = lines[1] if len(lines) > 1 else {}
    kills = group.oom_kills()
    ended = "stuck" if stuck else _verdict(worker.returncode, kills)
    gets = figures.get("gets")
    return Outcome(
        contestant=contestant,
        load=load,
        ended=ended,
        took=figures.get("took", ended_at - began),
        peak=group.peak() - _page_cache(group),
        oom_kills=kills,
        hit_rate=figures["hits"] / gets if gets and ended == "lived" else None,
        figures=figures,
        told=told,
    )


def _verdict(code: int, kills: int) -> str:
    if code == 0 and not kills:
        return "lived"
    if code in _KILLED and kills:
        return "killed"
    return f"failed with {code}, {kills} kills"


def _page_cache(group: LimitedGroup) -> int:
    lines = (group.path / "memory.stat").read_text().splitlines()
    return int(dict(line.split() for line in lines)["cache"])
