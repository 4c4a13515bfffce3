"""The tables of the page; on a narrow screen each row becomes a block."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.report.escaped import escaped
from membudget.report.words import filled, grown, plain, signed, whole_percent
from membudget.units import human_bytes, human_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from membudget.report.records import Report
    from membudget.report.words import Calendar

_MOST_ROWS = 200


def parts(report: Report) -> str:
    """Caches and containers with limit and fill."""
    return _table(
        "Caches and containers",
        ("Name", "Kind", "Holds", "Full", "Gained"),
        (
            (
                plain(one.name),
                plain(one.kind),
                filled(one),
                _fill(one.fill),
                grown(one) or "nothing",
            )
            for one in report.parts
        ),
        raw=3,
    )


def models(report: Report) -> str:
    """Models and their state."""
    return _table(
        "Models",
        ("Name", "State", "Holds", "Uses", "Idle"),
        (
            (
                plain(one.name),
                plain(one.state),
                _or_unknown(one.bytes, human_bytes),
                _or_unknown(one.uses, "{:,}".format),
                _or_unknown(one.idle, human_seconds),
            )
            for one in report.models
        ),
    )


def operations(report: Report) -> str:
    """Spans of work."""
    return _table(
        "Operations",
        ("Name", "Times", "Left behind", "Took"),
        (
            (
                plain(one.name),
                f"{one.times:,}",
                _or_unknown(one.grew, signed),
                _or_unknown(one.took, human_seconds),
            )
            for one in report.operations
        ),
    )


def odd(report: Report) -> str:
    """What is unusual now."""
    return _table(
        "Unusual now",
        ("Figure", "Now", "Expected", "Off by"),
        (
            (
                plain(one.name),
                f"{one.value:,.4g}",
                f"{one.expected:,.4g}{f' by {plain(one.basis)}' if one.basis else ''}",
                f"{one.score:+.0f} deviations",
            )
            for one in report.anomalies
        ),
    )


def proposals(report: Report) -> str:
    """Settings that the history suggests, each with its reason."""
    return _table(
        "Proposed settings",
        ("Setting", "Now", "Proposed", "Why"),
        (
            (plain(one.setting), one.now or "none", one.told, plain(one.reason))
            for one in report.proposals
        ),
    )


def events(report: Report, calendar: Calendar) -> str:
    """Events of the day, the newest first; how grave each is stands there as a word."""
    rows = [
        f'<tr class="{escaped(one.severity)}"><td>{escaped(calendar.moment(one.wall))}</td>'
        f"<td><b>{escaped(one.severity)}</b></td><td>{escaped(one.kind)}</td>"
        f"<td>{escaped(plain(one.text))}</td></tr>"
        for one in report.happenings[::-1]
    ]
    if not rows:
        return "" if not report.samples else '<h2>Events</h2><p class="soft">None are known.</p>'
    return _framed("Events", ("When", "Severity", "Kind", "What"), rows)


def _table(
    title: str, names: Sequence[str], rows: Iterable[Sequence[str]], *, raw: int | None = None
) -> str:
    """A table, or "" without rows; cells are escaped but the one at `raw`, which is HTML."""
    told = []
    for row in rows:
        cells = [
            f"<td{f' data-of={chr(34)}{names[at]}{chr(34)}' if at else ''}>"
            f"{cell if at == raw else escaped(cell)}</td>"
            for at, cell in enumerate(row)
        ]
        told.append(f"<tr>{''.join(cells)}</tr>")
    return _framed(title, names, told) if told else ""


def _framed(title: str, names: Sequence[str], rows: Sequence[str]) -> str:
    heads = "".join(f'<th scope="col">{name}</th>' for name in names)
    more = len(rows) - _MOST_ROWS
    note = f'<p class="soft">And {more:,} more.</p>' if more > 0 else ""
    return (
        f'<h2>{title}</h2><div class="scroll" tabindex="0" role="region" aria-label="{title}">'
        f'<table class="stack"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows[:_MOST_ROWS])}</tbody></table></div>{note}"
    )


def _fill(share: float | None) -> str:
    if share is None:
        return "no bound"
    width = min(max(share, 0.0), 1.0) * 100
    bar = f'<span class="bar" aria-hidden="true"><i style="width:{width:.0f}%"></i></span>'
    return f"{whole_percent(share)}{bar}"


def _or_unknown(value: float | None, tell: object) -> str:
    if value is None:
        return "not known"
    return str(tell(value))  # type: ignore[operator]  # a function of one number
