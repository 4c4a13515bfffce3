"""What a report says before it is text or a page, made of samples or of an answer; and as JSON."""

from __future__ import annotations

import time
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Any

from membudget.core import PartSample, Record
from membudget.core.native import in_one_go
from membudget.core.nouns import GroupState  # noqa: TC001  # a field is read by it
from membudget.core.wire import Amount, Size, record_from
from membudget.errors import ControlError
from membudget.forecast import Anomaly, Forecast, anomalies, forecast
from membudget.leaks import Verdict  # noqa: TC001  # fields are read by it
from membudget.leaks.advice import Proposal, proposing
from membudget.leaks.culprit import Culprit  # noqa: TC001  # fields are read by it
from membudget.leaks.series import HOUR, Series
from membudget.leaks.verdict import last_look, thinned
from membudget.sampling.form import unpacked
from membudget.units import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from membudget.core import Sample

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


class Use(Record):
    """One figure over the time looked at, in bytes."""

    now: int
    average: int
    least: int
    most: int


class PartFigure(PartSample):
    """A cache or a container: what it holds and may hold, how full it is, what it gained."""

    fill: float | None = None  # The fuller of its two shares; None where it has no such bound
    grew_items: int | None = None  # Since the process's first sample of the report
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
    """All that a report says; in bytes, and in Unix seconds or, undated, those of the recording."""

    made: float  # When the newest sample was taken; now where there is none
    name: str
    pid: int
    is_dated: bool
    hours: float  # Asked for
    samples: tuple[Sample, ...]  # Oldest first
    span: float  # Seconds from the first of them to the last
    restarts: tuple[float, ...]  # When earlier processes were last seen
    use: Use | None  # The judged figure; None without samples
    resident: Use | None
    limit: int | None
    headroom: int | None  # Below zero where the limit is exceeded
    marks: Mapping[str, int]  # Where levels begin
    verdict: Verdict | None  # None without samples
    culprits: tuple[Culprit, ...]  # The largest share first
    parts: tuple[PartFigure, ...]  # The largest first
    operations: tuple[OperationFigure, ...]
    happenings: tuple[Happening, ...]  # Oldest first
    forecast: Forecast
    anomalies: tuple[Anomaly, ...]
    proposals: tuple[Proposal, ...]
    notes: tuple[str, ...]
    group: GroupState | None = None  # Where several processes share the limit
    level: str = ""  # Of a running process, where it is above NORMAL

    def __str__(self) -> str:
        """The text of `membudget report`, which `print` shows; no line is over 80 columns."""
        from membudget.report.text import as_text  # only for those who read it

        return as_text(self)[:-1]

    def as_html(self) -> str:
        """One page with charts, in ASCII. A day of samples takes about 5 ms and 130 KiB."""
        from membudget.report.page import page_of  # only for those who make one

        return page_of(self)

    def as_json(self) -> dict[str, Any]:
        """The report as plain values for JSON; `docs/reference/files.md` has the keys.

        They are stable, and units are in their names. What is not known is null, never 0.
        """
        memory = {
            "samples": len(self.samples),
            "span_s": self.span,
            "restarts_unix_s": self.restarts,
            "limit_bytes": self.limit,
            "headroom_bytes": self.headroom,
            "marks_bytes": dict(self.marks),
            "used_bytes": self.use,
            "resident_bytes": self.resident,
        }
        proposals = [
            {
                "setting": one.setting,
                "key": one.key or None,
                "proposed": one.told,
                "now": one.now or None,
                "reason": one.reason,
            }
            for one in self.proposals
        ]
        names = ("seconds_left", "soonest", "latest", "levels_off_at")
        made: dict[str, Any] = finite(
            {
                "schema": SCHEMA,
                "made_unix_s": self.made,
                "is_dated": self.is_dated,
                "process": {"name": self.name, "pid": self.pid},
                "hours": self.hours,
                "memory": memory,
                "group": self.group and group_as_json(self.group),
                "leak": None if self.verdict is None else verdict_as_json(self.verdict),
                "culprits": self.culprits,
                "parts": self.parts,
                "models": [],
                "operations": self.operations,
                "events": self.happenings,
                "forecast": {_NAMES[name]: getattr(self.forecast, name) for name in names},
                "anomalies": self.anomalies,
                "proposals": proposals,
                "notes": self.notes,
            }
        )
        return made


def report(
    samples: Iterable[Sample],
    *,
    hours: float = 24.0,
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
    group: GroupState | None = None,
    level: str = "",
) -> Report:
    """The report on these samples, oldest first; those before the newest `hours` are judged alone.

    What is given stands in it as `Report` has it. None for `verdict` judges the samples; for
    `proposals` it looks for them, and takes the settings in use for the defaults. `peaks` are what
    was seen between samples: when, and the highest judged use and resident set. Cost: 0.2 s where a
    day has to be judged, 5 ms where a verdict is given.
    """
    every = tuple(samples)
    now = every[-1].wall if every else time.time()
    first = now - hours * HOUR
    shown = tuple(one for one in every if one.wall >= first)
    newest = shown[-1] if shown else None
    limit = (newest.limit if newest is not None else None) or None  # Some write 0 for none.
    high = [one for one in peaks if one[0] >= first]
    if verdict is None:
        verdict = last_look(every)
    thin = thinned(every)
    if proposals is None:
        proposals = in_one_go(
            proposing(thin, is_growing=verdict is not None and bool(verdict.confidence))
        )
    ahead, odd = Forecast(used=0, limit=None), tuple[Anomaly, ...]()
    if every:
        series = Series.of(thin)
        used = [one.used / 2**20 for one in thin[-len(series.hours) :]]
        ahead = forecast(series.hours, used, every[-1].limit or None, bounded=series.explained)
        columns = {
            "resident memory (MiB)": series.rss,
            "C heap in use (MiB)": series.malloc,
            "live Python blocks": series.blocks,
            "requests a second": series.requests,
        }
        known = {name: column for name, column in columns.items() if column is not None}
        odd = tuple(anomalies(series.hours, known))
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
        verdict=verdict,
        culprits=tuple(culprits),
        parts=_parts(shown),
        operations=tuple(operations),
        happenings=tuple(one for one in happenings if one.wall >= first),
        forecast=ahead,
        anomalies=odd,
        proposals=tuple(proposals),
        notes=tuple(notes),
        group=group,
        level=level,
    )


def _use(values: Sequence[int], peaks: Sequence[int]) -> Use | None:
    if not values:
        return None
    return Use(
        now=values[-1],
        average=round(sum(values) / len(values)),
        least=min(values),
        most=max(*values, *peaks, 0),
    )


def _parts(samples: Sequence[Sample]) -> tuple[PartFigure, ...]:
    """The parts of the newest sample, the largest first, with what each gained in this process."""
    first: dict[str, PartSample] = {}
    for one in reversed(samples):
        if (one.pid, one.began) == (samples[-1].pid, samples[-1].began):
            first |= {part.name: part for part in one.parts}
    found = []
    for part in samples[-1].parts if samples else ():
        bounds = ((part.items, part.most_items), (part.bytes, part.most_bytes))
        fills = [held / most for held, most in bounds if held is not None and most]
        figure = PartFigure(
            **part.as_dict(),
            fill=max(fills, default=None),
            grew_items=_gain(part.items, first[part.name].items),
            grew_bytes=_gain(part.bytes, first[part.name].bytes),
        )
        found.append(figure)
    return tuple(sorted(found, key=lambda one: (-(one.bytes or 0), -(one.items or 0), one.name)))


def _gain(now: int | None, first: int | None) -> int | None:
    return None if now is None or first is None else now - first


def happenings(kept: Iterable[tuple[float, str, str, str]]) -> tuple[Happening, ...]:
    """What was kept of events: Unix seconds, type's name, severity and line; oldest first."""
    found = []
    for wall, name, severity, text in kept:
        if (kind := KINDS.get(name)) is not None:
            line = " ".join(text.split())[:300]
            found.append(Happening(wall=float(wall), kind=kind, severity=severity, text=line))
    return tuple(sorted(found, key=lambda one: one.wall))


class DayAnswer(Record):
    """What is answered to "samples" beside them."""

    name: str
    verdict: Verdict | None
    marks: dict[str, Size]
    events: tuple[tuple[float, str, str, str], ...]  # When, which kind, how grave, and the line
    culprits: tuple[Culprit, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    peaks: tuple[tuple[Amount, Size, Size], ...] = ()  # When, highest judged use and resident set
    group: GroupState | None = None
    level: str = ""
    left_out: Size = 0  # Older samples that were not told


def answered(answer: Mapping[str, Any], hours: float = 24.0) -> Report:
    """The report on what a process has answered to "samples"; `ControlError` where that is odd."""
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
            group=told.group,
            level=told.level,
            notes=[f"{told.left_out:,} older samples were left out."] if told.left_out else [],
        )
    except (LookupError, ArithmeticError, ValueError, TypeError, AttributeError) as error:
        raise ControlError(
            f"the samples of process {answer.get('pid')!r:.20} are not understood "
            f"({type(error).__name__}: {one_line(error, 300)}): use the same version of membudget "
            "on both sides"
        ) from error


SCHEMA = "membudget.report/1"

_UNITS = {
    "_s": ("took", "ttl", "full_in", "seconds_left", "soonest", "latest", "window"),
    "_bytes": ("grew", "growth", "size", "full_at", "levels_off_at"),
    "_bytes_per_hour": ("rate", "rate_low", "rate_high"),
    "_unix_s": ("at", "onset"),
    "_share": ("fill",),
}
_NAMES = {name: name + unit for unit, names in _UNITS.items() for name in names} | {
    "bytes": "held_bytes",
    "most_items": "max_items",
    "most_bytes": "max_bytes",
    "share": "growth_share",
    "least": "minimum",
    "most": "maximum",
    "wall": "at_unix_s",
}
"""What a field of a record is called in JSON, where that is not its own name."""

_FACTS = {
    "rate": "rate_mib_per_hour",
    "threshold": "threshold_mib_per_hour",
    "growth_per_sample": "growth_per_sample_share",
    "running": "running_samples",
    "growth_over_window": "growth_over_window_share",
}
"""The same for the facts of the simple rule."""

_GROUP = {name: f"{name}_bytes" for name in ("room", "used", "held", "share")}


def group_as_json(group: GroupState) -> dict[str, Any]:
    """A group under the report's names."""
    rows = [finite(one, _GROUP) for one in group.rows]
    return {**finite(group, _GROUP), "rows": rows}


def verdict_as_json(verdict: Verdict) -> dict[str, Any]:
    """A verdict under the report's names."""
    made: dict[str, Any] = finite(verdict)
    return made | {
        "kind": verdict.kind.value,
        "confidence": verdict.confidence.name.lower(),
        "is_leak": verdict.is_leak,
        "simple": finite(verdict.facts, _FACTS),
    }


def finite(value: Any, names: Mapping[str, str] = _NAMES) -> Any:
    """The same as JSON has it: records as objects, and null for infinities and NaN."""
    if isinstance(value, Record):
        value = {
            names.get(name, name): one
            for name, one in value.as_dict().items()
            if name not in ("spread", "facts", "is_kind_sure")
        }
    if isinstance(value, dict):
        return {str(key): finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value
