"""A running process's answer, made a report again on the side of who asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from membudget.core.wire import checked, record_from
from membudget.errors import ControlError
from membudget.leaks.advice import Proposal
from membudget.leaks.culprit import Culprit
from membudget.leaks.records import Verdict
from membudget.report.figures import DAY, report
from membudget.report.happenings import happenings
from membudget.report.recorded import LAST
from membudget.report.recorded_rows import sample_of
from membudget.units import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from membudget.core import Sample
    from membudget.report.records import Happening, Report

T = TypeVar("T", "list[Sample]", "tuple[Happening, ...]")


def answered(answer: Mapping[str, Any], hours: float = DAY) -> Report:
    """The report on what a process has answered to "samples".

    Args:
        answer: As the control socket gives it.
        hours: Hours looked back.

    Raises:
        ControlError: The answer is not understood.
    """
    try:
        samples = unpacked(answer)
        verdict = None if answer["verdict"] is None else verdict_of(answer["verdict"])
        left_out = checked(answer.get("left_out", 0), "size", "left_out")
        return report(
            samples,
            hours=hours,
            name=str(answer["name"]),
            verdict=verdict,
            proposals=checked(answer.get("proposals", []), [Proposal], "proposals"),
            culprits=checked(answer.get("culprits", []), [Culprit], "culprits"),
            marks=checked(answer["marks"], {"*": "size"}, "marks"),
            peaks=_peaks(answer.get("peaks", [])),
            happenings=_in_calendar(happenings(answer["events"])),
            notes=[f"{left_out:,} older samples were left out."] if left_out else [],
        )
    except (LookupError, ArithmeticError, ValueError, TypeError, AttributeError) as error:
        raise ControlError(
            f"the samples of process {answer.get('pid')!r:.20} are not understood "
            f"({type(error).__name__}: {one_line(error, 300)}): use the same version of membudget "
            "on both sides"
        ) from error


def unpacked(answer: Mapping[str, Any]) -> list[Sample]:
    """The samples of an answer, which names fields and parts once and then only their places."""
    names = ("name", "kind", "most_items", "most_bytes", "ttl")
    parts = [dict(zip(names, one, strict=True)) for one in answer["parts"]]
    samples = [
        sample_of(
            {
                **dict(zip(answer["fields"], row, strict=True)),
                "parts": [
                    {**parts[place], "items": items, "bytes": size}
                    for place, items, size in zip(held[::3], held[1::3], held[2::3], strict=True)
                ],
            }
        )
        for row, held in zip(answer["rows"], answer["held"], strict=True)
    ]
    return _in_calendar(samples)


def _peaks(rows: Any) -> list[tuple[float, int, int]]:
    """What was seen between samples: when, and the highest judged use and resident set."""
    found = []
    for at, *sizes in checked(rows, [["float"]], "peaks"):
        used, resident = checked(sizes, ["size"], "peaks")
        _check_moment(at)
        found.append((at, used, resident))
    return found


def verdict_of(row: Mapping[str, Any]) -> Verdict:
    """A verdict from its fields by name, records within it as mappings.

    Raises:
        ValueError: A field is missing, of another kind, or at a time that no calendar has.
    """
    verdict = record_from(Verdict, row, "verdict")
    for at in (verdict.at, verdict.onset, None if verdict.step is None else verdict.step.at):
        if at is not None:
            _check_moment(at)
    return verdict


def _in_calendar(some: T) -> T:
    """The same, where all happened at times that can be written down."""
    for one in some:
        _check_moment(one.wall)
    return some


def _check_moment(wall: float) -> None:
    if not 0 <= wall <= LAST:
        raise ValueError(f"{wall:g} s lies outside the years 1970 to 9999")
