"""`membudget doctor`: what these surroundings do to a budget, and what to do about it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from membudget.cli.checkup import Finding, Grade, limits, look_around, machine, reach, warning
from membudget.cli.drawing import Screen, fitted
from membudget.cli.lookup import UNREACHABLE, complain
from membudget.errors import MembudgetError, ProbeError
from membudget.host import identity_of
from membudget.units import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from membudget.cli.checkup import Surroundings

CHECKS: tuple[tuple[str, Callable[[Surroundings], Iterator[Finding]]], ...] = (
    ("settings", limits.check_settings),
    ("limits", limits.check_limits),
    ("cgroup", limits.check_group),
    ("oom order", limits.check_order),
    ("container", limits.check_container),
    ("swap", machine.check_swap),
    ("pressure", machine.check_stalls),
    ("overcommit", machine.check_promises),
    ("huge pages", machine.check_huge_pages),
    ("allocator", machine.check_allocator),
    ("start", reach.check_start),
    ("reach", reach.check_reach),
    ("reach", reach.check_family),
    ("folder", reach.check_folder),
    ("python", machine.check_python),
)
"""What is looked at, in the order it is told: a subject and what finds something out about it."""

_LONGEST = 600


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--pid", type=click.IntRange(min=1), help="A running process; else this shell.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.argument("program", nargs=-1, type=click.UNPROCESSED)
def command(*, pid: int | None, as_json: bool, program: tuple[str, ...]) -> int:
    """Tell which limit rules here, what is amiss, and whether `run` reaches PROGRAM.

    Exits 0 when all is well, 1 with a warning, 2 when the process will be killed or cannot be
    protected as things are, 3 when --pid cannot be looked at.
    """
    if pid is not None and program:
        raise click.UsageError("give --pid or a program, not both")
    findings: list[Finding] = []
    try:
        identity = None if pid is None else identity_of(pid)
        around = look_around(pid, program)
        found = [one for subject, check in CHECKS for one in fenced(subject, check, around)]
        findings, code = found, exit_code(found)
        if pid is not None and identity_of(pid) != identity:
            complain(f"process {pid} ended while it was looked at: check the number")
            findings, code = [], UNREACHABLE
    except (ProbeError, OSError) as error:
        complain(error)
        code = UNREACHABLE
    if as_json:
        rows = [{"level": one.grade.name.lower(), "subject": one.subject, "found": one.found,
                 "advice": one.advice} for one in findings]  # fmt: skip
        click.echo(json.dumps({"findings": rows, "exit": code}))
    elif findings:
        screen = Screen()
        width = screen.width if screen.is_live else 0
        click.echo("\n".join(fitted(told, width) for told in in_words(findings)))
    return code


def fenced(
    subject: str, check: Callable[[Surroundings], Iterator[Finding]], around: Surroundings
) -> Iterator[Finding]:
    """What a check finds; that it cannot read something is a finding as well."""
    try:
        for one in check(around):
            yield one if one.subject else one.replace(subject=subject)
    except Exception as error:  # noqa: BLE001  # one look that fails must not cost the others
        told = str(error) if isinstance(error, MembudgetError) else repr(error)
        yield warning(told, subject=subject)


def exit_code(findings: Iterable[Finding]) -> int:
    """0 where all is well, 1 for a warning, 2 for a danger."""
    worst = max((finding.grade for finding in findings), default=Grade.OK)
    return max(0, worst - Grade.NOTE)


def in_words(findings: list[Finding]) -> Iterator[str]:
    """The findings as lines in columns, advice below, and how many of each grade at the end."""
    width = max((len(finding.subject) for finding in findings), default=0)
    by_grade: dict[Grade, list[str]] = {}
    for finding in findings:
        by_grade.setdefault(finding.grade, []).append(finding.subject)
        found = one_line(finding.found, _LONGEST)
        yield f"{finding.grade.name.lower():<7} {finding.subject:<{width}}  {found}"
        if finding.advice:
            yield f"        → {one_line(finding.advice, _LONGEST)}"
    parts = []
    for grade, subjects in sorted(by_grade.items(), reverse=True):
        plural = "s" if grade is not Grade.OK and len(subjects) > 1 else ""
        where = f" ({', '.join(dict.fromkeys(subjects))})" if grade >= Grade.WARNING else ""
        parts.append(f"{len(subjects)} {grade.name.lower()}{plural}{where}")
    yield ", ".join(parts)
