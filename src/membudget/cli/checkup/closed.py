"""Commands that no budget gets into: what can be told of them without starting anything."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from membudget.budget.interpreter import closed_by
from membudget.cli.checkup.finding import Finding, Grade, note, warning

if TYPE_CHECKING:
    from membudget.cli.checkup.program import Program

SUBJECT = "reach"


def unreached(program: Program) -> Finding | None:
    """Why no budget starts in a command, or None where one may."""
    if not program.is_setuid and program.kind == "python":
        return of_flags(program)
    finding = of_other(program)
    return finding if finding.grade >= Grade.WARNING else None


def of_flags(program: Program) -> Finding | None:
    """The flag of an interpreter that keeps a budget out, or None where there is none."""
    closing = closed_by(program.flags)
    if closing is None:
        return None
    name = program.path + (f" (of {program.script})" if program.script else "")
    where = f"the first line of {program.script}" if program.script else "the command"
    return warning(
        SUBJECT,
        f"{name} is started with {closing}: no budget starts",
        f"take it out of {where}, or call membudget.start() in the program",
    )


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
    if program.kind in {"frozen", "isolated"}:
        by = "PyInstaller" if program.kind == "frozen" else "libpython, isolated"
        return warning(
            SUBJECT,
            f"{name} is closed ({by}): its Python heeds no PYTHONPATH",
            "call membudget.start() in the program, and pack membudget with it",
        )
    static = " (statically linked)" if program.kind == "static" else ""
    return warning(
        SUBJECT,
        f"{name} is no Python{static}: it runs as without us; only a Python that it starts is "
        "reached",
        "for anything else set the limit of a cgroup",
    )
