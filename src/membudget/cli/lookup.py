"""The processes that can be found: by their slots, or by their number."""

from __future__ import annotations

import os
from typing import Any

from membudget.cli.outside import OutsideView, environ_of, launched
from membudget.core import Level, Record
from membudget.core.status import Status  # noqa: TC001  # a field of a record
from membudget.errors import ConfigError, MembudgetError, ProbeError
from membudget.host.client import ask
from membudget.host.folder import SLOT, check_readable
from membudget.host.identity import Identity, identity_of
from membudget.host.slot import living
from membudget.ownership import default_folder
from membudget.settings.resolve import resolve
from membudget.settings.table import SETTINGS

UNREACHABLE = 3
NOBODY = (
    "no process of yours runs under a budget: start one with `membudget run -- CMD`, or name one "
    "with --pid"
)
OF_A_SLOT = (
    *("at", "name", "used", "limit", "source", "level", "seconds_left"),
    *("peak", "governed", "reclaimed", "rate"),
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
