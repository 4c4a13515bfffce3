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
    models                [{name, state, held_bytes, uses, idle_s}]
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
    from membudget.leaks.culprit import Culprit
    from membudget.leaks.records import Verdict
    from membudget.report.records import PartFigure, Report, Use

SCHEMA = "membudget.report/1"


def as_json(report: Report) -> dict[str, Any]:
    """The report as dicts, lists, text and numbers that any JSON can hold."""
    forecast = report.forecast
    found = {
        "schema": SCHEMA,
        "made_unix_s": report.made,
        "is_dated": report.is_dated,
        "process": {"name": report.name, "pid": report.pid},
        "hours": report.hours,
        "memory": {
            "samples": len(report.samples),
            "span_s": report.span,
            "restarts_unix_s": list(report.restarts),
            "limit_bytes": report.limit,
            "headroom_bytes": report.headroom,
            "marks_bytes": dict(report.marks),
            "used_bytes": _use(report.use),
            "resident_bytes": _use(report.resident),
        },
        "leak": None if report.verdict is None else verdict_as_json(report.verdict),
        "culprits": [_culprit(one) for one in report.culprits],
        "parts": [_part(one) for one in report.parts],
        "models": [
            {
                "name": one.name,
                "state": one.state,
                "held_bytes": one.bytes,
                "uses": one.uses,
                "idle_s": one.idle,
            }
            for one in report.models
        ],
        "operations": [
            {"name": one.name, "times": one.times, "grew_bytes": one.grew, "took_s": one.took}
            for one in report.operations
        ],
        "events": [
            {
                "at_unix_s": one.wall,
                "kind": one.kind,
                "severity": one.severity,
                "text": one.text,
            }
            for one in report.happenings
        ],
        "forecast": {
            "seconds_left_s": forecast.seconds_left,
            "soonest_s": forecast.soonest,
            "latest_s": forecast.latest,
            "levels_off_at_bytes": forecast.levels_off_at,
        },
        "anomalies": [one.as_dict() for one in report.anomalies],
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
        "notes": list(report.notes),
    }
    made: dict[str, Any] = finite(found)
    return made


def verdict_as_json(verdict: Verdict) -> dict[str, Any]:
    """A verdict under the report's names."""
    facts = verdict.facts
    found = {
        "at_unix_s": verdict.at,
        "kind": verdict.kind.value,
        "confidence": verdict.confidence.name.lower(),
        "score": verdict.score,
        "rate_bytes_per_hour": verdict.rate,
        "rate_low_bytes_per_hour": verdict.rate_low,
        "rate_high_bytes_per_hour": verdict.rate_high,
        "onset_unix_s": verdict.onset,
        "growth_bytes": verdict.growth,
        "growing_share": verdict.growing_share,
        "window_s": verdict.window,
        "reason": verdict.reason,
        "is_leak": verdict.is_leak,
        "levels_off_at_bytes": verdict.levels_off_at,
        "wants_collection": verdict.wants_collection,
        "step": None
        if verdict.step is None
        else {"at_unix_s": verdict.step.at, "size_bytes": verdict.step.size},
        "filling": [
            {
                "name": one.name,
                "full_in_s": one.full_in,
                "full_at_bytes": one.full_at,
                "fill_share": one.fill,
                "rate_bytes_per_hour": one.rate,
            }
            for one in verdict.filling
        ],
        "simple": {
            "rate_mib_per_hour": facts.rate,
            "threshold_mib_per_hour": facts.threshold,
            "hours": facts.hours,
            "samples": facts.samples,
            "is_above": facts.is_above,
            "growing_share": facts.growing_share,
            "growth_per_sample_share": facts.growth_per_sample,
            "running_samples": facts.running,
            "growth_over_window_share": facts.growth_over_window,
        },
    }
    made: dict[str, Any] = finite(found)
    return made


def _use(use: Use | None) -> dict[str, int] | None:
    if use is None:
        return None
    return {"now": use.now, "average": use.average, "minimum": use.least, "maximum": use.most}


def _culprit(one: Culprit) -> dict[str, Any]:
    return {
        "name": one.name,
        "kind": one.kind,
        "items_per_hour": one.items_per_hour,
        "bytes_per_hour": one.bytes_per_hour,
        "growth_share": one.share,
        "newest": one.newest,
        "chain": list(one.chain),
        "note": one.note,
    }


def _part(one: PartFigure) -> dict[str, Any]:
    return {
        "name": one.name,
        "kind": one.kind,
        "items": one.items,
        "held_bytes": one.bytes,
        "max_items": one.most_items,
        "max_bytes": one.most_bytes,
        "ttl_s": one.ttl,
        "fill_share": one.fill,
        "grew_items": one.grew_items,
        "grew_bytes": one.grew_bytes,
    }


def finite(value: Any) -> Any:
    """The same without infinities and NaN, which JSON does not have: null instead."""
    if isinstance(value, dict):
        return {str(key): finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [finite(one) for one in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value
