"""Whether `membudget run` reaches a command: asked of the interpreter that will run it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from membudget.cli.checkup.attempt import MARK, answer_of, why_not
from membudget.cli.checkup.finding import Finding, danger, note, ok, warning
from membudget.cli.checkup.program import program_of
from membudget.cli.run import SHIM
from membudget.errors import ProbeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from membudget.cli.checkup.program import Program
    from membudget.cli.checkup.surroundings import Surroundings

SUBJECT = "reach"

_OLDEST = (3, 11)
_CLOSING = {
    "-I": "ignores PYTHONPATH and the rest of the environment",
    "-E": "ignores PYTHONPATH and the rest of the environment",
    "-S": "leaves out what starts before the program (site)",
}

_PROGRAM = f"""
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
        yield of_other(program)
    elif (why := why_not(around)) is not None:
        yield note(SUBJECT, why)
    else:
        yield from of_python(program, _asked(program, around.environ))


def of_other(program: Program) -> Finding:
    """What is true of a command that is no Python itself."""
    name = program.script or program.path
    if program.is_setuid or program.kind == "cleaning":
        return warning(
            SUBJECT,
            f"{name} starts its program as somebody else or with another environment: no budget "
            "gets there",
            f"put it in front: {os.path.basename(name)} ... membudget run -- python app.py",
        )
    advice = "check that one: membudget doctor -- python app.py"
    if program.kind in {"shell", "passing"}:
        what = "is a shell" if program.kind == "shell" else "starts another program"
        if program.script:
            what = f"is a script of {os.path.basename(program.path)}"
        return note(
            SUBJECT, f"{name} {what}: each Python started from it is reached unless closed", advice
        )
    if program.kind == "embedding":
        return note(
            SUBJECT,
            f"{name} has Python inside (libpython): reached where it heeds PYTHONPATH",
            "`membudget status` tells once it runs; else call membudget.start() in the program",
        )
    if program.kind == "frozen":
        return warning(
            SUBJECT,
            f"{name} is closed (PyInstaller): its Python heeds no PYTHONPATH",
            "call membudget.start() in the program, and pack membudget with it",
        )
    static = " (statically linked)" if program.kind == "static" else ""
    return warning(
        SUBJECT,
        f"{name} is no Python{static}: it runs as without us; only a Python that it starts is "
        "reached",
        "for anything else set the limit of a cgroup",
    )


def of_python(program: Program, answer: Mapping[str, Any] | str) -> Iterator[Finding]:
    """What an interpreter's answer means.

    Args:
        program: The interpreter, and the flags it is started with.
        answer: Its own, or why there was none.
    """
    name = program.path + (f" (of {program.script})" if program.script else "")
    if isinstance(answer, str):
        yield warning(SUBJECT, f"{name} could not be asked: {answer}", "run it by hand")
        return
    version = ".".join(map(str, answer["version"]))
    if answer["reached"]:
        yield ok(SUBJECT, f"{name}, Python {version}, is reached: its budget starts before it")
        if answer["customized"]:
            yield ok(
                SUBJECT, f"the sitecustomize that was there still runs: {answer['customized']}"
            )
        return
    closing = closed_by(program.flags)
    if tuple(answer["version"][:2]) < _OLDEST:
        yield warning(
            SUBJECT,
            f"{name} is Python {version}; membudget needs {_OLDEST[0]}.{_OLDEST[1]}",
            "run the program by a newer Python, or set the limit of a cgroup",
        )
    elif closing is not None:
        where = f"the first line of {program.script}" if program.script else "the command"
        yield warning(
            SUBJECT,
            f"{name} is started with {closing}: no budget starts",
            f"take it out of {where}, or call membudget.start() in the program",
        )
    else:
        why = answer["error"] or "its site module did not load our start"
        yield warning(
            SUBJECT,
            f"{name}, Python {version}, cannot import membudget ({why})",
            f"install it there: {answer['path']} -m pip install membudget",
        )


def closed_by(flags: Sequence[str]) -> str | None:
    """The flag that keeps a budget out, and what it does; None where there is none."""
    flag = next((one for one in flags if one in _CLOSING), None)
    return None if flag is None else f"{flag}, which {_CLOSING[flag]}"


def _asked(program: Program, environ: Mapping[str, str]) -> dict[str, Any] | str:
    paths = [str(SHIM), *filter(None, [environ.get("PYTHONPATH")])]
    argv = [program.path, *program.flags, "-c", _PROGRAM]
    return answer_of(argv, {**environ, "PYTHONPATH": os.pathsep.join(paths)})
