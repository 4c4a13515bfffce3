"""Our own rows: one JSON object a line, with the fields of `Sample`; `wall` and `rss` at least."""

from __future__ import annotations

import json

from membudget.core import Sample
from membudget.report.recorded import Lines, Recording, shown
from membudget.sampling.form import sample_of

_FIELDS = frozenset(Sample.field_names())


def read_rows(lines: Lines) -> Recording:
    """The samples of such a file; fields that no sample has are left out, and named in a note.

    Raises:
        ConfigError: A line does not fit.
    """
    samples: list[Sample] = []
    notes: list[str] = []
    unknown: dict[str, None] = {}
    for number, text in enumerate(lines.rows, 1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
            sample = sample_of(row)
        except (ValueError, RecursionError) as error:
            if lines.may_break_off(number):
                notes.append(lines.note)
                continue
            is_json = isinstance(error, (json.JSONDecodeError, RecursionError))
            what = f"{shown(text)} is no JSON object:" if is_json else f"{error}:"
            raise lines.wrong(
                number, what, 'write one sample a line, as in {"wall": 1.7e9, "rss": 52428800}'
            ) from None
        unknown |= dict.fromkeys(name for name in row if name not in _FIELDS)
        if lines.is_in_time(number, sample.wall, samples[-1].wall if samples else None):
            samples.append(sample)
        else:
            notes.append(lines.note)
    if unknown:
        notes.append(f"Fields that are not read: {', '.join(map(shown, unknown))}.")
    return Recording(samples=tuple(samples), form="samples", notes=tuple(notes))
