"""The processes that can be found: by their slots, or from outside where they have none."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from membudget.budget import program_name
from membudget.budget.reexec import LAUNCHED
from membudget.core import OWN, Record
from membudget.core.nouns import Status  # noqa: TC001  # a field of a record
from membudget.errors import ConfigError, MembudgetError, ProbeError
from membudget.host import SLOT, Identity, check_readable, identity_of
from membudget.host.client import ask
from membudget.host.slot import living, read_claim
from membudget.ownership import default_folder
from membudget.pressure import judge
from membudget.probes import tightest
from membudget.probes.cgroup import cgroup_probe
from membudget.probes.process import SOURCE, process_probe
from membudget.settings import resolve
from membudget.settings.table import CONFIG_VARIABLE, SETTINGS
from membudget.units import LONGEST_NAME, human_bytes, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from membudget.core.shares import Claim
    from membudget.pressure import Judgement
    from membudget.settings import Settings

UNREACHABLE = 3
NOBODY = (
    "no process of yours runs under a budget: start one with `membudget run -- CMD`, or name one "
    "with --pid"
)
_OF_A_SLOT = (
    *("at", "name", "used", "limit", "source", "level", "seconds_left"),
    *("peak", "governed", "reclaimed", "rate", "is_resting"),
)
"""The fields of a `Status` that a slot tells."""

_EXIT = {"NORMAL": 0, "WARNING": 1, "CRITICAL": 2, "EMERGENCY": 2}
_SUPERVISOR = b"/membudget/cli/restart\0"  # Our own, which carries its program's environment.
_LONGEST_COMPLAINT = 1000


def complain(error: object) -> None:
    """Say on standard error what went wrong; others' words may be in it."""
    click.echo(f"membudget: {one_line(error, _LONGEST_COMPLAINT)}", err=True)


def exit_code(level: str) -> int:
    """What a check reports for a level: 0 well, 1 warning, 2 critical or emergency."""
    return _EXIT.get(level, UNREACHABLE)


class Found(Record):
    """One process: who it is, maybe in another pid namespace; its folder; what its slot tells."""

    identity: Identity
    folder: str
    figures: Status

    def as_row(self) -> dict[str, Any]:
        """Its figures under the names of the command line's JSON."""
        told = {name: getattr(self.figures, name) for name in _OF_A_SLOT}
        is_here = self.identity.namespace == _own_namespace()
        if is_here and self.figures.source == SOURCE:
            with contextlib.suppress(ProbeError):  # It has ended.
                process = process_probe(self.identity.pid)
                told["parts"] = {OWN: process.own_bytes()}
                process.close()
        return {"pid": self.identity.pid, **told, **({} if is_here else {"namespace": "other"})}

    def ask(self, command: str) -> dict[str, Any]:
        """The process's own answer, or a `ControlError`."""
        return ask(self.identity, command, folder=self.folder)


def find(pid: int | None = None) -> list[Found]:
    """The living processes of this user that have a slot, or the one named.

    Raises ProbeError for none, or another user's; ControlError where the folder may be anybody's.
    """
    if sys.platform != "linux":
        raise ProbeError(
            f"processes are found and asked on Linux only, and this is {sys.platform}: "
            "in the program, budget.stats() and budget.leaks() tell the same"
        )
    if pid is None:
        return _find_in(resolve({})["agent.directory"])
    environ = environ_of(pid)
    try:
        folder: str = resolve({}, environ)["agent.directory"]
    except ConfigError:  # Its file may be broken by now; what it started with is not told.
        folder = environ.get(SETTINGS["agent.directory"].variable, "auto")
    try:
        owner = os.stat(f"/proc/{pid}").st_uid
    except FileNotFoundError:
        raise ProbeError(f"process {pid} has ended: check the number") from None
    wanted = [f"{identity_of(pid).stem}{SLOT}"]
    if found := _find_in(folder, owner, wanted):
        return found
    with contextlib.suppress(ConfigError):  # It may have chosen in its code what we were told.
        return _find_in(resolve({})["agent.directory"], owner, wanted)
    return []


def _find_in(folder: str, owner: int | None = None, wanted: list[str] | None = None) -> list[Found]:
    if folder in ("auto", "none"):
        folder = default_folder(owner)
    if not os.path.lexists(folder):
        return []
    check_readable(folder, owner)
    return [
        Found(identity=identity, folder=folder, figures=figures)
        for identity, figures in living(folder, wanted)
    ]


def shared_groups(found: Iterable[Found]) -> Iterator[tuple[tuple[int, int], str]]:
    """Each memory group that several of these share: device and inode, and in words who has what.

    Those that hold nothing that can shrink have no part in it.
    """
    groups: dict[tuple[int, int], list[tuple[Found, Claim]]] = {}
    for one in found:
        claim = read_claim(f"{one.folder}/{one.identity.stem}{SLOT}")
        if claim is not None and claim.groups and claim.most:
            groups.setdefault(claim.groups[0], []).append((one, claim))
    for group, members in groups.items():
        if len(members) > 1:
            held = sum(claim.held for _one, claim in members)
            share = sum(claim.share for _one, claim in members)
            source = one_line(members[0][0].figures.source, LONGEST_NAME)
            caches = f"their caches hold {human_bytes(held)} of the {human_bytes(share)} they may"
            yield group, f"{source}: {len(members)} processes share it, {caches}"


def settings_of(pid: int) -> Settings:
    """The settings that a process was started with, or a `MembudgetError`."""
    return resolve({}, environ_of(pid))


def outside_view(pid: int, settings: Settings) -> Callable[[], dict[str, Any]]:
    """A look at a process without a slot: a row as `Found` has it, or a `ProbeError`."""
    group, process, marks = cgroup_probe(pid), process_probe(pid), settings.marks()
    process.limit = settings["limit"]
    probe = tightest(process, *([group] if group is not None else []))
    judgement: Judgement | None = None

    def look() -> dict[str, Any]:
        nonlocal judgement
        process()
        reading = probe()
        # From outside there is one reading a look; judged twice, a mark reached is a level.
        judgement = judge(reading, marks, judge(reading, marks, judgement))
        pressure = judgement.pressure
        try:
            text = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
            name = program_name([word for word in text.split("\0") if word])
        except OSError:
            name = ""
        return {
            "pid": pid,
            "name": name,
            "used": pressure.used,
            "limit": pressure.limit,
            "source": pressure.source,
            "level": pressure.level.name,
            "rate": pressure.growth,
            "seconds_left": pressure.seconds_left,
            "parts": dict(reading.parts),
        }

    return look


def without_slot(known: list[Found]) -> list[Callable[[], dict[str, Any]]]:
    """What this user has started by `membudget run` and nobody has a slot of, seen from outside.

    Of those with another `agent.directory` than ours, the slots are not ours to know.
    """
    directory = resolve({})["agent.directory"]
    numbers = {one.identity.pid for one in known if one.identity.namespace == _own_namespace()}
    views = []
    for pid in sorted(int(entry.name) for entry in Path("/proc").glob("[0-9]*")):
        folder = f"/proc/{pid}"
        try:
            is_python = "python" in os.readlink(f"{folder}/exe")
            if not is_python or os.stat(folder).st_uid != os.getuid() or pid in numbers:
                continue
            is_supervisor = _SUPERVISOR in Path(f"{folder}/cmdline").read_bytes()
            environ = environ_of(pid)
            if LAUNCHED not in environ or is_supervisor:
                continue
            settings = resolve({}, environ)
            if settings["agent.directory"] == directory:
                views.append(outside_view(pid, settings))
        except (MembudgetError, OSError):  # It ended meanwhile, or is not what it seemed.
            continue
    return views


def environ_of(pid: int) -> Mapping[str, str]:
    """The environment a process was started with; a `ProbeError` for none, or another user's."""
    what = f"process {pid} cannot be looked at"
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        raise ProbeError(f"{what}: there is none; check the number") from None
    except OSError as error:
        raise ProbeError(f"{what}: {error.strerror}; run as its user") from None
    pairs = (entry.partition("=") for entry in raw.decode(errors="replace").split("\0") if entry)
    environ = {name: value for name, _, value in pairs}
    if environ.get(CONFIG_VARIABLE):
        try:
            own_place = os.readlink(f"/proc/{pid}/cwd")
        except OSError as error:
            raise ProbeError(f"{what}: {error.strerror}") from None
        environ[CONFIG_VARIABLE] = os.path.join(own_place, environ[CONFIG_VARIABLE])
    return environ


def _own_namespace() -> int:
    return os.stat("/proc/self/ns/pid").st_ino
