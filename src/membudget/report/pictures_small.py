"""The small charts: items of parts, and what goes on beside the memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.report.plots import ROOM, Chart, Level, Line, value_range
from membudget.report.words import signed
from membudget.units import human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from membudget.report.columns import Columns, Curve
    from membudget.report.records import PartFigure, Report

_PARTS = 6
_FEW = 2


def items(report: Report, columns: Columns) -> Iterator[Chart]:
    """The items of the parts that grew most, a small chart each."""
    known = [one for one in report.parts if one.items is not None and one.grew_items]
    known.sort(key=lambda one: -abs(one.grew_items or 0))
    for one in known[:_PARTS]:
        t, y = columns.part(one.name, "items")
        top = max((value for value in y if value is not None), default=0.0)
        bound = one.most_items
        is_near = bound is not None and bound <= 3 * max(top, 1)
        yield Chart(
            title=f"Items in {one.name}",
            words=f"{one.items:,} now, {one.grew_items or 0:+,} since the first sample."
            + _bound(one),
            unit="whole",
            lines=(Line(name="items", t=t, y=y, colour=2),),
            begin=t[0],
            end=report.made,
            low=0.0,
            high=max(top, bound if is_near and bound is not None else 0, 1) * ROOM,
            is_dated=report.is_dated,
            levels=(Level(name="bound", at=bound, is_limit=True),)
            if is_near and bound is not None
            else (),
            is_small=True,
        )


def _bound(part: PartFigure) -> str:
    if part.most_items is not None:
        return f" It may hold {part.most_items:,}."
    has_other = part.most_bytes is not None or part.ttl is not None
    return "" if has_other else " No bound is known."


def beside(report: Report, columns: Columns) -> Iterator[Chart]:
    """Heap, collector, processor, threads and load: small charts of what is known and changes."""
    for title, unit, colour, words, values in (
        ("C heap in use", "bytes", 4, "bytes", columns.of(lambda one: one.malloc)),
        ("Live Python blocks", "count", 1, "", columns.of(lambda one: one.blocks or None)),
        ("Children", "bytes", 5, "bytes", columns.of(lambda one: one.children)),
        ("Page cache", "bytes", 7, "bytes", columns.of(lambda one: one.file)),
        (
            "Full collections an hour",
            "count",
            3,
            "",
            columns.rate(lambda one: one.gc_runs[2], most=24),
        ),
        ("Freed by full collections", "share", 3, "", columns.of(lambda one: one.gc_efficiency)),
        ("Processor", "share", 2, "of a core", columns.rate(lambda one: one.cpu, 1.0)),
        ("Requests a second", "count", 6, "", columns.rate(lambda one: one.requests, 1.0)),
        ("Threads", "whole", 4, "", columns.of(lambda one: one.threads)),
        ("Asyncio tasks", "whole", 5, "", columns.of(lambda one: one.tasks)),
        ("Open descriptors", "whole", 6, "", columns.of(lambda one: one.fds)),
    ):
        chart = _small(report, title, unit, values, colour=colour, words=words)
        if chart is not None:
            yield chart


def _small(
    report: Report, title: str, unit: str, curve: Curve, *, colour: int, words: str
) -> Chart | None:
    t, y = curve
    known = [value for value in y if value is not None]
    if len(known) < _FEW or max(known) == min(known):
        return None
    if unit == "bytes":
        told = f"{human_bytes(known[-1])} now, {signed(known[-1] - known[0])} since the first."
    elif unit == "share":
        told = f"{known[-1]:.1%} {words}".strip() + f" now, {max(known):.1%} at most."
    else:
        told = f"{known[-1]:,.4g} now, from {min(known):,.4g} to {max(known):,.4g}."
    is_sparse = len(known) < len(y) / 2
    low, high = value_range(min(known), max(known)) if unit == "bytes" else (0.0, max(known) * ROOM)
    if title == "Live Python blocks":
        told = f"{known[-1]:,.0f} now, {known[-1] - known[0]:+,.0f} since the first."
        low, high = value_range(min(known), max(known))
    if low > 0:
        told += " The axis does not begin at zero."
    return Chart(
        title=title,
        words=told,
        unit=unit,
        lines=(Line(name=title, t=t, y=y, style="dots" if is_sparse else "line", colour=colour),),
        begin=t[0],
        end=report.made,
        low=low,
        high=high if high > low else low + 1,
        is_dated=report.is_dated,
        is_small=True,
    )
