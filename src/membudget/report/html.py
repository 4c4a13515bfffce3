"""The report as one HTML file: nothing is loaded from anywhere, and no script runs.

What it says comes first in words; the charts after it each carry their message as text. Names come
from other programs, so each is escaped, and a policy in the page forbids scripts and the network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.leaks.records import Confidence
from membudget.report.charts import drawn
from membudget.report.escaped import escaped
from membudget.report.pictures import pictures
from membudget.report.style import stylesheet
from membudget.report.tables import events, models, odd, operations, parts, proposals
from membudget.report.words import (
    Calendar,
    between,
    culprit,
    headline,
    is_early,
    lasting,
    outlook,
    plain,
    signed,
    simple,
    standing,
)
from membudget.units import how_many, human_bytes, human_seconds, human_span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from membudget.report.records import CulpritLike, Report, Use

BEGINS = '<!DOCTYPE html>\n<html lang="en"><head><meta name="generator" content="membudget">'
"""What every page begins with, by which ours are known from others'."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def as_html(report: Report) -> str:
    """The page, in UTF-8. A day of samples with ten parts takes about 30 ms and 100 KiB."""
    who = plain(report.name) or (f"process {report.pid}" if report.pid else "a process")
    title = escaped(f"Memory report of {who}")
    body = "".join(_body(report, Calendar(is_dated=report.is_dated)))
    return (
        f'{BEGINS}<meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<link rel="icon" href="data:,"><title>{title}</title>'
        f"<style>{stylesheet()}</style></head>\n"
        f"<body><main><h1>{title}</h1>{body}</main></body></html>\n"
    )


def _body(report: Report, calendar: Calendar) -> Iterator[str]:
    yield _when(report, calendar)
    yield _verdict(report)
    if report.use is not None:
        yield _facts(report, calendar)
    if charts := list(pictures(report)):
        drawings = "".join(drawn(one) for one in charts)
        yield f'<h2>Over time</h2><div class="charts">{drawings}</div>'
    elif report.samples:
        yield '<h2>Over time</h2><p class="soft">Two samples are needed for a chart.</p>'
    if report.verdict is not None:
        yield f"<h2>Leak verdict</h2>{_details(report, calendar)}"
    if report.culprits:
        rows = "".join(map(_culprit, report.culprits))
        yield f"<h2>What grows</h2>{rows}{_chain(report)}"
    for section in (parts, models, operations, odd, proposals):
        yield section(report)
    yield events(report, calendar)
    if report.notes:
        rows = "".join(f"<li>{escaped(plain(note))}</li>" for note in report.notes)
        yield f"<h2>Notes</h2><ul>{rows}</ul>"
    yield "<footer>Made by membudget. Sizes: 1 MiB is 1,048,576 bytes.</footer>"


def _when(report: Report, calendar: Calendar) -> str:
    if not report.samples:
        return '<p class="soft">There are no samples.</p>'
    count = len(report.samples)
    who = f"Process {report.pid}. " if report.pid else ""
    return (
        f'<p class="soft">{who}{escaped(calendar.date(report.made))}, the last '
        f"{lasting(report.span)}, {how_many(count)}.</p>"
    )


def _verdict(report: Report) -> str:
    verdict = report.verdict
    if verdict is None or is_early(verdict):
        level, sure = "early", ""
    else:
        level, sure = verdict.confidence.name.lower(), f"{_capital(standing(verdict))}. "
    told = outlook(report.forecast, report.limit, report.headroom) if report.samples else ""
    return (
        f'<div class="verdict {level}"><strong>{escaped(headline(report))}</strong>'
        f"<p>{escaped(sure)}{escaped(told)}</p></div>"
    )


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _facts(report: Report, calendar: Calendar) -> str:
    use, rows = report.use, []
    if use is None or report.resident is None:
        return ""
    if use != report.resident:
        rows.append(_use("Judged figure", use))
    rows.append(_use("Resident memory", report.resident))
    if report.limit is not None:
        left = human_bytes(max(0, report.headroom or 0))
        used = f"{use.now / report.limit:.0%} used"
        rows.append(_fact("Limit", human_bytes(report.limit), used, f"{left} left"))
    seconds = report.forecast.seconds_left
    if seconds is not None:
        near, far = report.forecast.soonest, report.forecast.latest
        small = f"{human_seconds(near)} to " if near is not None else ""
        small += human_seconds(far) if far is not None else "later, or never"
        rows.append(_fact("Limit reached in", human_seconds(seconds), small))
    if report.restarts:
        last = f"last {calendar.moment(report.restarts[-1])}"
        rows.append(_fact("Restarts", f"{len(report.restarts)}", last))
    return f'<dl class="facts">{"".join(rows)}</dl>'


def _use(name: str, use: Use) -> str:
    average = f"average {human_bytes(use.average)}"
    return _fact(name, human_bytes(use.now), average, human_span(use.least, use.most))


def _fact(name: str, value: str, *smaller: str) -> str:
    told = escaped(value) + "".join(f"<small>{escaped(one)}</small>" for one in smaller)
    return f"<div><dt>{escaped(name)}</dt><dd>{told}</dd></div>"


def _details(report: Report, calendar: Calendar) -> str:
    verdict = report.verdict
    if verdict is None:
        return ""
    rows = [("Kind", standing(verdict)), ("Why", verdict.reason)]
    if verdict.confidence > Confidence.NONE:
        low_high = between(verdict.rate_low, verdict.rate_high)
        rows.append(("Rate", f"{signed(verdict.rate)}/h; {low_high}"))
        if verdict.onset is not None:
            rows.append(("Since", calendar.date(verdict.onset)))
    if not is_early(verdict):  # Nothing was weighed: a score or a growth of zero would be untrue.
        rows.append(("Score", f"{verdict.score:.2f} of 1"))
        rows.append(("Growth", f"{signed(verdict.growth)} within {lasting(verdict.window)}"))
    if verdict.step is not None:
        at = calendar.moment(verdict.step.at)
        rows.append(("Step", f"{signed(verdict.step.size)} at {at}"))
    for one in verdict.filling:
        told = (
            f"full in {human_seconds(one.full_in)}" if one.full_in is not None else "no end known"
        )
        size = f" at {human_bytes(one.full_at)}" if one.full_at is not None else ""
        rows.append(("Filling up", f"{plain(one.name)}: {told}{size}"))
    rows.append(("Simple rule", simple(verdict.facts)))
    told = "".join(f"<dt>{name}</dt><dd>{escaped(words)}</dd>" for name, words in rows)
    return f'<dl class="list">{told}</dl>'


def _culprit(one: CulpritLike) -> str:
    rows = [f"<h3>{escaped(culprit(one))}</h3>"]
    if one.share is not None:
        rows.append(f"<p>Explains {one.share:.0%} of the growth.</p>")
    if one.newest:
        rows.append(f"<p>Newest: {escaped(plain(one.newest))}</p>")
    if one.note:
        rows.append(f"<p>{escaped(plain(one.note))}</p>")
    if one.chain:
        steps = "".join(f"<li>{escaped(plain(step))}</li>" for step in one.chain)
        rows.append(f'<p class="soft">Held by:</p><ol class="chain">{steps}</ol>')
    return f'<div class="culprit">{"".join(rows)}</div>'


def _chain(report: Report) -> str:
    """The drawing as a picture of its own, in which no script runs and no style leaks out."""
    if not report.chain:
        return ""
    from base64 import b64encode

    picture = b64encode(report.chain.encode("utf-8", "replace")).decode()
    steps = " to ".join(map(plain, report.culprits[0].chain)) or plain(report.culprits[0].name)
    return (
        '<div class="scroll drawing" tabindex="0" role="region" aria-label="Reference chain">'
        f'<img alt="{escaped(f"Reference chain: {steps}")}" '
        f'src="data:image/svg+xml;base64,{picture}"></div>'
    )
