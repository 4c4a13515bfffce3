"""The processes that can be found: by their slots, or by their number.

A process looked at from outside, where it has no slot: without a budget, or just started.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from membudget.budget import program_name
from membudget.budget.reexec import LAUNCHED
from membudget.core import Level, Record
from membudget.core.status import Status  # noqa: TC001  # a field of a record
from membudget.errors import ConfigError, MembudgetError, ProbeError
from membudget.host import SLOT, Identity, check_readable, identity_of
from membudget.host.client import ask
from membudget.host.slot import living
from membudget.ownership import default_folder
from membudget.pressure import judge
from membudget.probes import capped, tightest
from membudget.probes.cgroup import cgroup_probe
from membudget.probes.process import process_probe
from membudget.settings import resolve
from membudget.settings.table import CONFIG_VARIABLE, SETTINGS

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


UNREACHABLE = 3
NOBODY = (
    "no process of yours runs under a budget: start one with `membudget run -- CMD`, or name one "
    "with --pid"
)
OF_A_SLOT = (
    *("at", "name", "used", "limit", "source", "level", "seconds_left"),
    *("peak", "governed", "reclaimed", "rate", "is_resting"),
)
"""The fields of a `Status` that a slot tells."""

_EXIT = {Level.NORMAL: 0, Level.WARNING: 1, Level.CRITICAL: 2, Level.EMERGENCY: 2}
_DIRECTORY = SETTINGS["agent.directory"]


class Found(Record):
    """One process: who it is, where its slot lies, and its latest figures.

    Attributes:
        identity: Its own number may be one of another pid namespace.
        folder: Where its slot and socket are.
        figures: What its slot tells.
    """

    identity: Identity
    folder: str
    figures: Status

    def as_row(self) -> dict[str, Any]:
        """Its figures under the names of the command line's JSON."""
        told = {name: getattr(self.figures, name) for name in OF_A_SLOT}
        is_here = self.identity.namespace == _own_namespace()
        return {"pid": self.identity.pid, **told, **({} if is_here else {"namespace": "other"})}

    def ask(self, command: str) -> dict[str, Any]:
        """The process's own answer.

        Raises:
            ControlError: It cannot be reached, or did not answer.
        """
        return ask(self.identity, command, folder=self.folder)


def find(pid: int | None = None) -> list[Found]:
    """The living processes of this user that have a slot, or the one named.

    Raises:
        ProbeError: There is no such process, or it is another user's.
        ControlError: The folder with the slots may be anybody's.
        ConfigError: Our own settings do not fit.
    """
    folder = folder_of(pid)
    wanted = identity_of(pid) if pid is not None else None
    if not os.path.lexists(folder):
        return []
    check_readable(folder, None if pid is None else _owner(pid))
    found = living(folder) if wanted is None else living(folder, [f"{wanted.stem}{SLOT}"])
    return [Found(identity=identity, folder=folder, figures=figures) for identity, figures in found]


def folder_of(pid: int | None) -> str:
    """Where a process's slot lies: as it says itself, else where its user's slots are.

    Raises:
        ProbeError: There is no such process.
        ConfigError: Our own settings do not fit.
    """
    directory: str
    if pid is None:
        directory = resolve({})["agent.directory"]
    else:
        environ = environ_of(pid)
        try:
            directory = resolve({}, environ)["agent.directory"]
        except ConfigError:  # Its file may be broken by now; what it started with is not told.
            directory = environ.get(_DIRECTORY.variable, "auto")
    if directory not in ("auto", "none"):
        return directory
    return default_folder(None if pid is None else _owner(pid))


def _owner(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except FileNotFoundError:
        raise ProbeError(f"process {pid} has ended: check the number") from None


def without_slot(known: list[Found]) -> list[OutsideView]:
    """Launched processes that nobody has a slot of, seen from outside."""
    numbers = {one.identity.pid for one in known if one.identity.namespace == _own_namespace()}
    views = []
    for pid in launched():
        if pid not in numbers:
            try:
                views.append(OutsideView(pid))
            except (MembudgetError, OSError):  # It ended meanwhile, or is not what it seemed.
                continue
    return views


def exit_code(level: str) -> int:
    """What a check reports for a level: 0 well, 1 warning, 2 critical or emergency."""
    return _EXIT[Level[level]] if level in Level.__members__ else UNREACHABLE


def _own_namespace() -> int:
    return os.stat("/proc/self/ns/pid").st_ino
