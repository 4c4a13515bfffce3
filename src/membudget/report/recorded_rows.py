"""Our own rows: one JSON object a line, with the fields of `Sample`; `wall` and `rss` at least."""

from __future__ import annotations

import json
from typing import Any

from membudget.core import PartSample, Sample
from membudget.report.recorded import Lines, Recording, as_number, as_size, shown

COLLECTING = (700, 10, 10)
"""Thresholds taken where a file tells none: the interpreter's own for long."""

_FIELDS = frozenset(Sample(at=0.0, wall=0.0, used=0, rss=0).as_dict())
_PART_FIELDS = tuple(PartSample(name="", kind="").as_dict())
_WHOLE = frozenset(
    (
        *("used", "rss", "limit", "file", "system_available", "malloc", "children"),
        *("governed", "explained", "blocks", "uncollectable", "threads", "tasks", "fds"),
        *("requests", "pid"),
    )
)
_THREE = frozenset(("gc_runs", "gc_thresholds"))
_MAY_LACK = frozenset(
    (
        *("limit", "file", "system_share", "system_available", "malloc", "gc_efficiency"),
        *("tasks", "fds", "children", "requests"),
    )
)


def read_rows(lines: Lines) -> Recording:
    """The samples of such a file.

    Raises:
        ConfigError: A line does not fit.
    """
    samples: list[Sample] = []
    notes: list[str] = []
    for number, row in enumerate(lines.rows, 1):
        if not row.strip():
            continue
        try:
            sample = sample_of(json.loads(row))
        except (ValueError, RecursionError) as error:
            if lines.may_break_off(number):
                notes.append(lines.note)
                continue
            is_json = isinstance(error, (json.JSONDecodeError, RecursionError))
            what = f"{shown(row)} is no JSON object:" if is_json else f"{error}:"
            raise lines.wrong(
                number, what, 'write one sample a line, as in {"wall": 1.7e9, "rss": 52428800}'
            ) from None
        if lines.is_in_time(number, sample.wall, samples[-1].wall if samples else None):
            samples.append(sample)
        else:
            notes.append(lines.note)
    return Recording(samples=tuple(samples), form="samples", notes=tuple(notes))


def sample_of(row: Any) -> Sample:
    """A sample from its fields by name, as JSON has them; `used` is `rss` where it is not told.

    Raises:
        ValueError: A field is missing, not known, or does not fit.
    """
    if not isinstance(row, dict):
        raise ValueError(f"{shown(row)} must be an object")  # noqa: TRY004  # as for all values
    for name in ("wall", "rss"):
        if row.get(name) is None:
            raise ValueError(f"field {name!r} is missing")
    unknown = sorted(set(row) - _FIELDS)
    if unknown:
        raise ValueError(f"field {shown(unknown[0])} is not known")
    values = {name: _value(name, value) for name, value in row.items()}
    values.setdefault("used", values["rss"])
    values.setdefault("at", values["wall"])
    # Thresholds of zero mean that collection is off; who tells none has it on, as is the rule.
    values.setdefault("gc_thresholds", COLLECTING)
    return Sample(**values)


def row_of(sample: Sample) -> dict[str, Any]:
    """A sample as JSON has it: `sample_of(row_of(one)) == one`."""
    return {**sample.as_dict(), "parts": [part.as_dict() for part in sample.parts]}


def _value(name: str, value: Any) -> Any:
    if name == "parts":
        return _parts(value)
    if value is None and name in _MAY_LACK:
        return None
    if name in _WHOLE:
        return as_size(value, 1, name)
    if name in _THREE:
        return _three(name, value)
    if name == "gc_enabled":
        return _switch(name, value)
    return as_number(value, name)


def _three(name: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) != 3:  # noqa: PLR2004  # three generations
        raise ValueError(f"{name} {shown(value)} must be a list of three numbers")
    return tuple(as_size(one, 1, name) for one in value)


def _switch(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} {shown(value)} must be true or false")  # noqa: TRY004  # a value's
    return value


def _parts(value: Any) -> tuple[PartSample, ...]:
    if not isinstance(value, list):
        raise ValueError(f"parts {shown(value)} must be a list")  # noqa: TRY004  # as for all values
    return tuple(_part(one) for one in value)


def _part(row: Any) -> PartSample:
    if isinstance(row, list) and len(row) == len(_PART_FIELDS):
        row = dict(zip(_PART_FIELDS, row, strict=True))
    if not isinstance(row, dict) or not set(row) <= set(_PART_FIELDS):
        raise ValueError(f"part {shown(row)} must have the fields {', '.join(_PART_FIELDS)}")
    name, kind = row.get("name"), row.get("kind", "part")
    if not isinstance(name, str) or not isinstance(kind, str):
        raise ValueError(f"part {shown(row)} must have a name and a kind")  # noqa: TRY004  # as for all values
    figures = {
        field: None if row.get(field) is None else as_size(row[field], 1, f"{name}'s {field}")
        for field in ("items", "bytes", "most_items", "most_bytes")
    }
    ttl = None if row.get("ttl") is None else as_number(row["ttl"], f"{name}'s ttl")
    return PartSample(name=name, kind=kind, ttl=ttl, **figures)
