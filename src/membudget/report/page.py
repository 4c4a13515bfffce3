"""The report as one HTML file: the page of `membudget/page/` with its data inside, and no address.

Names come from other programs: the data hold no `<`, and a policy lets no other script run.
"""

from __future__ import annotations

import json
import os
import re
import time
from bisect import bisect_left
from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from membudget.leaks import Confidence
from membudget.report import finite, text
from membudget.report.text import Calendar, plain
from membudget.trend import envelope
from membudget.units import how_many, human_bytes, human_seconds, human_span, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from membudget.core import Sample
    from membudget.report import Report, Use

BEGINS = '<!DOCTYPE html>\n<html lang="en"><head><meta name="generator" content="membudget">'
"""What every page begins with, by which ours are known from others'."""

_FOLDER = os.path.join(os.path.dirname(os.path.dirname(__file__)), "page")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'nonce-{}'"
_ESCAPES = {ord(one): f"\\u{ord(one):04x}" for one in "<>&"}

_MOST_ROWS, _PARTS = 200, 6

_COLUMNS = (
    "used rss explained governed malloc children blocks file collections gc_efficiency cpu "
    "requests threads tasks fds"
)
_FIGURES: dict[str, Callable[[Sample], float | None]] = {
    "collections": lambda one: one.gc_runs[2],
    "blocks": lambda one: one.blocks or None,
}
"""Those that are no attributes of a sample, or not known where they are 0."""


def page_of(report: Report) -> str:
    """The page: see `Report.as_html`."""
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
    verdict, samples, curves = report.verdict, report.samples, _curves(report)
    told, level, when = "", "early", "There are no samples."
    if verdict is not None and not text.is_early(verdict):
        sure, level = text.standing(verdict), verdict.confidence.name.lower()
        told = f"{sure[:1].upper()}{sure[1:]}. "
    if samples:
        told += text.outlook(report)
        span = f"{calendar.date(report.made)}, the last {text.lasting(report.span)}"
        pid = f"Process {report.pid}. " if report.pid else ""
        when = f"{pid}{span}, {how_many(len(samples))}."
    few = "Two samples are needed for a chart." if samples and curves is None else ""
    made: dict[str, Any] = finite(
        {
            "title": f"Memory report of {who}",
            "when": when,
            "headline": text.headline(report),
            "outlook": told,
            "level": level,
            "facts": list(_facts(report, calendar)),
            "curves": curves,
            "no_curves": few,
            "sections": list(_sections(report, calendar)),
        }
    )
    return made


def _facts(report: Report, calendar: Calendar) -> Iterator[list[str]]:
    use, resident = report.use, report.resident
    if use is None or resident is None:
        return
    if use != resident:
        yield _use("Memory used", use)
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
        yield {"title": "Leak verdict", "list": list(text.verdict_rows(report.verdict, calendar))}
    if report.culprits:
        found = []
        for one in report.culprits:
            lines = [] if one.share is None else [f"Explains {one.share:.0%} of the growth."]
            lines += [f"Newest: {plain(one.newest)}"] if one.newest else []
            lines += [plain(one.note)] if one.note else []
            chain = [plain(step) for step in one.chain]
            found.append({"name": text.culprit(one), "lines": lines, "chain": chain})
        yield {"title": "What grows", "culprits": found}
    if report.group is not None:
        yield {"title": "Shared by a group", "notes": report.group.lines()[:_MOST_ROWS]}
    for title, head, rows in _tables(report, calendar):
        if rows:
            over = len(rows) - _MOST_ROWS
            more = f"And {over:,} more." if over > 0 else ""
            yield {
                "title": title,
                "head": head.split(", "),
                "rows": rows[:_MOST_ROWS],
                "more": more,
            }
    if report.samples and not report.happenings:
        yield {"title": "Events", "text": "None are known."}
    if report.notes:
        yield {"title": "Notes", "notes": [plain(one) for one in report.notes]}


def _tables(report: Report, calendar: Calendar) -> Iterator[tuple[str, str, list[list[Any]]]]:
    rows: list[list[Any]] = []
    for part in report.parts:
        full = "no bound" if part.fill is None else [text.whole_percent(part.fill), part.fill]
        held, gained = text.filled(part), text.grown(part) or "nothing"
        rows.append([plain(part.name), plain(part.kind), held, full, gained])
    yield "Caches and containers", "Name, Kind, Holds, Full, Grew by", rows
    rows = []
    for span in report.operations:
        left = "not known" if span.grew is None else signed(span.grew)
        took = "not known" if span.took is None else human_seconds(span.took)
        rows.append([plain(span.name), f"{span.times:,}", left, took])
    yield "Operations", "Name, Times, Left behind, Took", rows
    rows = []
    for odd in report.anomalies:
        due = f"{odd.expected:,.4g}{f' by {plain(odd.basis)}' if odd.basis else ''}"
        rows.append([plain(odd.name), f"{odd.value:,.4g}", due, f"{odd.score:+.0f} deviations"])
    yield "Unusual now", "Figure, Now, Expected, Off by", rows
    rows = [
        [plain(one.setting), one.now or "none", one.told, plain(one.reason)]
        for one in report.proposals
    ]
    yield "Proposed settings", "Setting, Now, Proposed, Why", rows
    rows = [
        [calendar.moment(one.wall), plain(one.severity), plain(one.kind), plain(one.text)]
        for one in report.happenings[::-1]
    ]
    yield "Events", "When, Severity, Kind, What", rows


def _curves(report: Report) -> dict[str, Any] | None:
    """The samples as columns, broken by nulls; None of fewer than two, or of a single moment.

    t               when; all columns are as long
    columns         by name, figures and counters; those that are known of no sample are left out
    parts           [{name, bytes, items, grew, bound, bounds}], the largest and those that gained
                    most; bytes or items is null where it is not to be shown
    others          {name, bytes} of the rest together, or null
    limit, marks    bytes, or null; [[name, bytes]]
    trend           {begin, at, value, rate}: bytes an hour through a point; or null
    restarts, now, end, is_dated, offset    moments, and seconds east of Greenwich; the end is
                    where the limit is reached, if that is within the time shown again
    """
    if report.span <= 0:
        return None
    rows = _broken(report.samples)

    def column(figure: Callable[[Sample], float | None]) -> list[float | None]:
        return [None if one is None else figure(one) for _, one in rows]

    def of_part(name: str, field: str) -> list[float | None]:
        return column(
            lambda one: next(
                (getattr(part, field) for part in one.parts if part.name == name), None
            )
        )

    columns = {name: column(_FIGURES.get(name, attrgetter(name))) for name in _COLUMNS.split()}
    held = [one for one in report.parts if one.bytes]
    gained = [one for one in report.parts if one.items is not None and one.grew_items]
    gained = sorted(gained, key=lambda one: -abs(one.grew_items or 0))[:_PARTS]
    shown, rest = held[:_PARTS], {one.name for one in held[_PARTS:]}
    others = column(lambda one: sum(part.bytes or 0 for part in one.parts if part.name in rest))
    parts = []
    for one in [*shown, *(one for one in gained if one not in shown)]:
        bounds = "" if one.most_bytes is not None or one.ttl is not None else "No bound is known."
        if one.most_items is not None:
            bounds = f"It may hold {one.most_items:,}."
        told = {
            "name": plain(one.name),
            "bytes": of_part(one.name, "bytes") if one in shown else None,
            "items": of_part(one.name, "items") if one in gained else None,
            "grew": one.grew_items,
            "bound": one.most_items,
            "bounds": bounds,
        }
        parts.append(told)
    left, end = report.forecast.seconds_left, report.made
    if left is not None and left <= report.span and report.limit is not None:
        end += min(left * 1.05, report.span)
    return {
        "t": [at for at, _ in rows],
        "columns": {
            name: values
            for name, values in columns.items()
            if any(one is not None for one in values)
        },
        "parts": parts,
        "others": {"name": f"{len(rest)} more", "bytes": others} if rest else None,
        "limit": report.limit,
        "marks": [[plain(name), at] for name, at in report.marks.items()],
        "trend": _trend(report),
        "restarts": report.restarts,
        "now": report.made,
        "end": end,
        "is_dated": report.is_dated,
        "offset": time.localtime(report.made).tm_gmtoff if report.is_dated else 0,
    }


def _broken(samples: Sequence[Sample]) -> list[tuple[float, Sample | None]]:
    """Samples with their moments, those kept at which a column is lowest or highest.

    None stands where a process ended, or nobody looked for five times the usual distance.
    """
    gaps = [b.wall - a.wall for a, b in pairwise(samples)]
    usual = sorted(gaps)[len(gaps) // 2]
    walls = [one.wall for one in samples]
    kept: set[int] = set()
    for name in ("used", "rss", "malloc", "children"):
        kept.update(envelope(walls, [getattr(one, name) for one in samples], 2000))
    breaks = [
        place
        for place, (a, b) in enumerate(pairwise(samples))
        if (a.pid, a.began) != (b.pid, b.began) or b.wall - a.wall > 5 * usual > 0
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
