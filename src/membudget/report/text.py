"""The report in words, for a person at a terminal at night: the worst first, in 80 columns."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from membudget.core import Record
from membudget.leaks import RECORDED, Confidence, Kind
from membudget.units import (
    LONGEST_NAME,
    how_many,
    human_bytes,
    human_seconds,
    human_span,
    one_line,
    printable,
    signed,
    wrapped,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from membudget.leaks import SimpleFacts, Verdict
    from membudget.leaks.culprit import Culprit
    from membudget.report import OperationFigure, PartFigure, Report, Use

WIDTH, ROWS = 80, 12  # Columns of the text, and rows that are told of a kind
_INDENT = "  "
_HOUR, _DAY = 3600.0, 86400.0
_SHORT = 0.9 * RECORDED.min_duration
_CALM = {
    Kind.STEP: "memory grew in a step",
    Kind.FILLING: "a part with a bound is filling up",
    Kind.LEVELLING: "growth slows down",
    Kind.GARBAGE: "a collection gave back what had grown",
    Kind.SLACK: "a trim gave back what had grown",
    Kind.FILE: "only the page cache grew",
}


class Calendar(Record):
    """How moments are written: as local time, or as time since the recording began."""

    is_dated: bool = True

    def moment(self, wall: float) -> str:
        """A moment within the last days: "Tue 14:00", or "hour 3.5"."""
        if not self.is_dated:
            return f"hour {wall / _HOUR:.1f}"
        return time.strftime("%a %H:%M", time.localtime(wall))

    def date(self, wall: float) -> str:
        """A moment in full: "2026-11-21 14:00 UTC+0100", or "hour 24.0 of the recording"."""
        if not self.is_dated:
            return f"hour {wall / _HOUR:.1f} of the recording"
        return time.strftime("%Y-%m-%d %H:%M UTC%z", time.localtime(wall))


def plain(text: object) -> str:
    """A name from anywhere, fit for one line: no control characters, not endless."""
    return one_line(text, LONGEST_NAME)


def lasting(seconds: float) -> str:
    """A span in the unit of a day's report: hours up to three days, then days."""
    if _DAY <= seconds < 3 * _DAY:
        return f"{seconds / _HOUR:.0f} h"
    return human_seconds(seconds)


def between(low: float, high: float) -> str:
    """Two rates with their unit: "11.0 to 12.9 MiB/h"."""
    return f"{human_span(low, high)}/h"


def headline(report: Report) -> str:
    """The level where it is above NORMAL, and the verdict: what grows, how fast, since when."""
    level = f"{plain(report.level)} now. " if report.level else ""
    return f"{level}{_judged(report)}"


def _judged(report: Report) -> str:
    verdict = report.verdict
    if verdict is None:
        return "No samples, so nothing can be said."
    if verdict.confidence == Confidence.NONE:
        if is_early(verdict):
            return "Too early to say whether it leaks."
        if verdict.kind is Kind.NONE:
            return "No leak is seen."
        return f"No leak is seen: {_CALM.get(verdict.kind, verdict.kind.value)}."
    told = "May leak" if verdict.confidence == Confidence.LOW else "Leaks"
    told += f" {human_bytes(verdict.rate)}/h"
    if verdict.onset is not None:
        told += f" since {Calendar(is_dated=report.is_dated).moment(verdict.onset)}"
    if report.culprits:
        told += f", in {culprit(report.culprits[0])}"
    return f"{told}."


def culprit(one: Culprit) -> str:
    """Who it is, and what it gains: "app.SessionStore._by_id (dict, +3,100 items/h)"."""
    facts = [plain(one.kind)]
    if one.items_per_hour is not None:
        facts.append(f"{one.items_per_hour:+,.0f} items/h")
    if one.bytes_per_hour is not None:
        facts.append(f"{signed(one.bytes_per_hour)}/h")
    return f"{plain(one.name)} ({', '.join(facts)})"


def is_early(verdict: Verdict) -> bool:
    """Whether there were too few samples to judge."""
    facts = verdict.facts
    is_short = facts.samples < RECORDED.min_samples or facts.hours < _SHORT
    return is_short and verdict.confidence == Confidence.NONE


def simple(facts: SimpleFacts) -> str:
    """The growth beside its threshold, where there is enough to say it."""
    if facts.hours < _SHORT:
        return f"needs {RECORDED.min_duration:g} h, has {human_seconds(facts.hours * _HOUR)}"
    return (
        f"{facts.rate:+.1f} MiB/h over {facts.hours:.1f} h, against a threshold of "
        f"{facts.threshold:g} MiB/h; {facts.growing_share:.0%} of the samples grew"
    )


def standing(verdict: Verdict) -> str:
    """What it is, and how sure: "leak in Python objects, high confidence"."""
    if is_early(verdict):
        return "too early to say"
    level = verdict.confidence
    sure = f", {level.name.lower()} confidence" if level != Confidence.NONE else ""
    return f"{verdict.kind.value}{sure}"


def verdict_rows(verdict: Verdict, calendar: Calendar) -> Iterator[tuple[str, str]]:
    """What is told of a verdict: names, and what stands beside them."""
    # Where nothing was weighed yet, a score of zero would be untrue.
    score = "" if is_early(verdict) else f"; score {verdict.score:.2f} of 1"
    yield "kind", f"{standing(verdict)}{score}"
    yield "why", verdict.reason
    if verdict.confidence > Confidence.NONE:
        yield "rate", f"{signed(verdict.rate)}/h ({between(verdict.rate_low, verdict.rate_high)})"
        if verdict.onset is not None:
            yield "since", calendar.date(verdict.onset)
    if verdict.step is not None:
        yield "step", f"{signed(verdict.step.size)} at {calendar.moment(verdict.step.at)}"
    for part in verdict.filling[:ROWS]:
        when = f"full in {human_seconds(part.full_in)}" if part.full_in is not None else "filling"
        size = f" at {human_bytes(part.full_at)}" if part.full_at is not None else ""
        yield "filling", f"{plain(part.name)}: {when}{size}"
    yield "growth rate", simple(verdict.facts)


def outlook(report: Report) -> str:
    """The forecast in one sentence."""
    forecast, limit, headroom = report.forecast, report.limit, report.headroom
    if limit is not None and headroom is not None and headroom < 0:
        return f"Over the limit of {human_bytes(limit)} by {human_bytes(-headroom)} now."
    if forecast.seconds_left is not None:
        left, far = forecast.seconds_left, forecast.latest
        near = human_seconds(forecast.soonest if forecast.soonest is not None else left)
        until = f"to {human_seconds(far)}" if far is not None else "or more"
        return f"Limit reached in {human_seconds(left)} ({near} {until})."
    if forecast.levels_off_at is not None:
        return f"Growth slows down and ends at about {human_bytes(forecast.levels_off_at)}."
    if limit is None:
        return "No limit is known, so there is none to be reached."
    if report.verdict is not None and is_early(report.verdict):
        return "Too early to foretell the limit."
    return "The limit is not in sight."


def filled(part: PartFigure) -> str:
    """How full a part is, beside its bounds: "500 of 1,000 items, 3.2 of 20 MiB"."""
    told = []
    for held, most, tell, unit in (
        (part.items, part.most_items, "{:,}".format, " items"),
        (part.bytes, part.most_bytes, human_bytes, ""),
    ):
        if held is not None:
            told.append(f"{tell(held)}{f' of {tell(most)}' if most is not None else ''}{unit}")
        elif most is not None:
            told.append(f"at most {tell(most)}{unit}")
    if part.ttl is not None:
        told.append(f"kept {human_seconds(part.ttl)}")
    return ", ".join(told) or "nothing known"


def whole_percent(share: float) -> str:
    """A fill in per cent, rounded down: what is not full is not called 100 %."""
    return f"{int(share * 100 + 1e-9)}%"


def grown(part: PartFigure) -> str:
    """What a part gained over the time looked at, or ""."""
    told = [f"{part.grew_items:+,} items"] if part.grew_items else []
    told += [signed(part.grew_bytes)] if part.grew_bytes else []
    return ", ".join(told)


def as_text(report: Report) -> str:
    """The report, its last line ended; no line is longer than 80 columns."""
    calendar = Calendar(is_dated=report.is_dated)
    odd = [
        f"{plain(one.name)} is {one.value:,.4g}, {one.expected:,.4g} was to be expected"
        f"{f' by {plain(one.basis)}' if one.basis else ''} ({one.score:+.0f} deviations)"
        for one in report.anomalies
    ]
    proposed = [
        f"{plain(one.setting)} {one.told}{f' in place of {one.now}' if one.now else ''}: "
        f"{plain(one.reason)}"
        for one in report.proposals
    ]
    events = [
        f"{calendar.moment(one.wall)}  {one.severity:<8} {plain(one.text)}"
        for one in report.happenings[::-1]
    ]
    lines = [*_top(report, calendar), ""]
    for title, body in (
        ("MEMORY", _memory(report, calendar)),
        ("SHARED BY A GROUP", _rows(report.group.lines() if report.group else [])),
        ("LEAK", _leak(report, calendar)),
        ("CACHES AND CONTAINERS", _rows([_part(one) for one in report.parts], 8)),
        ("OPERATIONS", _rows([_operation(one) for one in report.operations])),
        ("UNUSUAL NOW", _rows(odd)),
        ("PROPOSED SETTINGS", _rows(proposed)),
        ("EVENTS, NEWEST FIRST", _rows(events, 20)),
        ("NOTES", (line for note in report.notes for line in _wrapped(note))),
    ):
        if rows := list(body):
            lines += [title, *rows, ""]
    return "\n".join(map(printable, lines[:-1])) + "\n"


def _top(report: Report, calendar: Calendar) -> Iterator[str]:
    pid = f"(pid {report.pid})" if report.pid else ""
    who = " ".join(filter(None, [plain(report.name), pid]))
    yield from wrapped(f"Memory report{f' of {who}' if who else ''}", WIDTH)
    if report.samples:
        count = how_many(len(report.samples))
        when = f"{calendar.date(report.made)}, the last {lasting(report.span)}, {count}"
        yield from wrapped(when, WIDTH)
    yield ""
    yield from wrapped(headline(report), WIDTH)
    if report.samples:
        yield from wrapped(outlook(report), WIDTH)


def _memory(report: Report, calendar: Calendar) -> Iterator[str]:
    if report.use is None or report.resident is None:
        return
    yield f"{_INDENT}{'':<12}{'now':>12}{'average':>12}{'minimum':>12}{'maximum':>12}"
    if report.use != report.resident:
        yield _use("used", report.use)
    yield _use("resident", report.resident)
    if report.limit is not None and report.headroom is not None:
        yield (
            f"{_INDENT}{'limit':<12}{human_bytes(report.limit):>12}   "
            f"{report.use.now / report.limit:.0%} used, "
            f"{human_bytes(max(0, report.headroom))} left"
        )
    for name, size in report.marks.items():
        yield f"{_INDENT}{plain(name):<12}{human_bytes(size):>12}"
    if report.restarts:
        at = ", ".join(calendar.moment(one) for one in report.restarts[-3:])
        yield from _wrapped(f"restarted {how_many(len(report.restarts), 'time')}, last: {at}")


def _use(name: str, use: Use) -> str:
    sizes = (use.now, use.average, use.least, use.most)
    return f"{_INDENT}{name:<12}{''.join(f'{human_bytes(one):>12}' for one in sizes)}"


def _leak(report: Report, calendar: Calendar) -> Iterator[str]:
    if report.verdict is None:
        return
    rows = [*verdict_rows(report.verdict, calendar)]
    for place, one in enumerate(report.culprits[:ROWS], 1):
        share = f", {one.share:.0%} of the growth" if one.share is not None else ""
        rows += [
            (f"culprit {place}", f"{culprit(one)}{share}"),
            ("newest", plain(one.newest)),
            ("held by", " -> ".join(map(plain, one.chain))),
            ("note", plain(one.note)),
        ]
    for name, words in rows:
        if words:
            yield from _wrapped(f"{name:<12}{words}", 12)


def _part(one: PartFigure) -> str:
    fill = "     " if one.fill is None else f"{whole_percent(one.fill):>5}"
    gained = f" [{gain}]" if (gain := grown(one)) else ""
    return f"{fill} {plain(one.name)} ({plain(one.kind)}): {filled(one)}{gained}"


def _operation(one: OperationFigure) -> str:
    told = [f"{one.times:,} times"]
    told += [f"{signed(one.grew)} in all"] if one.grew is not None else []
    told += [f"{human_seconds(one.took)} in all"] if one.took is not None else []
    return f"{plain(one.name)}: {', '.join(told)}"


def _rows(rows: list[str], hanging: int = 2) -> Iterator[str]:
    for one in rows[:ROWS]:
        yield from _wrapped(one, hanging)
    if len(rows) > ROWS:
        yield f"{_INDENT}and {len(rows) - ROWS} more"


def _wrapped(words: str, hanging: int = 2) -> list[str]:
    after = _INDENT + " " * hanging
    return wrapped(words, WIDTH, initial_indent=_INDENT, subsequent_indent=after, expand_tabs=False)
