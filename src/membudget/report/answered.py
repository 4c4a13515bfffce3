"""A running process's answer, made a report again on the side of who asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from membudget.core import Record
from membudget.core.wire import Amount, Size, record_from
from membudget.errors import ControlError
from membudget.leaks.advice import Proposal  # noqa: TC001  # fields are read by it
from membudget.leaks.culprit import Culprit  # noqa: TC001  # fields are read by it
from membudget.leaks.records import Verdict  # noqa: TC001  # fields are read by it
from membudget.report.figures import DAY, happenings, report
from membudget.report.recorded import LAST
from membudget.sampling.form import unpacked
from membudget.units import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from membudget.report.records import Happening, Report


class DayAnswer(Record):
    """What is answered to "samples" beside the samples themselves.

    Attributes:
        name: What the process is called.
        verdict: The one that stands, or None.
        culprits: Who a leak is laid to.
        proposals: Settings that the history suggests.
        marks: Bytes at which levels begin, by name.
        peaks: When, and the highest judged use and resident set from then on.
        events: When, which kind, how grave, and the line.
        left_out: Older samples that were not told.
    """

    name: str
    verdict: Verdict | None
    marks: dict[str, Size]
    events: tuple[tuple[float, str, str, str], ...]
    culprits: tuple[Culprit, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    peaks: tuple[tuple[Amount, Size, Size], ...] = ()
    left_out: Size = 0


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
        told = record_from(DayAnswer, answer)
        _check_moments(told.verdict)
        for at, *_ in (*told.peaks, *[(one.wall,) for one in samples]):
            _check_moment(at)
        return report(
            samples,
            hours=hours,
            name=told.name,
            verdict=told.verdict,
            proposals=told.proposals,
            culprits=told.culprits,
            marks=told.marks,
            peaks=told.peaks,
            happenings=_in_calendar(happenings(told.events)),
            notes=[f"{told.left_out:,} older samples were left out."] if told.left_out else [],
        )
    except (LookupError, ArithmeticError, ValueError, TypeError, AttributeError) as error:
        raise ControlError(
            f"the samples of process {answer.get('pid')!r:.20} are not understood "
            f"({type(error).__name__}: {one_line(error, 300)}): use the same version of membudget "
            "on both sides"
        ) from error


def _check_moments(verdict: Verdict | None) -> None:
    if verdict is not None:
        step = None if verdict.step is None else verdict.step.at
        for at in (verdict.at, verdict.onset, step):
            if at is not None:
                _check_moment(at)


def _in_calendar(some: tuple[Happening, ...]) -> tuple[Happening, ...]:
    """The same, where all happened at times that can be written down."""
    for one in some:
        _check_moment(one.wall)
    return some


def _check_moment(wall: float) -> None:
    if not 0 <= wall <= LAST:
        raise ValueError(f"{wall:g} s lies outside the years 1970 to 9999")
