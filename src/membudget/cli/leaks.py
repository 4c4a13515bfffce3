"""`membudget leaks`: the verdicts over a recorded file, as they would have come."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from membudget.sinks import LONGEST
from membudget.units import human_bytes, one_line, parse_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from membudget.leaks import Verdict
    from membudget.report.readers import Recording


@click.command()
@click.option(
    "--samples",
    required=True,
    type=click.Path(),
    metavar="FILE",
    help="History file, JSON lines, CSV, .dat.",
)
@click.option(
    "--bounds", type=click.Path(), metavar="FILE", help="Bounds of its parts, JSON or YAML."
)
@click.option("--every", default="30m", show_default=True, metavar="TIME", help="Between looks.")
@click.option("--json", "is_json", is_flag=True, help="One JSON object: changes and last.")
def command(*, samples: str, bounds: str | None, every: str, is_json: bool) -> int:
    """Tell each change of the verdict over a recording, and the last verdict in full.

    Exits 0 when the last verdict is none or low, 1 at medium, 2 at high, and 64 when the file
    cannot be read.
    """
    from membudget.leaks import Confidence
    from membudget.leaks.verdict import looks
    from membudget.report import verdict_as_json
    from membudget.report.readers import read_bounds, read_samples, with_bounds

    seconds = parse_seconds(every, name="--every")
    found = read_samples(samples)
    kept = found.samples
    if bounds is not None:
        kept = with_bounds(kept, read_bounds(bounds))
    changes: list[Verdict] = []
    last: Verdict | None = None
    for last in looks(kept, every=seconds):
        before = changes[-1] if changes else None
        if before is None or (before.kind, before.confidence) != (last.kind, last.confidence):
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
        click.echo("\n".join(_lines(changes, last, found)))
    return 0 if last is None else max(0, last.confidence - Confidence.LOW)


def _lines(changes: list[Verdict], last: Verdict | None, found: Recording) -> Iterator[str]:
    from membudget.report.text import Calendar, between, simple, standing

    if last is None:
        yield "no samples"
        return
    calendar = Calendar(is_dated=found.is_dated)
    for one in changes:
        span = between(one.rate_low, one.rate_high)
        rate = f", {human_bytes(one.rate)}/h ({span})" if one.confidence else ""
        level = one.confidence.name.lower()
        yield f"{calendar.moment(one.at)}  {level:<6}  {one.kind.value}{rate}"
    yield ""
    rows = [("verdict", f"{standing(last)}; score {last.score:.2f}"), ("why", last.reason)]
    if last.confidence:
        span = between(last.rate_low, last.rate_high)
        rows.append(("rate", f"{human_bytes(last.rate)}/h, {span}"))
        if last.onset is not None:
            rows.append(("since", calendar.date(last.onset)))
    rows.append(("growth rate", simple(last.facts)))
    rows += [("note", note) for note in found.notes]
    for name, words in rows:
        yield f"{name:<12}{one_line(words, LONGEST)}"
