"""The report as text of 80 columns, for a person at a terminal at night: the worst first."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, TypeVar

from membudget.report.words import (
    ROWS,
    Calendar,
    culprit,
    filled,
    grown,
    headline,
    lasting,
    outlook,
    plain,
    signed,
    verdict_rows,
    whole_percent,
)
from membudget.units import how_many, human_bytes, human_seconds, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from membudget.leaks.advice import Proposal
    from membudget.report.records import (
        Happening,
        ModelFigure,
        Odd,
        OperationFigure,
        PartFigure,
        Report,
        Use,
    )

T = TypeVar("T")

WIDTH = 80
_INDENT = "  "


def as_text(report: Report) -> str:
    """The report, its last line ended; no line is longer than 80 columns."""
    calendar = Calendar(is_dated=report.is_dated)

    def event(one: Happening) -> str:
        return f"{calendar.moment(one.wall)}  {one.severity:<8} {plain(one.text)}"

    lines = [*_top(report, calendar), ""]
    for title, body in (
        ("MEMORY", _memory(report, calendar)),
        ("LEAK", _leak(report, calendar)),
        ("CACHES AND CONTAINERS", _rows(report.parts, _part, 8)),
        ("MODELS", _rows(report.models, _model)),
        ("OPERATIONS", _rows(report.operations, _operation)),
        ("UNUSUAL NOW", _rows(report.anomalies, _odd)),
        ("PROPOSED SETTINGS", _rows(report.proposals, _proposal)),
        ("EVENTS, NEWEST FIRST", _rows(report.happenings[::-1], event, 20)),
        ("NOTES", (line for note in report.notes for line in _wrapped(note))),
    ):
        if rows := list(body):
            lines += [title, *rows, ""]
    return "\n".join(map(printable, lines[:-1])) + "\n"


def _top(report: Report, calendar: Calendar) -> Iterator[str]:
    who = " ".join(filter(None, [plain(report.name), f"(pid {report.pid})" if report.pid else ""]))
    yield from wrap(f"Memory report{f' of {who}' if who else ''}", WIDTH)
    if report.samples:
        count = len(report.samples)
        yield from wrap(
            f"{calendar.date(report.made)}, the last {lasting(report.span)}, {how_many(count)}",
            WIDTH,
        )
    yield ""
    yield from wrap(headline(report), WIDTH)
    if report.samples:
        yield from wrap(outlook(report.forecast, report.limit, report.headroom), WIDTH)


def _memory(report: Report, calendar: Calendar) -> Iterator[str]:
    if report.use is None or report.resident is None:
        return
    yield f"{_INDENT}{'':<12}{'now':>12}{'average':>12}{'minimum':>12}{'maximum':>12}"
    if report.use != report.resident:
        yield _use("judged", report.use)
    yield _use("resident", report.resident)
    if report.limit is not None and report.headroom is not None:
        share = report.use.now / report.limit
        yield (
            f"{_INDENT}{'limit':<12}{human_bytes(report.limit):>12}   {share:.0%} used, "
            f"{human_bytes(max(0, report.headroom))} left"
        )
    for name, size in report.marks.items():
        yield f"{_INDENT}{plain(name):<12}{human_bytes(size):>12}"
    if report.restarts:
        at = ", ".join(calendar.moment(one) for one in report.restarts[-3:])
        count = len(report.restarts)
        yield from _wrapped(f"restarted {how_many(count, 'time')}, last: {at}")


def _use(name: str, use: Use) -> str:
    cells = "".join(
        f"{human_bytes(one):>12}" for one in (use.now, use.average, use.least, use.most)
    )
    return f"{_INDENT}{name:<12}{cells}"


def _leak(report: Report, calendar: Calendar) -> Iterator[str]:
    verdict = report.verdict
    if verdict is None:
        return
    for name, words in verdict_rows(verdict, calendar):
        yield from _fact(name, words)
    for place, one in enumerate(report.culprits[:ROWS], 1):
        share = f", {one.share:.0%} of the growth" if one.share is not None else ""
        yield from _fact(f"culprit {place}", f"{culprit(one)}{share}")
        for title, words in (
            ("newest", plain(one.newest)),
            ("held by", " -> ".join(map(plain, one.chain))),
            ("note", plain(one.note)),
        ):
            if words:
                yield from _fact(title, words)


def _rows(rows: Sequence[T], tell: Callable[[T], str], hanging: int = 2) -> Iterator[str]:
    for one in rows[:ROWS]:
        yield from _wrapped(tell(one), hanging)
    if len(rows) > ROWS:
        yield f"{_INDENT}and {len(rows) - ROWS} more"


def _part(one: PartFigure) -> str:
    fill = "     " if one.fill is None else f"{whole_percent(one.fill):>5}"
    gained = grown(one)
    told = f"{plain(one.name)} ({plain(one.kind)}): {filled(one)}"
    return f"{fill} {told}{f' [{gained}]' if gained else ''}"


def _model(one: ModelFigure) -> str:
    told = [plain(one.state)]
    told += [human_bytes(one.bytes)] if one.bytes is not None else []
    told += [f"{one.uses:,} uses"] if one.uses is not None else []
    told += [f"idle for {human_seconds(one.idle)}"] if one.idle is not None else []
    return f"{plain(one.name)}: {', '.join(told)}"


def _operation(one: OperationFigure) -> str:
    told = [f"{one.times:,} times"]
    told += [f"{signed(one.grew)} in all"] if one.grew is not None else []
    told += [f"{human_seconds(one.took)} in all"] if one.took is not None else []
    return f"{plain(one.name)}: {', '.join(told)}"


def _odd(one: Odd) -> str:
    told = f"{plain(one.name)} is {one.value:,.4g}, {one.expected:,.4g} was to be expected"
    basis = f" by {plain(one.basis)}" if one.basis else ""
    return f"{told}{basis} ({one.score:+.0f} deviations)"


def _proposal(one: Proposal) -> str:
    now = f" in place of {one.now}" if one.now else ""
    return f"{plain(one.setting)} {one.told}{now}: {plain(one.reason)}"


def _fact(name: str, words: str) -> Iterable[str]:
    return _wrapped(f"{name:<12}{words}", 12)


def _wrapped(words: str, hanging: int = 2) -> Iterable[str]:
    """The words in lines, those after the first further in."""
    return wrap(
        words,
        WIDTH,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT + " " * hanging,
        drop_whitespace=True,
        expand_tabs=False,
    )
