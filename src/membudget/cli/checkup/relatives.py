"""A running process and what it started: which of them are under a budget, and why others not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from membudget.budget.interpreter import closed_by, flags_of, is_python
from membudget.budget.launch import helper_of
from membudget.budget.reexec import LAUNCHED
from membudget.cli.checkup.finding import Finding, note, ok, warning
from membudget.cli.checkup.meeting import folder_in
from membudget.cli.lookup import environ_of
from membudget.cli.run import SUPERVISOR
from membudget.cli.words import RESTING
from membudget.core import Record
from membudget.errors import MembudgetError, ProbeError
from membudget.host.identity import identity_of
from membudget.host.slot import living
from membudget.probes.kernel_files import read_whole
from membudget.units import human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from membudget.cli.checkup.surroundings import Surroundings
    from membudget.core.status import Status

SUBJECT = "reach"

_SHOWN = 10
_PARENT = 1
"""The place in /proc/PID/stat behind the name: its field 4."""


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
    if around.pid is not None:
        yield from judge_family(_family(around, around.pid))


def judge_family(family: Sequence[Relative]) -> Iterator[Finding]:
    """What is true of each, those under a budget first."""
    kept = [one for one in family if one.figures is not None]
    for one in kept[:_SHOWN]:
        yield ok(SUBJECT, f"{one.name} is under a budget: {_use(one.figures)}")
    if len(kept) > _SHOWN:
        yield ok(SUBJECT, f"and {len(kept) - _SHOWN} more under a budget")
    if any(one.is_fork for one in kept):
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


def _use(figures: Status | None) -> str:
    assert figures is not None  # noqa: S101  # only those that have them get here
    limit = f" of {human_bytes(figures.limit)}" if figures.limit is not None else ", no limit"
    rests = f"; {RESTING}" if figures.is_resting else ""
    return f"{human_bytes(figures.used)}{limit}, {figures.level}{rests}"


def _without(one: Relative) -> Finding:
    if str(SUPERVISOR) in one.words:
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


def _family(around: Surroundings, pid: int) -> list[Relative]:
    slots = dict(living(folder_in(around)))
    found: list[Relative] = []
    parents = _parents()
    parents.pop(os.getpid(), None)  # The doctor itself, where it was started from there.
    for one in _descendants(pid, parents):
        folder = f"/proc/{one}"
        try:
            figures = slots.get(identity_of(one))
            words = (read_whole(f"{folder}/cmdline") or b"").decode("utf-8", "replace")
        except ProbeError:
            if not os.path.exists(folder):
                continue  # It ended meanwhile.
            figures, words = None, ""
        own = tuple(words.rstrip("\0").split("\0"))
        found.append(
            Relative(
                pid=one,
                words=own,
                program=_program(folder),
                environ=_environ(one),
                figures=figures,
                is_fork=(parents.get(one), own) in {(above.pid, above.words) for above in found},
            )
        )
    return found


def _program(folder: str) -> str:
    try:
        return os.readlink(f"{folder}/exe").removesuffix(" (deleted)")
    except OSError:
        return ""


def _environ(pid: int) -> Mapping[str, str] | None:
    try:
        return environ_of(pid)
    except (MembudgetError, OSError):
        return None


def _parents() -> dict[int, int]:
    """The parent of every process."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            text = read_whole(f"/proc/{name}/stat") or b""
        except ProbeError:
            continue
        fields = text[text.rfind(b")") + 1 :].split()
        if len(fields) > _PARENT and fields[0] not in {b"Z", b"X"}:
            parents[int(name)] = int(fields[_PARENT])
    return parents


def _descendants(pid: int, parents: Mapping[int, int]) -> list[int]:
    """The process and all that it started, by generation."""
    found, seen = [pid], {pid}
    for one in found:
        children = sorted(child for child, parent in parents.items() if parent == one)
        found += [child for child in children if child not in seen]
        seen.update(children)
    return found
