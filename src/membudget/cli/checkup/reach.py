"""Whether `membudget run` reaches a command: asked of the interpreter that will run it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from membudget.cli.checkup.attempt import MARK, answer_of, why_not
from membudget.cli.checkup.closed import SUBJECT, of_flags, of_other
from membudget.cli.checkup.finding import danger, note, ok, warning
from membudget.cli.checkup.program import program_of
from membudget.cli.run import SHIM
from membudget.errors import ProbeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from membudget.cli.checkup.finding import Finding
    from membudget.cli.checkup.program import Program
    from membudget.cli.checkup.surroundings import Surroundings

_OLDEST = (3, 11)
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
    closed = of_flags(program)
    if tuple(answer["version"][:2]) < _OLDEST:
        yield warning(
            SUBJECT,
            f"{name} is Python {version}; membudget needs {_OLDEST[0]}.{_OLDEST[1]}",
            "run the program by a newer Python, or set the limit of a cgroup",
        )
    elif closed is not None:
        yield closed
    else:
        why = answer["error"] or "its site module did not load our start"
        yield warning(
            SUBJECT,
            f"{name}, Python {version}, cannot import membudget ({why})",
            f"install it there: {answer['path']} -m pip install membudget",
        )


def _asked(program: Program, environ: Mapping[str, str]) -> dict[str, Any] | str:
    paths = [str(SHIM), *filter(None, [environ.get("PYTHONPATH")])]
    argv = [program.path, *program.flags, "-c", _PROGRAM]
    return answer_of(argv, {**environ, "PYTHONPATH": os.pathsep.join(paths)})
