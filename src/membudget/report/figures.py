"""What a report says, before it is text, JSON or a page: made of samples, or of an answer."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from membudget.core import PartSample, Record
from membudget.core.wire import Amount, Size, record_from
from membudget.errors import ControlError
from membudget.forecast import Anomaly, Forecast, anomalies, forecast
from membudget.leaks.advice import Proposal, propose
from membudget.leaks.culprit import Culprit  # noqa: TC001  # fields are read by it
from membudget.leaks.records import Verdict  # noqa: TC001  # fields are read by it
from membudget.leaks.replay import last_look, thinned
from membudget.leaks.series import HOUR, Series
from membudget.sampling.form import unpacked
from membudget.units import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from membudget.core import Sample

DAY = 24.0
"""Hours that a report looks back."""

LAST = 253_402_300_000.0
"""Unix seconds at the end of the year 9999, which is as far as calendars go here."""

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


class Use(Record):
    """One figure over the time looked at, in bytes."""

    now: int
    average: int
    least: int
    most: int


class PartFigure(PartSample):
    """A cache or a container: what it holds and may hold, how full it is, what it gained.

    `fill` is the fuller of its two shares, None where it has no such bound; the gains are those
    since the process's first sample of the report.
    """

    fill: float | None = None
    grew_items: int | None = None
    grew_bytes: int | None = None


class OperationFigure(Record):
    """Spans of work of one name: how often, bytes left behind and seconds taken, all together."""

    name: str
    times: int
    grew: int | None = None
    took: float | None = None


class Happening(Record):
    """One event of the day: when (Unix seconds), of which kind, how grave, in one line."""

    wall: float
    kind: str
    severity: str
    text: str


class Report(Record):
    """All that a report says.

    Attributes:
        made: Unix seconds of the newest sample; of now where there is none.
        name: What the process is called.
        pid: Its number, or 0.
        is_dated: Whether times are of a calendar; else they count from the recording's begin.
        hours: Hours asked for.
        samples: What was looked at, oldest first.
        span: Seconds between the first and the last of them.
        restarts: When earlier processes were last seen.
        use: The judged figure over the time looked at; None without samples.
        resident: Resident memory likewise.
        limit: Bytes, or None.
        headroom: Bytes left, below zero where it is over; None without a limit.
        marks: Bytes at which levels begin, by name.
        verdict: What was judged; None without samples.
        culprits: Who a leak is laid to, the largest share first.
        parts: Caches and containers, the largest first.
        operations: Spans of work.
        happenings: Events of the day, oldest first.
        forecast: When the limit will be met.
        anomalies: Figures that are odd now.
        proposals: Settings that the history suggests.
        notes: What the reader should know of the data, a sentence each.
    """

    made: float
    name: str
    pid: int
    is_dated: bool
    hours: float
    samples: tuple[Sample, ...]
    span: float
    restarts: tuple[float, ...]
    use: Use | None
    resident: Use | None
    limit: int | None
    headroom: int | None
    marks: Mapping[str, int]
    verdict: Verdict | None
    culprits: tuple[Culprit, ...]
    parts: tuple[PartFigure, ...]
    operations: tuple[OperationFigure, ...]
    happenings: tuple[Happening, ...]
    forecast: Forecast
    anomalies: tuple[Anomaly, ...]
    proposals: tuple[Proposal, ...]
    notes: tuple[str, ...]


def report(
    samples: Iterable[Sample],
    *,
    hours: float = DAY,
    name: str = "",
    is_dated: bool = True,
    verdict: Verdict | None = None,
    culprits: Iterable[Culprit] = (),
    operations: Iterable[OperationFigure] = (),
    happenings: Iterable[Happening] = (),
    proposals: Iterable[Proposal] | None = None,
    marks: Mapping[str, int] | None = None,
    peaks: Iterable[tuple[float, int, int]] = (),
    notes: Iterable[str] = (),
) -> Report:
    """The report on these samples, oldest first; those before the newest `hours` are judged alone.

    Args:
        samples: Oldest first.
        hours: Hours looked back.
        name: What the process is called.
        is_dated: Whether `wall` is Unix seconds; else seconds since the recording began.
        verdict: The standing one; None judges the samples.
        culprits: Who a leak is laid to.
        operations: Spans of work.
        happenings: Events of the day.
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
    first = now - hours * HOUR
    shown = tuple(one for one in every if one.wall >= first)
    newest = shown[-1] if shown else None
    judged = verdict if verdict is not None else last_look(every)
    limit = (newest.limit if newest is not None else None) or None  # Some write 0 for none.
    high = [one for one in peaks if one[0] >= first]
    thin = thinned(every)
    series = Series.of(thin) if every else None
    if proposals is None:
        is_growing = bool(judged is not None and judged.confidence)
        proposals = propose(thin, is_growing=is_growing)
    return Report(
        made=now,
        name=name,
        pid=newest.pid if newest is not None else 0,
        is_dated=is_dated,
        hours=hours,
        samples=shown,
        span=shown[-1].wall - shown[0].wall if shown else 0.0,
        restarts=tuple(
            before.wall
            for before, after in pairwise(shown)
            if (before.pid, before.began) != (after.pid, after.began)
        ),
        use=_use([one.used for one in shown], [used for _, used, _ in high]),
        resident=_use([one.rss for one in shown], [resident for _, _, resident in high]),
        limit=limit,
        headroom=None if newest is None or limit is None else limit - newest.used,
        marks=dict(marks or {}),
        verdict=judged,
        culprits=tuple(culprits),
        parts=_parts(shown),
        operations=tuple(operations),
        happenings=tuple(one for one in happenings if one.wall >= first),
        forecast=_outlook(thin, series),
        anomalies=() if series is None else tuple(_odd(series)),
        proposals=tuple(proposals),
        notes=tuple(notes),
    )


def happenings(kept: Iterable[Iterable[object]]) -> tuple[Happening, ...]:
    """What was kept of events, oldest first.

    Args:
        kept: Unix seconds, name of the event's type, severity and line of each.
    """
    found = []
    for wall, name, severity, text in kept:
        kind = KINDS.get(str(name))
        if kind is not None and isinstance(wall, (int, float)):
            line = " ".join(str(text).split())[:_LONGEST]
            found.append(Happening(wall=float(wall), kind=kind, severity=str(severity), text=line))
    return tuple(sorted(found, key=lambda one: one.wall))


def _parts(samples: Sequence[Sample]) -> tuple[PartFigure, ...]:
    """The parts of the newest sample, the largest first, with what each gained in this process."""
    if not samples:
        return ()
    newest = samples[-1]
    own = [one for one in samples if (one.pid, one.began) == (newest.pid, newest.began)]
    first = {part.name: part for one in reversed(own) for part in one.parts}
    found = [_part(part, first[part.name]) for part in newest.parts]
    return tuple(sorted(found, key=lambda one: (-(one.bytes or 0), -(one.items or 0), one.name)))


def _part(part: PartSample, first: PartSample) -> PartFigure:
    fills = [
        held / most
        for held, most in ((part.items, part.most_items), (part.bytes, part.most_bytes))
        if held is not None and most
    ]
    return PartFigure(
        **part.as_dict(),
        fill=max(fills, default=None),
        grew_items=_gain(part.items, first.items),
        grew_bytes=_gain(part.bytes, first.bytes),
    )


def _gain(now: int | None, first: int | None) -> int | None:
    return None if now is None or first is None else now - first


def _outlook(own: Sequence[Sample], series: Series | None) -> Forecast:
    """When the limit will be met, as the curve goes on."""
    if series is None:
        return Forecast(used=0, limit=None)
    used = [one.used / 2**20 for one in own[-len(series.hours) :]]
    return forecast(series.hours, used, own[-1].limit or None, bounded=series.explained)


def _odd(series: Series) -> Iterable[Anomaly]:
    """What is unlike the same hour before, and unlike the latest spread."""
    columns = {
        "resident memory (MiB)": series.rss,
        "C heap in use (MiB)": series.malloc,
        "live Python blocks": series.blocks,
        "requests a second": series.requests,
    }
    known = {name: column for name, column in columns.items() if column is not None}
    return anomalies(series.hours, known)


def _use(values: Sequence[int], peaks: Sequence[int]) -> Use | None:
    if not values:
        return None
    return Use(
        now=values[-1],
        average=round(sum(values) / len(values)),
        least=min(values),
        most=max(*values, *peaks, 0),
    )


class DayAnswer(Record):
    """What is answered to "samples" beside the samples themselves.

    `marks` are bytes by name; `peaks` are when, and the highest judged use and resident set from
    then on; `events` are when, which kind, how grave, and the line; `left_out` counts older samples
    that were not told.
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
    """The report on what a process has answered to "samples", on the side of who asked.

    Raises:
        ControlError: The answer is not understood.
    """
    try:
        samples = unpacked(answer)
        told = record_from(DayAnswer, answer)
        events = happenings(told.events)
        walls = [one.wall for one in samples] + [one.wall for one in events]
        walls += [at for at, *_ in told.peaks]
        if (verdict := told.verdict) is not None:
            step = verdict.step.at if verdict.step is not None else None
            walls += [at for at in (verdict.at, verdict.onset, step) if at is not None]
        for wall in walls:
            if not 0 <= wall <= LAST:
                raise ValueError(f"{wall:g} s lies outside the years 1970 to 9999")  # noqa: TRY301
        return report(
            samples,
            hours=hours,
            name=told.name,
            verdict=verdict,
            proposals=told.proposals,
            culprits=told.culprits,
            marks=told.marks,
            peaks=told.peaks,
            happenings=events,
            notes=[f"{told.left_out:,} older samples were left out."] if told.left_out else [],
        )
    except (LookupError, ArithmeticError, ValueError, TypeError, AttributeError) as error:
        raise ControlError(
            f"the samples of process {answer.get('pid')!r:.20} are not understood "
            f"({type(error).__name__}: {one_line(error, 300)}): use the same version of membudget "
            "on both sides"
        ) from error
