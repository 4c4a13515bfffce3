"""A running process and what it started, and the folder in which processes meet.

Which of them are under a budget, and why others are not.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from membudget.budget.launch import helper_of
from membudget.budget.reexec import LAUNCHED, closed_by, flags_of, is_python
from membudget.cli.checkup.surroundings import Finding, note, ok, warning
from membudget.cli.launcher import SUPERVISOR
from membudget.cli.lookup import environ_of
from membudget.cli.words import RESTING
from membudget.core import Record
from membudget.errors import ControlError, MembudgetError, ProbeError
from membudget.host import claim_folder, identity_of
from membudget.host.slot import living
from membudget.ownership import default_folder
from membudget.probes.kernel_files import children_of, read_whole
from membudget.units import human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from membudget.cli.checkup.surroundings import Surroundings
    from membudget.core.status import Status
    from membudget.host import Identity

SUBJECT = "reach"
_FOLDER = "folder"

_SHOWN = 10


class Relative(Record):
    """One process of a family.

    Attributes:
        pid: Its number as seen from here.
        words: What it was started as.
        program: The file it runs, "" where that is not told.
        environ: What it was started with, or None where that is not told.
        figures: What its slot tells, or None where it has none.
        is_fork: Whether it runs on what its parent had in memory.
    """

    pid: int
    words: tuple[str, ...]
    program: str
    environ: Mapping[str, str] | None
    figures: Status | None
    is_fork: bool = False

    @property
    def name(self) -> str:
        """It, for people."""
        shown = [os.path.basename(self.words[0])]
        for word in self.words[1:]:
            is_flag = word.startswith("-")
            shown.append(word if is_flag else os.path.basename(word))
            if not is_flag or word == "-c":  # What follows is the program's text, or its own.
                break
        return f"process {self.pid} ({' '.join(shown)[:60] or 'without a command line'})"

    @property
    def command(self) -> str:
        """What to start to have the same interpreter; the file alone would be a venv's base."""
        return self.words[0] if self.words[0].startswith("/") else self.program


def check_family(around: Surroundings) -> Iterator[Finding]:
    """Whether the process and its descendants are under budgets."""
    if around.pid is None:
        return
    slots = dict(living(_folder_in(around)))
    found: list[Relative] = []
    waiting: list[tuple[int, tuple[str, ...]]] = [(around.pid, ())]
    for pid, above in waiting:
        # The doctor itself may have been started from there.
        if pid == os.getpid() or (one := _relative(pid, slots, above)) is None:
            continue
        found.append(one)
        with contextlib.suppress(OSError):  # It has ended meanwhile.
            waiting += [(child, one.words) for child in sorted(children_of(pid))]
    yield from judge_family(found)


def judge_family(family: Sequence[Relative]) -> Iterator[Finding]:
    """What is true of each, those under a budget first."""
    kept = [(one, one.figures) for one in family if one.figures is not None]
    for one, figures in kept[:_SHOWN]:
        yield ok(SUBJECT, f"{one.name} is under a budget: {_use(figures)}")
    if len(kept) > _SHOWN:
        yield ok(SUBJECT, f"and {len(kept) - _SHOWN} more under a budget")
    if any(one.is_fork for one, _figures in kept):
        yield ok(
            SUBJECT,
            "forked children have what they inherited frozen (gc.freeze), so that its pages stay "
            "shared: gc.get_objects() does not list it there, gc.unfreeze() undoes it",
        )
    others = [_without(one) for one in family if one.figures is None]
    others.sort(key=lambda finding: -finding.grade)
    yield from others[:_SHOWN]
    if len(others) > _SHOWN:
        yield note(SUBJECT, f"and {len(others) - _SHOWN} more without one")


def _use(figures: Status) -> str:
    limit = f" of {human_bytes(figures.limit)}" if figures.limit is not None else ", no limit"
    rests = f"; {RESTING}" if figures.is_resting else ""
    return f"{human_bytes(figures.used)}{limit}, {figures.level}{rests}"


def _without(one: Relative) -> Finding:
    if SUPERVISOR in one.words:
        return ok(SUBJECT, f"{one.name} is the supervisor of `membudget run --restart`")
    if one.environ is None:
        advice = "run the doctor as its user or as root"
        return note(SUBJECT, f"{one.name} cannot be looked at", advice)
    if not is_python(one.program):
        return note(SUBJECT, f"{one.name} is no Python: it has no budget of its own")
    return _python_without(one, one.environ)


def _python_without(one: Relative, environ: Mapping[str, str]) -> Finding:
    if helper_of(one.words):
        return ok(SUBJECT, f"{one.name} is a helper of multiprocessing's: it has no budget")
    if LAUNCHED not in environ:
        return warning(
            SUBJECT,
            f"{one.name} has no budget: `membudget run` did not start it, or not with its "
            "environment",
            "start it by `membudget run -- CMD`, or call membudget.start() in it",
        )
    closing = closed_by(flags_of(one.words[1:]))
    if closing is not None:
        advice = "take it out of its command, or call membudget.start() in it"
        return warning(SUBJECT, f"{one.name} is started with {closing}: it has no budget", advice)
    if environ.get("MEMBUDGET_AGENT_DIRECTORY") == "none":
        return note(SUBJECT, f"{one.name} was launched and cannot be found: agent.directory none")
    return warning(
        SUBJECT,
        f"{one.name} was launched and tells of no budget: it is younger than a second, ended its "
        "budget, or cannot import membudget",
        f"membudget doctor -- {one.command}",
    )


def _relative(
    pid: int, slots: Mapping[Identity, Status], above: tuple[str, ...]
) -> Relative | None:
    """One process, or None for one that has ended.

    Args:
        pid: Its number.
        slots: What the slots tell.
        above: What its parent was started as.
    """
    folder = f"/proc/{pid}"
    try:
        program = os.readlink(f"{folder}/exe").removesuffix(" (deleted)")
    except OSError:
        program = ""
    try:
        figures = slots.get(identity_of(pid))
        text = (read_whole(f"{folder}/cmdline") or b"").decode("utf-8", "replace")
    except ProbeError:
        figures, text = None, ""
    if not (text or program):
        return None
    try:
        environ: Mapping[str, str] | None = environ_of(pid)
    except (MembudgetError, OSError):
        environ = None
    words = tuple(text.rstrip("\0").split("\0"))
    return Relative(
        pid=pid,
        words=words,
        program=program,
        environ=environ,
        figures=figures,
        is_fork=words == above,
    )


def check_folder(around: Surroundings) -> Iterator[Finding]:
    """Whether processes can be found, and how many there are."""
    folder = _folder_in(around)
    if not folder:
        yield note(
            _FOLDER,
            "agent.directory is none: `membudget status` finds nobody, and nobody can be asked",
            "leave it at auto, or name a folder of your own",
        )
        return
    if around.pid is None:
        try:
            claim_folder(folder)
        except ControlError as error:
            yield warning(
                _FOLDER, f"{error}; budgets are kept, `status` and `memory -v` find nobody"
            )
            return
    elif _is_elsewhere(around.pid):
        yield note(
            _FOLDER,
            f"process {around.pid} runs in a container of its own, whose {folder} is not this one",
            "run the doctor inside, or share a folder and name it by agent.directory",
        )
    count = len(living(folder))
    yield ok(
        _FOLDER, f"{folder}: {count} {'process' if count == 1 else 'processes'} under a budget"
    )


def _folder_in(around: Surroundings) -> str:
    """Where the slots lie; "" where there is no such place."""
    directory: str = around.settings["agent.directory"]
    if directory != "auto":
        return "" if directory == "none" else directory
    try:
        return default_folder(None if around.pid is None else os.stat(f"/proc/{around.pid}").st_uid)
    except FileNotFoundError:
        return ""


def _is_elsewhere(pid: int) -> bool:
    try:
        return os.stat(f"/proc/{pid}/ns/mnt").st_ino != os.stat("/proc/self/ns/mnt").st_ino
    except OSError:
        return False
