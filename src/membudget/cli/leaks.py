"""`membudget leaks`: the verdicts over a recorded file, as they would have come."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from membudget.sinks.log import LONGEST
from membudget.units import human_bytes, one_line, parse_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from membudget.leaks.records import Verdict
    from membudget.report.readers import Recording
    from membudget.report.text import Calendar


@click.command()
@click.option(
    "--samples", required=True, metavar="FILE", help="History file, JSON lines, CSV, .dat."
)
@click.option("--bounds", metavar="FILE", help="Bounds of its parts, JSON or YAML.")
@click.option("--every", default="30m", show_default=True, metavar="TIME", help="Between looks.")
@click.option("--json", "is_json", is_flag=True, help="One JSON object: changes and last.")
def command(*, samples: str, bounds: str | None, every: str, is_json: bool) -> int:
    """Tell each change of the verdict over a recording, and the last verdict in full.

    Exits 0 when the last verdict is none or low, 1 at medium, 2 at high, and 64 when the file
    cannot be read.
    """
    from membudget.leaks.records import Confidence
    from membudget.leaks.verdict import looks
    from membudget.report.figures import verdict_as_json
    from membudget.report.readers import read_bounds, read_samples, with_bounds
    from membudget.report.text import Calendar

    seconds = parse_seconds(every, name="--every")
    found = read_samples(samples)
    kept = found.samples
    if bounds is not None:
        kept = with_bounds(kept, read_bounds(bounds))
    changes: list[Verdict] = []
    last: Verdict | None = None
    for last in looks(kept, every=seconds):
        if not changes or _is_other(changes[-1], last):
            changes.append(last)
    if is_json:
        told = {
            "schema": "membudget.leaks/1",
            "samples": len(kept),
            "is_dated": found.is_dated,
            "changes": [verdict_as_json(one) for one in changes],
            "last": None if last is None else verdict_as_json(last),
            "notes": list(found.notes),
        }
        click.echo(json.dumps(told))
    else:
        calendar = Calendar(is_dated=found.is_dated)
        for line in _lines(changes, last, found, calendar):
            click.echo(line)
    level = Confidence.NONE if last is None else last.confidence
    return max(0, level - Confidence.LOW)


def _is_other(before: Verdict, after: Verdict) -> bool:
    return (before.kind, before.confidence) != (after.kind, after.confidence)


def _lines(
    changes: list[Verdict], last: Verdict | None, found: Recording, calendar: Calendar
) -> Iterator[str]:
    if last is None:
        yield "no samples"
        return
    for one in changes:
        level = f"{one.confidence.name.lower():<6}"
        yield f"{calendar.moment(one.at)}  {level}  {one.kind.value}{_rate(one)}"
    yield ""
    from membudget.report.text import simple, standing

    rows: list[tuple[str, Any]] = [
        ("verdict", f"{standing(last)}; score {last.score:.2f}"),
        ("why", last.reason),
    ]
    if last.confidence:
        rows.append(("rate", f"{human_bytes(last.rate)}/h, {_interval(last)}"))
        if last.onset is not None:
            rows.append(("since", calendar.date(last.onset)))
    rows.append(("simple rule", simple(last.facts)))
    rows += [("note", note) for note in found.notes]
    for name, words in rows:
        yield f"{name:<12}{one_line(words, LONGEST)}"


def _rate(verdict: Verdict) -> str:
    if not verdict.confidence:
        return ""
    return f", {human_bytes(verdict.rate)}/h ({_interval(verdict)})"


def _interval(verdict: Verdict) -> str:
    from membudget.report.text import between

    return between(verdict.rate_low, verdict.rate_high)
