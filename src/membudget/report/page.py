"""The report as one HTML file: the page of `membudget/page/` with its data inside, and no address.

What it says is made here, which charts there are and how they look in its scripts. Names come from
other programs: the data hold no `<`, the script makes text of them and never markup, and a policy
lets no other script run and nothing be loaded.
"""

from __future__ import annotations

import json
import os
import re
from bisect import bisect_left
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from membudget.leaks.records import Confidence
from membudget.report.as_json import finite
from membudget.report.text import (
    Calendar,
    culprit,
    filled,
    grown,
    headline,
    is_early,
    lasting,
    outlook,
    plain,
    signed,
    standing,
    verdict_rows,
    whole_percent,
)
from membudget.trend import envelope
from membudget.units import how_many, human_bytes, human_seconds, human_span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from membudget.core import Sample
    from membudget.leaks.culprit import Culprit
    from membudget.report.figures import PartFigure, Report, Use

BEGINS = '<!DOCTYPE html>\n<html lang="en"><head><meta name="generator" content="membudget">'
"""What every page begins with, by which ours are known from others'."""

_FOLDER = os.path.join(os.path.dirname(os.path.dirname(__file__)), "page")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'nonce-{}'"
_ESCAPES = {ord(one): f"\\u{ord(one):04x}" for one in "<>&"}

_MOST_POINTS = 2000
"""Of a column, so many points may be kept; what is kept of one is kept of all."""

_MOST_ROWS = 200
_PARTS = 6
_FEW = 2
_SILENCE = 5.0
"""Times the usual distance between two samples after which a line is broken."""

_COLUMNS = (
    *(
        "used",
        "rss",
        "explained",
        "governed",
        "malloc",
        "children",
        "blocks",
        "file",
        "collections",
    ),
    *("gc_efficiency", "cpu", "requests", "threads", "tasks", "fds"),
)


def as_html(report: Report) -> str:
    """The page, in ASCII. A day of samples with ten parts takes about 5 ms and 130 KiB."""
    nonce = os.urandom(16).hex()
    data = json.dumps(page_data(report), allow_nan=False, separators=(",", ":"))
    page = _text("page.html")
    for pattern, element in (
        (r'<link rel="stylesheet" href="(.+?)">', "<style>{}</style>"),
        (r'<script src="(.+?)"></script>', f'<script nonce="{nonce}">{{}}</script>'),
    ):
        page = re.sub(pattern, lambda found: element.format(_text(found[1])), page)  # noqa: B023
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY.format(nonce)}">'
    for place, with_it in (
        ('<meta charset="utf-8">', f'<meta charset="utf-8">\n{policy}'),
        ("uplot/LICENSE", _text("uplot/LICENSE")),
        (' id="data">', f' id="data">{data.translate(_ESCAPES)}'),
    ):
        page = page.replace(place, with_it, 1)
    return page


def _text(name: str) -> str:
    with open(os.path.join(_FOLDER, name), encoding="utf-8") as file:
        return file.read()


def page_data(report: Report) -> dict[str, Any]:
    """What `page.js` draws.

    title, when, headline, outlook    text
    level       of the verdict, as the page is coloured: early none low medium high
    facts       [[name, value, smaller text...]]
    curves      null where there is nothing to draw; no_curves then says why, or is ""
    sections    [{title, ...}], each with some of: text; list [[name, text]]; notes [text];
                head and rows of a table, a cell being text or [text, share]; more; culprits
                [{name, lines, chain}]
    """
    calendar = Calendar(is_dated=report.is_dated)
    who = plain(report.name) or (f"process {report.pid}" if report.pid else "a process")
    verdict = report.verdict
    sure, level = "", "early"
    if verdict is not None and not is_early(verdict):
        sure = standing(verdict)
        level, sure = verdict.confidence.name.lower(), f"{sure[:1].upper()}{sure[1:]}. "
    told = outlook(report.forecast, report.limit, report.headroom) if report.samples else ""
    curves = _curves(report)
    made: dict[str, Any] = finite(
        {
            "title": f"Memory report of {who}",
            "when": _when(report, calendar),
            "headline": headline(report),
            "outlook": sure + told,
            "level": level,
            "facts": list(_facts(report, calendar)),
            "curves": curves,
            "no_curves": "Two samples are needed for a chart."
            if report.samples and curves is None
            else "",
            "sections": list(_sections(report, calendar)),
        }
    )
    return made


def _when(report: Report, calendar: Calendar) -> str:
    if not report.samples:
        return "There are no samples."
    who = f"Process {report.pid}. " if report.pid else ""
    count = how_many(len(report.samples))
    return f"{who}{calendar.date(report.made)}, the last {lasting(report.span)}, {count}."


def _facts(report: Report, calendar: Calendar) -> Iterator[list[str]]:
    use, resident = report.use, report.resident
    if use is None or resident is None:
        return
    if use != resident:
        yield _use("Judged figure", use)
    yield _use("Resident memory", resident)
    if report.limit is not None:
        left = human_bytes(max(0, report.headroom or 0))
        used = f"{use.now / report.limit:.0%} used"
        yield ["Limit", human_bytes(report.limit), used, f"{left} left"]
    ahead = report.forecast
    if ahead.seconds_left is not None:
        small = f"{human_seconds(ahead.soonest)} to " if ahead.soonest is not None else ""
        small += human_seconds(ahead.latest) if ahead.latest is not None else "later, or never"
        yield ["Limit reached in", human_seconds(ahead.seconds_left), small]
    if report.restarts:
        newest = calendar.moment(report.restarts[-1])
        yield ["Restarts", f"{len(report.restarts)}", f"last {newest}"]


def _use(name: str, use: Use) -> list[str]:
    average = f"average {human_bytes(use.average)}"
    return [name, human_bytes(use.now), average, human_span(use.least, use.most)]


def _sections(report: Report, calendar: Calendar) -> Iterator[dict[str, Any]]:
    if report.verdict is not None:
        yield {"title": "Leak verdict", "list": list(verdict_rows(report.verdict, calendar))}
    if report.culprits:
        yield {"title": "What grows", "culprits": [_culprit(one) for one in report.culprits]}
    for title, head, rows in _tables(report, calendar):
        if rows:
            over = len(rows) - _MOST_ROWS
            more = f"And {over:,} more." if over > 0 else ""
            yield {"title": title, "head": head, "rows": rows[:_MOST_ROWS], "more": more}
    if report.samples and not report.happenings:
        yield {"title": "Events", "text": "None are known."}
    if report.notes:
        yield {"title": "Notes", "notes": [plain(one) for one in report.notes]}


def _culprit(one: Culprit) -> dict[str, Any]:
    lines = [f"Explains {one.share:.0%} of the growth."] if one.share is not None else []
    lines += [f"Newest: {plain(one.newest)}"] if one.newest else []
    lines += [plain(one.note)] if one.note else []
    return {"name": culprit(one), "lines": lines, "chain": [plain(step) for step in one.chain]}


def _tables(
    report: Report, calendar: Calendar
) -> Iterator[tuple[str, Sequence[str], list[list[Any]]]]:
    yield (
        "Caches and containers",
        ("Name", "Kind", "Holds", "Full", "Gained"),
        [
            [
                *(plain(one.name), plain(one.kind), filled(one)),
                "no bound" if one.fill is None else [whole_percent(one.fill), one.fill],
                grown(one) or "nothing",
            ]
            for one in report.parts
        ],
    )
    yield (
        "Operations",
        ("Name", "Times", "Left behind", "Took"),
        [
            [
                *(plain(one.name), f"{one.times:,}"),
                *(_known(one.grew, signed), _known(one.took, human_seconds)),
            ]
            for one in report.operations
        ],
    )
    yield (
        "Unusual now",
        ("Figure", "Now", "Expected", "Off by"),
        [
            [
                *(plain(one.name), f"{one.value:,.4g}"),
                f"{one.expected:,.4g}{f' by {plain(one.basis)}' if one.basis else ''}",
                f"{one.score:+.0f} deviations",
            ]
            for one in report.anomalies
        ],
    )
    yield (
        "Proposed settings",
        ("Setting", "Now", "Proposed", "Why"),
        [
            [plain(one.setting), one.now or "none", one.told, plain(one.reason)]
            for one in report.proposals
        ],
    )
    yield (
        "Events",
        ("When", "Severity", "Kind", "What"),
        [
            [calendar.moment(one.wall), plain(one.severity), plain(one.kind), plain(one.text)]
            for one in report.happenings[::-1]
        ],
    )


def _known(value: float | None, tell: Callable[[Any], str]) -> str:
    return "not known" if value is None else tell(value)


def _curves(report: Report) -> dict[str, Any] | None:
    """The samples as columns, broken by nulls; None of fewer than two, or of a single moment.

    t               when; all columns are as long
    columns         by name, figures and counters; those that are known of no sample are left out
    parts           [{name, bytes, items, grew, bound, bounds}], the largest and those that gained
                    most; bytes or items is null where it is not to be shown
    others          {name, bytes} of the rest together, or null
    limit, marks    bytes, or null; [[name, bytes]]
    trend           {begin, at, value, rate}: bytes an hour through a point; or null
    restarts, now, end, is_dated, offset    moments, and seconds east of Greenwich
    """
    if len(report.samples) < _FEW or report.span <= 0:
        return None
    rows = _broken(report.samples)

    def column(figure: Callable[[Sample], float | None]) -> list[float | None]:
        return [None if one is None else figure(one) for _, one in rows]

    columns = {name: column(partial(_figure, name)) for name in _COLUMNS}
    held = [one for one in report.parts if one.bytes]
    gained = [one for one in report.parts if one.items is not None and one.grew_items]
    gained = sorted(gained, key=lambda one: -abs(one.grew_items or 0))[:_PARTS]
    shown, rest = held[:_PARTS], {one.name for one in held[_PARTS:]}
    return {
        "t": [at for at, _ in rows],
        "columns": {
            name: values
            for name, values in columns.items()
            if any(one is not None for one in values)
        },
        "parts": [
            {
                "name": plain(one.name),
                "bytes": column(partial(_of_part, one.name, "bytes")) if one in shown else None,
                "items": column(partial(_of_part, one.name, "items")) if one in gained else None,
                "grew": one.grew_items,
                "bound": one.most_items,
                "bounds": _bounds(one),
            }
            for one in [*shown, *(one for one in gained if one not in shown)]
        ],
        "others": {
            "name": f"{len(rest)} more",
            "bytes": column(
                lambda one: sum(part.bytes or 0 for part in one.parts if part.name in rest)
            ),
        }
        if rest
        else None,
        "limit": report.limit,
        "marks": [[plain(name), at] for name, at in report.marks.items()],
        "trend": _trend(report),
        "restarts": report.restarts,
        "now": report.made,
        "end": _end(report),
        "is_dated": report.is_dated,
        "offset": Calendar(is_dated=report.is_dated).offset(report.made),
    }


def _broken(samples: Sequence[Sample]) -> list[tuple[float, Sample | None]]:
    """Samples with their moments, and None between two where a process ended or nobody looked.

    Of many those are kept at which a column is lowest or highest.
    """
    gaps = [b.wall - a.wall for a, b in pairwise(samples)]
    usual = sorted(gaps)[len(gaps) // 2]
    walls = [one.wall for one in samples]
    kept: set[int] = set()
    for name in ("used", "rss", "malloc", "children"):
        kept.update(envelope(walls, [getattr(one, name) for one in samples], _MOST_POINTS))
    breaks = [
        place
        for place, (a, b) in enumerate(pairwise(samples))
        if (a.pid, a.began) != (b.pid, b.began) or b.wall - a.wall > _SILENCE * usual > 0
    ]
    rows: list[tuple[float, Sample | None]] = []
    before = -1
    for place in sorted(kept):
        at = bisect_left(breaks, before)
        if before >= 0 and at < len(breaks) and breaks[at] < place:
            rows.append(((walls[breaks[at]] + walls[breaks[at] + 1]) / 2, None))
        rows.append((walls[place], samples[place]))
        before = place
    return rows


def _figure(name: str, sample: Sample) -> float | None:
    if name == "collections":
        return sample.gc_runs[2]
    value: float | None = getattr(sample, name)
    return value or None if name == "blocks" else value


def _of_part(name: str, field: str, sample: Sample) -> float | None:
    return next((getattr(one, field) for one in sample.parts if one.name == name), None)


def _bounds(part: PartFigure) -> str:
    if part.most_items is not None:
        return f"It may hold {part.most_items:,}."
    return "" if part.most_bytes is not None or part.ttl is not None else "No bound is known."


def _end(report: Report) -> float:
    """The end of the time axis: now, or where the limit is reached within the time shown again."""
    left = report.forecast.seconds_left
    if left is None or left > report.span or report.limit is None:
        return report.made
    return report.made + min(left * 1.05, report.span)


def _trend(report: Report) -> dict[str, Any] | None:
    """The rate of the verdict as a line through the newest hour's middle."""
    verdict = report.verdict
    if verdict is None or verdict.confidence == Confidence.NONE or verdict.onset is None:
        return None
    newest = [one for one in report.samples if one.wall >= report.made - 3600.0]
    return {
        "begin": max(verdict.onset, report.samples[0].wall, *report.restarts[-1:]),
        "at": (newest[0].wall + newest[-1].wall) / 2,
        "value": sorted(one.rss for one in newest)[len(newest) // 2],
        "rate": verdict.rate,
    }
