"""`membudget doctor`: what these surroundings do to a budget, and what to do about it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from membudget.cli.checkup.configured import check_settings
from membudget.cli.checkup.finding import Finding, exit_code, in_words, warning
from membudget.cli.checkup.groups import check_group, check_order
from membudget.cli.checkup.interpreter import check_container, check_python
from membudget.cli.checkup.limits import check_limits
from membudget.cli.checkup.machine import (
    check_huge_pages,
    check_promises,
    check_stalls,
    check_swap,
)
from membudget.cli.checkup.malloc import check_allocator
from membudget.cli.checkup.meeting import check_folder
from membudget.cli.checkup.reach import check_reach
from membudget.cli.checkup.rehearsal import check_start
from membudget.cli.checkup.relatives import check_family
from membudget.cli.checkup.surroundings import look_around
from membudget.cli.lookup import UNREACHABLE
from membudget.cli.words import complain
from membudget.errors import MembudgetError, ProbeError
from membudget.host.identity import identity_of
from membudget.units import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from membudget.cli.checkup.surroundings import Surroundings

CHECKS: tuple[tuple[str, Callable[[Surroundings], Iterator[Finding]]], ...] = (
    ("settings", check_settings),
    ("limits", check_limits),
    ("cgroup", check_group),
    ("oom order", check_order),
    ("container", check_container),
    ("swap", check_swap),
    ("pressure", check_stalls),
    ("overcommit", check_promises),
    ("huge pages", check_huge_pages),
    ("allocator", check_allocator),
    ("start", check_start),
    ("reach", check_reach),
    ("reach", check_family),
    ("folder", check_folder),
    ("python", check_python),
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
    try:
        findings = examine(pid, program)
    except (ProbeError, OSError) as error:
        complain(error)
        if as_json:
            click.echo(json.dumps({"findings": [], "exit": UNREACHABLE}))
        return UNREACHABLE
    code = exit_code(findings)
    if as_json:
        click.echo(json.dumps({"findings": [one.as_row() for one in findings], "exit": code}))
    else:
        _tell(findings)
    return code


def examine(pid: int | None = None, program: tuple[str, ...] = ()) -> list[Finding]:
    """All findings about a process, or about what is started from here.

    Raises:
        ProbeError: There is no such process, it ended meanwhile, or it is another user's.
    """
    if pid is not None:
        identity = identity_of(pid)
    around = look_around(pid, program)
    findings = [finding for subject, check in CHECKS for finding in fenced(subject, check, around)]
    if pid is not None and identity_of(pid) != identity:
        raise ProbeError(f"process {pid} ended while it was looked at: check the number")
    return findings


def fenced(
    subject: str, check: Callable[[Surroundings], Iterator[Finding]], around: Surroundings
) -> Iterator[Finding]:
    """What a check finds; that it cannot read something is a finding as well."""
    try:
        yield from check(around)
    except Exception as error:  # noqa: BLE001  # one look that fails must not cost the others
        told = str(error) if isinstance(error, MembudgetError) else repr(error)
        yield warning(subject, told)


def _tell(findings: list[Finding]) -> None:
    clean = [
        one.replace(found=one_line(one.found, _LONGEST), advice=one_line(one.advice, _LONGEST))
        for one in findings
    ]
    click.echo("\n".join(in_words(clean)))
