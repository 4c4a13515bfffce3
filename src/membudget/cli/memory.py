"""`membudget memory`: what a process under a budget uses now, read from outside."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import click

from membudget.budget.launch import VARIABLE
from membudget.core import Level
from membudget.errors import MembudgetError, ProbeError
from membudget.pressure import Judgement, judge
from membudget.probes.cgroup import cgroup_probe
from membudget.probes.combine import capped, tightest
from membudget.probes.process import process_probe
from membudget.settings.resolve import resolve
from membudget.units import human_bytes, human_seconds

UNREACHABLE = 3
_EXIT = {Level.NORMAL: 0, Level.WARNING: 1, Level.CRITICAL: 2, Level.EMERGENCY: 2}
_RATE_OVER = 0.5
"""Seconds between the two readings that give a rate."""


@click.command()
@click.option("--pid", type=click.IntRange(min=1), help="The process; else all of yours under run.")
@click.option("--watch", is_flag=True, help="Once a second, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a process and look.")
def command(*, pid: int | None, watch: bool, as_json: bool) -> int:
    """Show use, limit, level, rate and time to the limit.

    Exits 0 when all is well, 1 at WARNING, 2 at CRITICAL or EMERGENCY, 3 when no process is found.
    """
    pids = [pid] if pid is not None else _launched()
    if not pids:
        click.echo(
            "membudget: no process of yours runs under a budget: start one with "
            "`membudget run -- CMD`, or name one with --pid",
            err=True,
        )
        return UNREACHABLE
    try:
        views = [_View(one) for one in pids]
        code = _show(views, _RATE_OVER, as_json=as_json)
        while watch and views:
            code = _show(views, 1.0, as_json=as_json)
    except (MembudgetError, OSError) as error:
        click.echo(f"membudget: {error}", err=True)
        return UNREACHABLE
    return code


class _View:
    """One process, looked at from outside with the settings of its own environment."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        environ = _environ_of(pid)
        settings = resolve({}, environ)
        process = process_probe(pid)
        limit = settings["limit"]
        group = cgroup_probe(pid)
        own = capped(process, limit) if limit is not None else process
        self._process = process
        self._probe = tightest(own, group) if group is not None else own
        self._marks = settings.marks()
        self._judgement: Judgement | None = None

    def look(self) -> dict[str, Any]:
        """Read and judge once more.

        Raises:
            ProbeError: The process has ended.
        """
        self._process()
        reading = self._probe()
        # From outside there is one reading a look; judged twice, a mark reached is a level.
        judged = judge(reading, self._marks, self._judgement)
        self._judgement = judge(reading, self._marks, judged)
        pressure = self._judgement.pressure
        return {
            "pid": self.pid,
            "used": pressure.used,
            "limit": pressure.limit,
            "source": pressure.source,
            "level": pressure.level.name,
            "rate": pressure.growth,
            "seconds_left": pressure.seconds_left,
            "parts": dict(reading.parts),
        }


def _show(views: list[_View], apart: float, *, as_json: bool) -> int:
    _look(views)
    time.sleep(apart)
    shown = _look(views)
    code = 0 if shown else UNREACHABLE
    for figures in shown:
        click.echo(json.dumps(figures) if as_json else _line(figures))
        code = max(code, _EXIT[Level[figures["level"]]])
    return code


def _look(views: list[_View]) -> list[dict[str, Any]]:
    """Look at each; one that has ended is told and leaves the list."""
    shown = []
    for view in tuple(views):
        try:
            shown.append(view.look())
        except ProbeError as error:
            views.remove(view)
            click.echo(f"membudget: {error}", err=True)
    return shown


def _line(figures: dict[str, Any]) -> str:
    used, limit = figures["used"], figures["limit"]
    size = human_bytes(used)
    if limit is not None:
        size += f" of {human_bytes(limit)} ({used / limit:.0%}, {figures['source']})"
    sign = "-" if figures["rate"] < 0 else "+"
    line = (
        f"{figures['pid']}: {size} {figures['level']} {sign}{human_bytes(abs(figures['rate']))}/s"
    )
    left = figures["seconds_left"]
    return line if left is None else f"{line}, limit in {human_seconds(left)}"


def _launched() -> list[int]:
    """The processes of this user that were started by `membudget run`."""
    pids = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            is_python = "python" in os.readlink(entry / "exe")
            is_own = entry.stat().st_uid == os.getuid()
            if is_python and is_own and VARIABLE in _environ_of(int(entry.name)):
                pids.append(int(entry.name))
        except (ProbeError, OSError):
            continue
    return sorted(pids)


def _environ_of(pid: int) -> dict[str, str]:
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError as error:
        why = "there is none" if isinstance(error, FileNotFoundError) else error.strerror
        advice = "check the number" if isinstance(error, FileNotFoundError) else "run as its user"
        raise ProbeError(f"process {pid} cannot be looked at: {why}; {advice}") from None
    pairs = (entry.partition("=") for entry in raw.decode(errors="replace").split("\0") if entry)
    return {name: value for name, _, value in pairs}
