"""From samples to a `Report`: use, fill, restarts, verdict, forecast, anomalies.

Events as the report tells them: one line each, kept as text from the moment they happen.

An event may hold an exception, and that its frames; a line holds nothing.
"""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING

from membudget import forecast as ahead
from membudget.leaks.advice import propose
from membudget.leaks.replay import RECORDED, last_look, thinned
from membudget.leaks.series import HOUR, Series
from membudget.report.chain import svg
from membudget.report.records import Happening, Odd, PartFigure, Report, Use

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from membudget.core import PartSample, Sample
    from membudget.leaks.advice import Proposal
    from membudget.leaks.culprit import Culprit
    from membudget.leaks.records import Rules, Verdict
    from membudget.report.records import ModelFigure, OperationFigure


KINDS = {
    "AdmissionRefused": "refused",
    "BrakeHit": "brake",
    "ComponentStarted": "component",
    "ComponentStopped": "component",
    "Failed": "failure",
    "Late": "late",
    "LeakSuspected": "leak",
    "LimitExceeded": "over its limit",
    "LimitForeseen": "limit in sight",
    "OperationGrew": "operation",
    "PressureChanged": "level",
    "ProposalApplied": "setting",
    "ProtectionTried": "protection",
    "Reclaimed": "reclaimed",
}
"""What each type of event is called in a report; the others are not told there."""

_LONGEST = 300


def happenings(
    kept: Iterable[Iterable[object]], hours: float | None = None
) -> tuple[Happening, ...]:
    """What was kept of events, oldest first.

    Args:
        kept: Unix seconds, name of the event's type, severity and line of each.
        hours: Only those of so many hours before the newest; None takes all.
    """
    found = []
    for wall, name, severity, text in kept:
        kind = KINDS.get(str(name))
        if kind is not None and isinstance(wall, (int, float)):
            line = " ".join(str(text).split())[:_LONGEST]
            found.append(Happening(wall=float(wall), kind=kind, severity=str(severity), text=line))
    found.sort(key=lambda one: one.wall)
    newest = found[-1].wall if found else 0.0
    return tuple(one for one in found if hours is None or one.wall >= newest - hours * 3600.0)


DAY = 24.0
"""Hours that a report looks back."""


def report(
    samples: Iterable[Sample],
    *,
    hours: float = DAY,
    name: str = "",
    is_dated: bool = True,
    verdict: Verdict | None = None,
    rules: Rules = RECORDED,
    culprits: Iterable[Culprit] = (),
    chain: str = "",
    models: Iterable[ModelFigure] = (),
    operations: Iterable[OperationFigure] = (),
    happenings: Iterable[Happening] = (),
    forecast: ahead.Forecast | None = None,
    anomalies: Iterable[Odd] | None = None,
    proposals: Iterable[Proposal] | None = None,
    marks: Mapping[str, int] | None = None,
    peaks: Iterable[tuple[float, int, int]] = (),
    notes: Iterable[str] = (),
) -> Report:
    """The report on these samples.

    Args:
        samples: Oldest first; those before the newest `hours` only serve the verdict.
        hours: Hours looked back.
        name: What the process is called.
        is_dated: Whether `wall` is Unix seconds; else seconds since the recording began.
        verdict: The standing one; None judges the samples.
        rules: What judging demands.
        culprits: Who a leak is laid to.
        chain: A drawing (SVG) of the chain to the first of them; by default it is drawn.
        models: Models.
        operations: Spans of work.
        happenings: Events of the day.
        forecast: When the limit will be met; None forecasts.
        anomalies: What is odd; None looks.
        proposals: Settings that the history suggests; None looks, and takes those in use for the
            defaults.
        marks: Bytes at which levels begin, by name.
        peaks: What was seen between samples: when, the highest judged use and resident set.
        notes: What the reader should know of the data.

    Returns:
        The report. About 0.2 s where a day has to be judged, 5 ms where a verdict is given.
    """
    every = tuple(samples)
    now = every[-1].wall if every else time.time()
    shown = tuple(one for one in every if one.wall >= now - hours * HOUR)
    newest = shown[-1] if shown else None
    judged = verdict if verdict is not None else last_look(every, rules=rules)
    limit = (newest.limit if newest is not None else None) or None  # Some write 0 for none.
    suspected = tuple(culprits)
    high = [one for one in peaks if one[0] >= now - hours * HOUR]
    return Report(
        made=now,
        name=name,
        pid=newest.pid if newest is not None else 0,
        is_dated=is_dated,
        hours=hours,
        samples=shown,
        span=shown[-1].wall - shown[0].wall if shown else 0.0,
        restarts=restarts(shown),
        use=_use([one.used for one in shown], [used for _, used, _ in high]),
        resident=_use([one.rss for one in shown], [resident for _, _, resident in high]),
        limit=limit,
        headroom=None if newest is None or limit is None else limit - newest.used,
        marks=dict(marks or {}),
        verdict=judged,
        culprits=suspected,
        chain=chain or drawn(suspected),
        parts=parts(shown),
        models=tuple(models),
        operations=tuple(operations),
        happenings=tuple(one for one in happenings if one.wall >= now - hours * HOUR),
        forecast=forecast if forecast is not None else outlook(every),
        anomalies=tuple(odd(every) if anomalies is None else anomalies),
        proposals=tuple(_proposed(every, judged) if proposals is None else proposals),
        notes=tuple(notes),
    )


def restarts(samples: Sequence[Sample]) -> tuple[float, ...]:
    """When each process but the newest was last seen, in Unix seconds."""
    return tuple(
        before.wall
        for before, after in pairwise(samples)
        if (before.pid, before.began) != (after.pid, after.began)
    )


def parts(samples: Sequence[Sample]) -> tuple[PartFigure, ...]:
    """The parts of the newest sample, the largest first, with what each gained in this process."""
    if not samples:
        return ()
    newest = samples[-1]
    own = [one for one in samples if (one.pid, one.began) == (newest.pid, newest.began)]
    first = {part.name: part for one in reversed(own) for part in one.parts}
    found = [_part(part, first[part.name]) for part in newest.parts]
    return tuple(sorted(found, key=lambda one: (-(one.bytes or 0), -(one.items or 0), one.name)))


def drawn(culprits: Sequence[Culprit]) -> str:
    """The drawing of the chain to the first of them; empty where none is known."""
    return svg(culprits[0].chain) if culprits and culprits[0].chain else ""


def outlook(samples: Sequence[Sample]) -> ahead.Forecast:
    """When the limit will be met, as the curve goes on."""
    if not samples:
        return ahead.Forecast(used=0, limit=None)
    own = thinned(samples)
    series = Series.of(own)
    used = [one.used / 2**20 for one in own[-len(series.hours) :]]
    return ahead.forecast(series.hours, used, samples[-1].limit or None, bounded=series.explained)


def odd(samples: Sequence[Sample]) -> Iterable[Odd]:
    """What is unlike the same hour before, and unlike the latest spread."""
    if not samples:
        return
    own = thinned(samples)
    series = Series.of(own)
    columns = {"resident memory (MiB)": series.rss}
    others = {
        "C heap in use (MiB)": series.malloc,
        "live Python blocks": series.blocks,
        "requests a second": series.requests,
    }
    columns |= {name: column for name, column in others.items() if column is not None}
    for one in ahead.anomalies(series.hours, columns):
        yield Odd(
            name=one.name,
            value=one.value,
            expected=one.expected,
            score=one.score,
            basis=one.basis,
        )


def _proposed(samples: Sequence[Sample], verdict: Verdict | None) -> Iterable[Proposal]:
    return propose(thinned(samples), is_growing=bool(verdict is not None and verdict.confidence))


def _use(values: Sequence[int], peaks: Sequence[int]) -> Use | None:
    if not values:
        return None
    return Use(
        now=values[-1],
        average=round(sum(values) / len(values)),
        least=min(values),
        most=max(*values, *peaks, 0),
    )


def _part(part: PartSample, first: PartSample) -> PartFigure:
    fills = [
        held / most
        for held, most in ((part.items, part.most_items), (part.bytes, part.most_bytes))
        if held is not None and most
    ]
    return PartFigure(
        name=part.name,
        kind=part.kind,
        items=part.items,
        bytes=part.bytes,
        most_items=part.most_items,
        most_bytes=part.most_bytes,
        ttl=part.ttl,
        fill=max(fills, default=None),
        grew_items=_gain(part.items, first.items),
        grew_bytes=_gain(part.bytes, first.bytes),
    )


def _gain(now: int | None, first: int | None) -> int | None:
    return None if now is None or first is None else now - first
