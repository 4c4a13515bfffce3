"""Whether budgets start: here, in a command, and in the processes that run already.

Nothing is parsed that can be tried: the command's interpreter is started as `membudget run` would
start it, and says whether it loaded our start; our own starts a budget, tells how that went, ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from membudget.budget.launch import helper_of
from membudget.budget.reexec import LAUNCHED, closed_by, flags_of, is_python
from membudget.cli.checkup import Finding, danger, note, ok, warning
from membudget.cli.checkup.limits import room
from membudget.cli.lookup import environ_of
from membudget.cli.memory import RESTING
from membudget.cli.program import program_of
from membudget.cli.run import SHIM, SUPERVISOR
from membudget.core import Record
from membudget.errors import ControlError, MembudgetError, ProbeError
from membudget.host import claim_folder, identity_of
from membudget.host.slot import living
from membudget.ownership import default_folder
from membudget.probes.kernel_files import children_of, read_whole
from membudget.settings.table import LAUNCH_PREFIX
from membudget.units import MIB, human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from membudget.cli.checkup import Surroundings
    from membudget.cli.program import Program
    from membudget.core.nouns import Status
    from membudget.host import Identity

MARK = "membudget-answer "  # Before the answer: a program's start may print as well.
_NEEDED = 48 * MIB  # An interpreter with a budget, at most: a checkup must not get others killed.
_OLDEST, _SHOWN = (3, 11), 10

_REACHED = f"""
import json, sys
launch = "membudget.budget.launch"
answer = {{"reached": launch in sys.modules, "error": "", "path": sys.executable}}
answer["version"] = list(sys.version_info[:3])
answer["customized"] = getattr(sys.modules.get("sitecustomize"), "__file__", "") or ""
if not answer["reached"]:
    try:
        __import__(launch)
    except BaseException as error:
        answer["error"] = "%s: %s" % (type(error).__name__, error)
sys.stdout.write("\\n{MARK}" + json.dumps(answer) + "\\n")
"""  # Written in what every Python understands.

_STARTED = f"""
import json
from membudget.budget.start import start
from membudget.core import Shortcoming, Started
from membudget.errors import MembudgetError
told = []
try:
    start(thread=False, sinks=[told.append], brake=True, cleanup={{"auto": False}},
          emergency={{"protection": False}}, agent={{"directory": "none"}}).stop()
    event = next(one for one in told if isinstance(one, Started))
    reading = event.reading
    answer = {{"note": event.note, "used": reading.used, "limit": reading.limit,
              "source": reading.source,
              "lacks": [one.what for one in told if isinstance(one, Shortcoming)]}}
except MembudgetError as error:
    answer = {{"error": str(error)}}
print("\\n{MARK}" + json.dumps(answer))
"""


def check_start(around: Surroundings) -> Iterator[Finding]:
    """What `start()` would say here, with the brake; nothing stays changed."""
    if sys.platform != "linux":
        yield note(f"it needs Linux, and this is {sys.platform}", subject="brake")
    elif around.pid is not None:
        yield _brake_outside(around, around.pid)
    elif around.error is not None:
        yield note("not tried: the settings have errors")
    elif (why := _why_not(around)) is not None:
        yield note(why)
    else:
        answer = answer_of([sys.executable, "-P", "-c", _STARTED], around.environ)
        yield from judge_start(answer, is_wanted=around.settings["brake"])


def judge_start(answer: Mapping[str, Any] | str, *, is_wanted: bool) -> Iterator[Finding]:
    """What an attempt to start means, whether or not the settings ask for the brake."""
    if isinstance(answer, str):
        yield warning(f"a budget could not be tried here: {answer}")
        return
    if "error" in answer:
        yield danger(f"a budget cannot start here: {answer['error']}")
        return
    for what in answer.get("lacks", ()):
        yield danger(f"a budget would start and could not be kept: {what}")
    if not answer.get("lacks"):
        used, limit = human_bytes(answer["used"]), answer["limit"]
        found = f"it finds no limit and only watches: {used}"
        if limit is not None:
            share = answer["used"] / limit
            found = f"fullest now: {answer['source']}, {used} of {human_bytes(limit)} ({share:.0%})"
        yield ok(f"a budget would start; {found}")
    told = answer["note"]
    if told.startswith("brake armed"):
        yield ok(f"it can be armed here ({told.removeprefix('brake armed: ')})", "brake")
    elif is_wanted:
        yield warning(f"it is asked for and cannot be armed: {told}", subject="brake")
    else:
        yield note(f"it could not be armed here: {told}", subject="brake")


def _brake_outside(around: Surroundings, pid: int) -> Finding:
    if around.brake is not None and around.brake["is_armed"]:
        left, hits = human_bytes(around.brake["room"]), around.brake["hits"]
        return ok(f"armed: {left} may still be mapped, {hits} refusals", "brake")
    if around.settings["brake"]:
        found = f"process {pid} was asked for it and does not say that it is armed"
        advice = "its first line on standard error tells why; `membudget memory -v --pid` shows it"
        return warning(found, advice, "brake")
    mapped = around.process().parts.get("data", 0)
    _soft, hard = around.resource_limit("RLIMIT_DATA")
    if hard is not None and hard <= mapped:
        found = f"the hard RLIMIT_DATA is {human_bytes(hard)}, and {human_bytes(mapped)} is mapped"
        return note(f"it could not be armed: {found}", "raise it (ulimit -H -d)", "brake")
    found = "not asked for; from outside nothing speaks against it"
    return note(found, "start with --brake to have MemoryError instead of a kill", "brake")


def check_reach(around: Surroundings) -> Iterator[Finding]:
    """What the command is, and whether a budget starts in it."""
    if not around.command:
        if around.pid is None:
            yield note(
                "no command was given",
                "membudget doctor -- python app.py tells whether `membudget run` reaches it",
            )
        return
    try:
        program = program_of(around.command)
    except ProbeError as error:
        yield danger(str(error))
        return
    if program.is_setuid or program.kind != "python":
        if (verdict := program.verdict()) is not None:
            tell = warning if verdict.is_lost else note
            yield tell(verdict.found, verdict.advice)
    elif (why := _why_not(around)) is not None:
        yield note(why)
    else:
        paths = filter(None, [SHIM, around.environ.get("PYTHONPATH")])
        environ = {**around.environ, "PYTHONPATH": os.pathsep.join(paths)}
        argv = [program.path, *program.flags, "-c", _REACHED]
        yield from judge_reach(program, answer_of(argv, environ))


def judge_reach(program: Program, answer: Mapping[str, Any] | str) -> Iterator[Finding]:
    """What an interpreter's answer means: its own, or why there was none."""
    if isinstance(answer, str):
        yield warning(f"{program.name} could not be asked: {answer}", "run it by hand")
        return
    version = ".".join(map(str, answer["version"]))
    which = f"{program.name}, Python {version},"
    if answer["reached"]:
        yield ok(f"{which} is reached: its budget starts before it")
        if own := answer["customized"]:
            yield ok(f"the sitecustomize that was there still runs: {own}")
    elif tuple(answer["version"][:2]) < _OLDEST:
        yield warning(
            f"{program.name} is Python {version}; membudget needs {_OLDEST[0]}.{_OLDEST[1]}",
            "run the program by a newer Python, or set the limit of a cgroup",
        )
    elif (closed := program.verdict()) is not None:
        yield warning(closed.found, closed.advice)
    else:
        why = answer["error"] or "its site module did not load our start"
        advice = f"install it there: {answer['path']} -m pip install membudget"
        yield warning(f"{which} cannot import membudget ({why})", advice)


def _why_not(around: Surroundings) -> str | None:
    """Why no process is to be started here, or None where one may."""
    free = room(around)
    if free is None or free >= _NEEDED:
        return None
    return f"not tried: only {human_bytes(free)} are free in this group"


def answer_of(
    argv: Sequence[str], environ: Mapping[str, str], seconds: float = 15.0
) -> dict[str, Any] | str:
    """What a Python program prints as JSON behind `MARK`, or in words why there is none."""
    # Without the launcher's own messages no budget starts by itself.
    kept = {name: text for name, text in environ.items() if not name.startswith(LAUNCH_PREFIX)}
    try:
        process = subprocess.Popen(  # noqa: S603  # trying what the user named is the job
            argv,
            env=kept,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return f"it did not start ({error})"
    with process:
        try:
            told, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            for stream in (process.stdout, process.stderr):
                if stream is not None:  # Another holder of the other end is not waited for.
                    stream.close()
            return f"it gave no answer within {seconds:g} s"
    for line in told.splitlines():
        if line.startswith(MARK):
            answer: dict[str, Any] = json.loads(line.removeprefix(MARK))
            return answer
    last = errors.strip().splitlines()[-1:] or ["without a word"]
    return f"it ended with {process.returncode}: {last[0][:200]}"


class Relative(Record):
    """One process of a family; a fork runs on what its parent had in memory."""

    pid: int
    words: tuple[str, ...]
    program: str  # "" where that is not told.
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


def _relative(
    pid: int, slots: Mapping[Identity, Status], above: tuple[str, ...]
) -> Relative | None:
    """One process, whose parent was started as `above`; None for one that has ended."""
    try:
        program = os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
    except OSError:
        program = ""
    try:
        figures = slots.get(identity_of(pid))
        text = (read_whole(f"/proc/{pid}/cmdline") or b"").decode("utf-8", "replace")
    except ProbeError:
        figures, text = None, ""
    if not (text or program):
        return None
    try:
        environ: Mapping[str, str] | None = environ_of(pid)
    except (MembudgetError, OSError):
        environ = None
    words = tuple(text.rstrip("\0").split("\0"))
    is_fork = words == above
    return Relative(
        pid=pid, words=words, program=program, environ=environ, figures=figures, is_fork=is_fork
    )


def judge_family(family: Sequence[Relative]) -> Iterator[Finding]:
    """What is true of each, those under a budget first."""
    kept = [(one, one.figures) for one in family if one.figures is not None]
    for one, figures in kept[:_SHOWN]:
        limit = f" of {human_bytes(figures.limit)}" if figures.limit is not None else ", no limit"
        use = f"{human_bytes(figures.used)}{limit}, {figures.level}"
        rests = f"; {RESTING}" if figures.is_resting else ""
        yield ok(f"{one.name} is under a budget: {use}{rests}")
    if len(kept) > _SHOWN:
        yield ok(f"and {len(kept) - _SHOWN} more under a budget")
    if any(one.is_fork for one, _figures in kept):
        yield ok(
            "forked children have what they inherited frozen (gc.freeze), so that its pages stay "
            "shared: gc.get_objects() does not list it there, gc.unfreeze() undoes it"
        )
    others = [_without(one) for one in family if one.figures is None]
    others.sort(key=lambda finding: -finding.grade)
    yield from others[:_SHOWN]
    if len(others) > _SHOWN:
        yield note(f"and {len(others) - _SHOWN} more without one")


def _without(one: Relative) -> Finding:
    """Why a process has no budget, as far as it can be seen from outside."""
    tell, advice = note, ""
    if SUPERVISOR in one.words:
        return ok(f"{one.name} is the supervisor of `membudget run --restart`")
    if one.environ is None:
        found, advice = "cannot be looked at", "run the doctor as its user or as root"
    elif not is_python(one.program):
        found = "is no Python: it has no budget of its own"
    elif helper_of(one.words):
        return ok(f"{one.name} is a helper of multiprocessing's: it has no budget")
    elif LAUNCHED not in one.environ:
        tell = warning
        found = "has no budget: `membudget run` did not start it, or not with its environment"
        advice = "start it by `membudget run -- CMD`, or call membudget.start() in it"
    elif (closing := closed_by(flags_of(one.words[1:]))) is not None:
        tell, found = warning, f"is started with {closing}: it has no budget"
        advice = "take it out of its command, or call membudget.start() in it"
    elif one.environ.get("MEMBUDGET_AGENT_DIRECTORY") == "none":
        found = "was launched and cannot be found: agent.directory none"
    else:
        tell = warning
        found = (
            "was launched and tells of no budget: it is younger than a second, ended its "
            "budget, or cannot import membudget"
        )
        # By its own words: the file alone would be a venv's base.
        command = one.words[0] if one.words[0].startswith("/") else one.program
        advice = f"membudget doctor -- {command}"
    return tell(f"{one.name} {found}", advice)


def check_folder(around: Surroundings) -> Iterator[Finding]:
    """Whether processes can be found, and how many there are."""
    if sys.platform != "linux":
        yield note(f"processes are found and asked on Linux only, and this is {sys.platform}")
        return
    folder = _folder_in(around)
    if not folder:
        yield note(
            "agent.directory is none: `membudget status` finds nobody, and nobody can be asked",
            "leave it at auto, or name a folder of your own",
        )
        return
    if around.pid is None:
        try:
            claim_folder(folder)
        except ControlError as error:
            yield warning(f"{error}; budgets are kept, `status` and `memory -v` find nobody")
            return
    else:
        with contextlib.suppress(OSError):
            there = os.stat(f"/proc/{around.pid}/ns/mnt").st_ino
            if there != os.stat("/proc/self/ns/mnt").st_ino:
                yield note(
                    f"process {around.pid} runs in a container of its own, whose {folder} is not "
                    "this one",
                    "run the doctor inside, or share a folder and name it by agent.directory",
                )
    count = len(living(folder))
    processes = "1 process" if count == 1 else f"{count} processes"
    yield ok(f"{folder}: {processes} under a budget")


def _folder_in(around: Surroundings) -> str:
    """Where the slots lie; "" where there is no such place."""
    directory: str = around.settings["agent.directory"]
    if directory != "auto":
        return "" if directory == "none" else directory
    try:
        return default_folder(None if around.pid is None else os.stat(f"/proc/{around.pid}").st_uid)
    except FileNotFoundError:
        return ""
