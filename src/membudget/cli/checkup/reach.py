"""Whether a budget starts here, and in a command: tried in a short-lived interpreter.

Nothing is parsed that can be tried: the interpreter which will run the command is started with the
environment that `membudget run` would give it, and says whether it loaded our start. The same
program, in our own interpreter, starts a budget with the brake, tells how that went and ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from membudget.cli.checkup.limits import room
from membudget.cli.checkup.surroundings import danger, note, ok, warning
from membudget.cli.launcher import SHIM
from membudget.cli.program import program_of
from membudget.errors import ProbeError
from membudget.settings.table import LAUNCH_PREFIX
from membudget.units import MIB, human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from membudget.cli.checkup.surroundings import Finding, Surroundings
    from membudget.cli.program import Program

SUBJECT = "reach"

MARK = "membudget-answer "
"""What the line with the answer begins with: a program's start may print as well."""

_SECONDS = 15.0

_NEEDED = 48 * MIB
"""What an interpreter with a budget takes at the most; a checkup must not get others killed."""

_OLDEST = (3, 11)

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
"""
"""Written in what every Python understands."""

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
    """What `start()` would say here, with the brake; nothing stays changed.

    Raises:
        ProbeError: The group cannot be read.
    """
    if sys.platform != "linux":
        yield note("brake", f"it needs Linux, and this is {sys.platform}")
    elif around.pid is not None:
        yield _brake_outside(around, around.pid)
    elif around.error is not None:
        yield note("start", "not tried: the settings have errors")
    elif (why := _why_not(around)) is not None:
        yield note("start", why)
    else:
        answer = answer_of([sys.executable, "-P", "-c", _STARTED], around.environ)
        yield from judge_start(answer, is_wanted=around.settings["brake"])


def judge_start(answer: Mapping[str, Any] | str, *, is_wanted: bool) -> Iterator[Finding]:
    """What an attempt to start means.

    Args:
        answer: The attempt's own, or why there was none.
        is_wanted: Whether the settings ask for the brake.
    """
    if isinstance(answer, str):
        yield warning("start", f"a budget could not be tried here: {answer}")
        return
    if "error" in answer:
        yield danger("start", f"a budget cannot start here: {answer['error']}")
        return
    for what in answer.get("lacks", ()):
        yield danger("start", f"a budget would start and could not be kept: {what}")
    if not answer.get("lacks"):
        used, limit = human_bytes(answer["used"]), answer["limit"]
        found = f"it finds no limit and only watches: {used}"
        if limit is not None:
            share = answer["used"] / limit
            found = f"fullest now: {answer['source']}, {used} of {human_bytes(limit)} ({share:.0%})"
        yield ok("start", f"a budget would start; {found}")
    told = answer["note"]
    if told.startswith("brake armed"):
        yield ok("brake", f"it can be armed here ({told.removeprefix('brake armed: ')})")
    elif is_wanted:
        yield warning("brake", f"it is asked for and cannot be armed: {told}")
    else:
        yield note("brake", f"it could not be armed here: {told}")


def _brake_outside(around: Surroundings, pid: int) -> Finding:
    if around.brake is not None and around.is_brake_armed:
        left, hits = human_bytes(around.brake["room"]), around.brake["hits"]
        return ok("brake", f"armed: {left} may still be mapped, {hits} refusals")
    if around.settings["brake"]:
        return warning(
            "brake",
            f"process {pid} was asked for it and does not say that it is armed",
            "its first line on standard error tells why; `membudget memory -v --pid` shows it",
        )
    mapped = around.process().parts.get("data", 0)
    _soft, hard = around.resource_limit("RLIMIT_DATA")
    if hard is not None and hard <= mapped:
        return note(
            "brake",
            f"it could not be armed: the hard RLIMIT_DATA is {human_bytes(hard)}, and "
            f"{human_bytes(mapped)} is mapped",
            "raise it (ulimit -H -d)",
        )
    return note(
        "brake",
        "not asked for; from outside nothing speaks against it",
        "start with --brake to have MemoryError instead of a kill",
    )


def check_reach(around: Surroundings) -> Iterator[Finding]:
    """What the command is, and whether a budget starts in it.

    Raises:
        ProbeError: The group cannot be read.
    """
    if not around.command:
        if around.pid is None:
            yield note(
                SUBJECT,
                "no command was given",
                "membudget doctor -- python app.py tells whether `membudget run` reaches it",
            )
        return
    try:
        program = program_of(around.command)
    except ProbeError as error:
        yield danger(SUBJECT, str(error))
        return
    if program.is_setuid or program.kind != "python":
        if (verdict := program.verdict()) is not None:
            tell = warning if verdict.is_lost else note
            yield tell(SUBJECT, verdict.found, verdict.advice)
    elif (why := _why_not(around)) is not None:
        yield note(SUBJECT, why)
    else:
        paths = [SHIM, *filter(None, [around.environ.get("PYTHONPATH")])]
        environ = {**around.environ, "PYTHONPATH": os.pathsep.join(paths)}
        argv = [program.path, *program.flags, "-c", _REACHED]
        yield from judge_reach(program, answer_of(argv, environ))


def judge_reach(program: Program, answer: Mapping[str, Any] | str) -> Iterator[Finding]:
    """What an interpreter's answer means.

    Args:
        program: The interpreter, and the flags it is started with.
        answer: Its own, or why there was none.
    """
    if isinstance(answer, str):
        yield warning(SUBJECT, f"{program.name} could not be asked: {answer}", "run it by hand")
        return
    version = ".".join(map(str, answer["version"]))
    if answer["reached"]:
        yield ok(
            SUBJECT, f"{program.name}, Python {version}, is reached: its budget starts before it"
        )
        if answer["customized"]:
            yield ok(
                SUBJECT, f"the sitecustomize that was there still runs: {answer['customized']}"
            )
    elif tuple(answer["version"][:2]) < _OLDEST:
        yield warning(
            SUBJECT,
            f"{program.name} is Python {version}; membudget needs {_OLDEST[0]}.{_OLDEST[1]}",
            "run the program by a newer Python, or set the limit of a cgroup",
        )
    elif (closed := program.verdict()) is not None:
        yield warning(SUBJECT, closed.found, closed.advice)
    else:
        why = answer["error"] or "its site module did not load our start"
        yield warning(
            SUBJECT,
            f"{program.name}, Python {version}, cannot import membudget ({why})",
            f"install it there: {answer['path']} -m pip install membudget",
        )


def _why_not(around: Surroundings) -> str | None:
    """Why no process is to be started here, or None where one may.

    Raises:
        ProbeError: A limit is there and cannot be read.
    """
    free = room(around)
    if free is None or free >= _NEEDED:
        return None
    return f"not tried: only {human_bytes(free)} are free in this group"


def answer_of(
    argv: Sequence[str], environ: Mapping[str, str], seconds: float = _SECONDS
) -> dict[str, Any] | str:
    """What a Python program prints as JSON behind `MARK`, or in words why there is none.

    Args:
        argv: The command; its first word is a path.
        environ: Its environment; the launcher's own messages are left out, so that no budget
            starts by itself.
        seconds: How long it may take.
    """
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
