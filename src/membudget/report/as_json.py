"""The report as plain values for JSON; keys are stable, and units are in their names.

    schema                "membudget.report/1"; another number where a key changes its meaning
    made_unix_s           when; with is_dated false, seconds since the recording began, as all times
    is_dated              whether times are Unix seconds
    process               {name, pid}
    hours                 hours asked for
    memory                {samples, span_s, restarts_unix_s: [], limit_bytes, headroom_bytes,
                          marks_bytes: {}, used_bytes and resident_bytes: {now, average, minimum,
                          maximum} or null}
    leak                  null without samples; else {kind, confidence: none low medium high, score:
                          0 to 1, rate_bytes_per_hour, rate_low_..., rate_high_...,
                          onset_unix_s,
                          growth_bytes, growing_share, window_s, reason, is_leak,
                          levels_off_at_bytes, wants_collection,
                          step: {at_unix_s, size_bytes} or null,
                          filling: [{name, full_in_s, full_at_bytes, fill_share,
                          rate_bytes_per_hour}], simple: {rate_mib_per_hour,
                          threshold_mib_per_hour, hours, samples, is_above, growing_share,
                          growth_per_sample_share, running_samples, growth_over_window_share}}
    culprits              [{name, kind, items_per_hour, bytes_per_hour, growth_share, newest,
                          chain: [], note}]
    parts                 [{name, kind, items, held_bytes, max_items, max_bytes, ttl_s, fill_share,
                          grew_items, grew_bytes}]
    models                []: none are told of yet
    operations            [{name, times, grew_bytes, took_s}]
    events                [{at_unix_s, kind, severity, text}], oldest first
    forecast              {seconds_left_s, soonest_s, latest_s, levels_off_at_bytes}
    anomalies             [{name, value, expected, score, basis}]; the unit is in the name
    proposals             [{setting, key, proposed, now, reason}]: settings that the history
                          suggests; key is null where only the program can change it, now where
                          nothing holds; both values are text as a settings file has them
    notes                 [text]

What is not known is null, never 0.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from membudget.core import Record
    from membudget.leaks.records import Verdict
    from membudget.report.figures import Report

SCHEMA = "membudget.report/1"

_NAMES = {
    "bytes": "held_bytes",
    "most_items": "max_items",
    "most_bytes": "max_bytes",
    "grew": "grew_bytes",
    "took": "took_s",
    "ttl": "ttl_s",
    "fill": "fill_share",
    "share": "growth_share",
    "least": "minimum",
    "most": "maximum",
    "wall": "at_unix_s",
    "at": "at_unix_s",
    "onset": "onset_unix_s",
    "size": "size_bytes",
    "full_in": "full_in_s",
    "full_at": "full_at_bytes",
    "levels_off_at": "levels_off_at_bytes",
    "seconds_left": "seconds_left_s",
    "soonest": "soonest_s",
    "latest": "latest_s",
    "rate": "rate_bytes_per_hour",
    "rate_low": "rate_low_bytes_per_hour",
    "rate_high": "rate_high_bytes_per_hour",
    "growth": "growth_bytes",
    "window": "window_s",
    "spread": "",
    "facts": "",
    "is_kind_sure": "",
}
"""What a field of a record is called here, where that is not its own name; "" is not told."""

_FACTS = {
    "rate": "rate_mib_per_hour",
    "threshold": "threshold_mib_per_hour",
    "growth_per_sample": "growth_per_sample_share",
    "running": "running_samples",
    "growth_over_window": "growth_over_window_share",
}
"""The same for the facts of the simple rule."""


def as_json(report: Report) -> dict[str, Any]:
    """The report as dicts, lists, text and numbers that any JSON can hold."""
    found = {
        "schema": SCHEMA,
        "made_unix_s": report.made,
        "is_dated": report.is_dated,
        "process": {"name": report.name, "pid": report.pid},
        "hours": report.hours,
        "memory": {
            "samples": len(report.samples),
            "span_s": report.span,
            "restarts_unix_s": report.restarts,
            "limit_bytes": report.limit,
            "headroom_bytes": report.headroom,
            "marks_bytes": dict(report.marks),
            "used_bytes": _told(report.use),
            "resident_bytes": _told(report.resident),
        },
        "leak": None if report.verdict is None else verdict_as_json(report.verdict),
        "culprits": [_told(one) for one in report.culprits],
        "parts": [_told(one) for one in report.parts],
        "models": [],
        "operations": [_told(one) for one in report.operations],
        "events": [_told(one) for one in report.happenings],
        "forecast": {
            _NAMES[name]: getattr(report.forecast, name)
            for name in ("seconds_left", "soonest", "latest", "levels_off_at")
        },
        "anomalies": [_told(one) for one in report.anomalies],
        "proposals": [
            {
                "setting": one.setting,
                "key": one.key or None,
                "proposed": one.told,
                "now": one.now or None,
                "reason": one.reason,
            }
            for one in report.proposals
        ],
        "notes": report.notes,
    }
    made: dict[str, Any] = finite(found)
    return made


def verdict_as_json(verdict: Verdict) -> dict[str, Any]:
    """A verdict under the report's names."""
    found = _told(verdict) | {
        "kind": verdict.kind.value,
        "confidence": verdict.confidence.name.lower(),
        "is_leak": verdict.is_leak,
        "step": None if verdict.step is None else _told(verdict.step),
        "filling": [_told(one) for one in verdict.filling],
        "simple": _told(verdict.facts, _FACTS),
    }
    made: dict[str, Any] = finite(found)
    return made


def _told(record: Record | None, names: dict[str, str] = _NAMES) -> Any:
    if record is None:
        return None
    told = {names.get(name, name): value for name, value in record.as_dict().items()}
    return {name: value for name, value in told.items() if name}


def finite(value: Any) -> Any:
    """The same without infinities and NaN, which JSON does not have: null instead."""
    if isinstance(value, dict):
        return {str(key): finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value
