"""Samples for reports: quiet, leaking, restarted, with parts."""

import json

from membudget.core import PartSample, Sample
from membudget.leaks.culprit import Culprit
from membudget.report import Report
from membudget.report.text import as_text

MIB = 1 << 20
BEGAN = 1_763_700_000.0


def suspect(name: str, share: float = 0.93, kind: str = "dict", text: str = "") -> Culprit:
    """Who a leak is laid to, as the ranking tells it; with a text of one's own for all others."""
    return Culprit(
        name=name,
        kind=kind,
        items_per_hour=3100.0,
        bytes_per_hour=12.0 * MIB,
        share=share,
        newest=text or "Session('9f1c')",
        chain=(text, text) if text else ("app.store (module)", "_by_id: dict"),
        note=text,
    )


def part(name: str = "prices", held: int = 5 * MIB, most: int | None = 20 * MIB) -> PartSample:
    """A cache of 1 KiB items with a bound in bytes."""
    return PartSample(name=name, kind="Cache", items=held // 1024, bytes=held, most_bytes=most)


def sample(
    place: int,
    rss: float,
    *,
    limit: float | None = 400.0,
    parts: tuple[PartSample, ...] = (),
    began: float = BEGAN,
    every: float = 300.0,
) -> Sample:
    """The sample at a place, some minutes apart; sizes in MiB."""
    wall = BEGAN + place * every
    held = round(rss * MIB)
    return Sample(
        at=wall,
        wall=wall,
        used=held,
        rss=held,
        limit=None if limit is None else round(limit * MIB),
        cpu=place * 0.5,
        blocks=100_000 + place * 10,
        gc_thresholds=(700, 10, 10),
        gc_runs=(place, place // 2, place // 9),
        parts=parts,
        explained=sum(one.bytes or 0 for one in parts if one.is_bounded),
        pid=77,
        began=began,
    )


def assert_harmless(made: Report) -> None:
    """Printable lines, a page without tags of others, JSON that is JSON."""
    assert all(line.isprintable() for line in as_text(made).split("\n"))
    page = made.as_html()
    assert "\x1b" not in page
    assert page.count("<script") == 4  # The data, uPlot and our own two.
    json.dumps(made.as_json(), allow_nan=False)


def quiet(count: int = 288, limit: float | None = 400.0) -> list[Sample]:
    """A process that stays where it is, with a little noise."""
    return [sample(place, 100 + (place * 7 % 5) / 4, limit=limit) for place in range(count)]


def leaking(count: int = 288, rate: float = 12.0, limit: float | None = 700.0) -> list[Sample]:
    """A process that gains so many MiB an hour, live Python blocks with it."""
    return [
        sample(place, 100 + rate * place / 12 + (place * 7 % 5) / 8, limit=limit).replace(
            blocks=100_000 + round(place * rate * 440)
        )
        for place in range(count)
    ]
