"""A process looked at from outside, where it has no slot: without a budget, or just started."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from membudget.budget.naming import program_name
from membudget.budget.reexec import LAUNCHED
from membudget.errors import ProbeError
from membudget.pressure import judge
from membudget.probes.cgroup import cgroup_probe
from membudget.probes.combine import capped, tightest
from membudget.probes.process import process_probe
from membudget.settings.resolve import resolve
from membudget.settings.table import CONFIG_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from membudget.pressure import Judgement

_SUPERVISOR = b"/membudget/cli/restart\0"
"""Stands in the command line of our own supervisor, which carries its program's environment."""

APART = 0.5
"""Seconds between the two readings that give a rate."""


class OutsideView:
    """One process, read with the settings of its own environment.

    Args:
        pid: The process.

    Raises:
        ProbeError: There is none, or it is another user's.
        ConfigError: Its environment has settings that do not fit.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        settings = resolve({}, environ_of(pid))
        process, limit = process_probe(pid), settings["limit"]
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
            "name": command_of(self.pid),
            "used": pressure.used,
            "limit": pressure.limit,
            "source": pressure.source,
            "level": pressure.level.name,
            "rate": pressure.growth,
            "seconds_left": pressure.seconds_left,
            "parts": dict(reading.parts),
        }


def launched() -> list[int]:
    """The processes of this user that were started by `membudget run`."""
    pids = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            is_python = "python" in os.readlink(entry / "exe")
            is_own = entry.stat().st_uid == os.getuid()
            if not (is_python and is_own) or _SUPERVISOR in (entry / "cmdline").read_bytes():
                continue
            if LAUNCHED in environ_of(int(entry.name)):
                pids.append(int(entry.name))
        except (ProbeError, OSError):
            continue
    return sorted(pids)


def environ_of(pid: int) -> Mapping[str, str]:
    """The environment a process was started with.

    Raises:
        ProbeError: There is no such process, or it is another user's.
    """
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError as error:
        is_gone = isinstance(error, FileNotFoundError | ProcessLookupError)
        why, advice = (
            ("there is none", "check the number")
            if is_gone
            else (error.strerror, "run as its user")
        )
        raise ProbeError(f"process {pid} cannot be looked at: {why}; {advice}") from None
    pairs = (entry.partition("=") for entry in raw.decode(errors="replace").split("\0") if entry)
    environ = {name: value for name, _, value in pairs}
    if environ.get(CONFIG_VARIABLE):
        try:
            own_place = os.readlink(f"/proc/{pid}/cwd")
        except OSError as error:
            raise ProbeError(f"process {pid} cannot be looked at: {error.strerror}") from None
        environ[CONFIG_VARIABLE] = os.path.join(own_place, environ[CONFIG_VARIABLE])
    return environ


def command_of(pid: int) -> str:
    """What it runs, for people."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    return program_name([word for word in words if word])
