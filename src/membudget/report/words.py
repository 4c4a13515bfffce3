"""The sentences that text and page have in common."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from membudget.core import Record
from membudget.leaks.records import Confidence, Kind
from membudget.leaks.replay import RECORDED
from membudget.units import LONGEST_NAME, human_bytes, human_seconds, human_span, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from membudget.forecast import Forecast
    from membudget.leaks.culprit import Culprit
    from membudget.leaks.records import SimpleFacts, Verdict
    from membudget.report.records import PartFigure, Report

ROWS = 12
"""Of a kind, so many are told."""

_HOUR, _DAY = 3600.0, 86400.0
_NEARLY = 0.9
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

    def offset(self, wall: float) -> int:
        """Seconds east of Greenwich."""
        return time.localtime(wall).tm_gmtoff if self.is_dated else 0


def plain(text: object) -> str:
    """A name from anywhere, fit for one line: no control characters, not endless."""
    return one_line(text, LONGEST_NAME)


def lasting(seconds: float) -> str:
    """A span in the unit of a day's report: hours up to three days, then days."""
    if _DAY <= seconds < 3 * _DAY:
        return f"{seconds / _HOUR:.0f} h"
    return human_seconds(seconds)


def signed(size: float) -> str:
    """Bytes with their sign: "+12.0 MiB"."""
    return f"{'-' if size < 0 else '+'}{human_bytes(abs(size))}"


def between(low: float, high: float) -> str:
    """Two rates with their unit: "11.0 to 12.9 MiB/h"."""
    return f"{human_span(low, high)}/h"


def headline(report: Report) -> str:
    """The verdict in one sentence: what grows, how fast, since when, in what."""
    verdict = report.verdict
    if verdict is None:
        return "No samples, so nothing can be said."
    if verdict.confidence == Confidence.NONE:
        if is_early(verdict):
            return "Too early to say whether it leaks."
        if verdict.kind is Kind.NONE:
            return "No leak is seen."
        return f"No leak is seen: {_CALM.get(verdict.kind, verdict.kind.value)}."
    calendar = Calendar(is_dated=report.is_dated)
    sure = {Confidence.LOW: "May leak", Confidence.MEDIUM: "Leaks"}.get(verdict.confidence, "Leaks")
    since = f" since {calendar.moment(verdict.onset)}" if verdict.onset is not None else ""
    told = f"{sure} {human_bytes(verdict.rate)}/h{since}"
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
    is_short = facts.hours < _NEARLY * RECORDED.min_duration
    return verdict.confidence == Confidence.NONE and (
        facts.samples < RECORDED.min_samples or is_short
    )


def simple(facts: SimpleFacts) -> str:
    """What the simple rule says, where it has enough to say it."""
    if facts.hours < _NEARLY * RECORDED.min_duration:
        return f"needs {RECORDED.min_duration:g} h, has {human_seconds(facts.hours * _HOUR)}"
    return (
        f"{facts.rate:+.1f} MiB/h over {facts.hours:.1f} h, where the rule is "
        f"{facts.threshold:g} MiB/h; {facts.growing_share:.0%} of the samples grew"
    )


def standing(verdict: Verdict) -> str:
    """What it is, and how sure: "leak in Python objects, high confidence"."""
    if is_early(verdict):
        return "too early to say"
    if verdict.confidence == Confidence.NONE:
        return str(verdict.kind.value)
    return f"{verdict.kind.value}, {verdict.confidence.name.lower()} confidence"


def verdict_rows(verdict: Verdict, calendar: Calendar) -> Iterator[tuple[str, str]]:
    """What is told of a verdict: names, and what stands beside them."""
    # Where nothing was weighed yet, a score of zero would be untrue.
    score = "" if is_early(verdict) else f"; score {verdict.score:.2f} of 1"
    yield "kind", f"{standing(verdict)}{score}"
    yield "why", verdict.reason
    if verdict.confidence > Confidence.NONE:
        low_high = between(verdict.rate_low, verdict.rate_high)
        yield "rate", f"{signed(verdict.rate)}/h ({low_high})"
        if verdict.onset is not None:
            yield "since", calendar.date(verdict.onset)
    if verdict.step is not None:
        yield "step", f"{signed(verdict.step.size)} at {calendar.moment(verdict.step.at)}"
    for part in verdict.filling[:ROWS]:
        when = f"full in {human_seconds(part.full_in)}" if part.full_in is not None else "filling"
        size = f" at {human_bytes(part.full_at)}" if part.full_at is not None else ""
        yield "filling", f"{plain(part.name)}: {when}{size}"
    yield "simple rule", simple(verdict.facts)


def outlook(forecast: Forecast, limit: int | None, headroom: int | None) -> str:
    """The forecast in one sentence."""
    if limit is not None and headroom is not None and headroom <= 0:
        return f"Over the limit of {human_bytes(limit)} by {human_bytes(-headroom)} now."
    if forecast.seconds_left is not None:
        near = forecast.soonest if forecast.soonest is not None else forecast.seconds_left
        interval = (
            f"{human_seconds(near)} to {human_seconds(forecast.latest)}"
            if forecast.latest is not None
            else f"{human_seconds(near)} or more"
        )
        return f"Limit reached in {human_seconds(forecast.seconds_left)} ({interval})."
    if forecast.levels_off_at is not None:
        return f"Growth slows down and ends at about {human_bytes(forecast.levels_off_at)}."
    if limit is None:
        return "No limit is known, so there is none to be reached."
    return "The limit is not in sight."


def filled(part: PartFigure) -> str:
    """How full a part is, beside its bounds: "500 of 1,000 items, 3.2 of 20 MiB"."""
    told = []
    if part.items is not None:
        of = f" of {part.most_items:,}" if part.most_items is not None else ""
        told.append(f"{part.items:,}{of} items")
    elif part.most_items is not None:
        told.append(f"at most {part.most_items:,} items")
    if part.bytes is not None:
        of = f" of {human_bytes(part.most_bytes)}" if part.most_bytes is not None else ""
        told.append(f"{human_bytes(part.bytes)}{of}")
    elif part.most_bytes is not None:
        told.append(f"at most {human_bytes(part.most_bytes)}")
    if part.ttl is not None:
        told.append(f"kept {human_seconds(part.ttl)}")
    return ", ".join(told) or "nothing known"


def whole_percent(share: float) -> str:
    """A fill in per cent, rounded down: what is not full is not called 100 %."""
    return f"{int(share * 100 + 1e-9)}%"


def grown(part: PartFigure) -> str:
    """What a part gained over the time looked at, or ""."""
    told = []
    if part.grew_items:
        told.append(f"{part.grew_items:+,} items")
    if part.grew_bytes:
        told.append(signed(part.grew_bytes))
    return ", ".join(told)
