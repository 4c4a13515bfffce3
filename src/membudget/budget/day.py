"""The latest day of a budget: its samples, its events as lines, and what its parts hold now.

Runs on the governor's thread and in whoever asks; plain values, nothing imported until a report is
asked for.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from membudget.core import MARK_NAMES, PartSample, Record, Sample, Sampled, Severity
from membudget.sinks.lines import line_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from membudget.core import Event, Reading
    from membudget.governor.loop import Governor
    from membudget.leaks.records import Verdict
    from membudget.report.records import Report
    from membudget.sinks.ring import Ring

KEPT = 200
"""Events kept, as lines."""

MOST_SAMPLES = 576
"""Samples told at once, two days of them; a longer history is told by its newest."""

WATCHED = "watched"
"""The kind of a part that is told when over its limit, and not kept within it."""

_LONGEST_LINE = 300


class Day:
    """A sink that keeps the day's lines, and the one who tells the day.

    Args:
        sampled: Keeps `Sampled` events.
        name: What the process is called.

    Attributes:
        governor: Whose day it is; set once there is one.
        samples: Gives the samples kept, oldest first. By default made of `Sampled` events.
        standing: Gives the standing verdict, or None where nobody judges.
    """

    def __init__(self, sampled: Ring, name: str = "") -> None:
        self.name = "day"
        self.governor: Governor | None = None
        self.samples: Callable[[], Sequence[Sample]] = self._from_events
        self.standing: Callable[[], Verdict | None] = lambda: None
        self._program = name
        self._sampled = sampled
        self._lines: deque[tuple[float, str, str, str]] = deque(maxlen=KEPT)

    def __call__(self, event: Event) -> None:
        """Keep an event's line; cost: about 5 µs."""
        if event.severity >= Severity.INFO and (line := line_of(event)) is not None:
            wall = event.at + _offset(self.governor)
            told = (wall, type(event).__name__, event.severity.name.lower(), line[:_LONGEST_LINE])
            self._lines.append(told)

    def as_answer(self, _arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The day in plain values, for a control socket. Cost: about 1 ms for 288 samples."""
        samples = self._with_now()
        verdict = self.standing()
        return {
            "pid": os.getpid(),
            "name": self._program,
            **_packed(samples[-MOST_SAMPLES:]),
            "left_out": max(0, len(samples) - MOST_SAMPLES),
            "verdict": None if verdict is None else _plain(verdict),
            "marks": self._marks(),
            "events": list(self._lines),
        }

    def report(self, hours: float = 24.0, **given: Any) -> Report:
        """The report on the latest hours; `given` goes to `membudget.report.figures.report`."""
        from membudget.report.figures import report  # only for those who report
        from membudget.report.happenings import happenings

        told: dict[str, Any] = {
            "name": self._program,
            "verdict": self.standing(),
            "marks": self._marks(),
            "happenings": happenings(tuple(self._lines)),
        }
        return report(self._with_now(), hours=hours, **{**told, **given})

    def _with_now(self) -> list[Sample]:
        """The samples kept, and one of now with its parts."""
        samples = list(self.samples())
        governor = self.governor
        if governor is None or governor.reading is None:
            return samples
        parts = tuple(_parts(governor))
        now = _sample(
            governor.reading, governor.registry.held_bytes(), sys.getallocatedblocks(), governor
        ).replace(
            parts=parts,
            gc_thresholds=gc.get_threshold(),
            gc_enabled=gc.isenabled(),
            # A limit that is only watched is no end of growth.
            explained=sum(
                part.bytes or 0 for part in parts if part.is_bounded and part.kind != WATCHED
            ),
        )
        if samples and now.wall - samples[-1].wall < 1.0:
            samples.pop()
        return [*samples, now]

    def _from_events(self) -> list[Sample]:
        return [
            _sample(one.reading, one.governed, one.blocks or 0, self.governor)
            for one in self._sampled.latest()
            if isinstance(one, Sampled)
        ]

    def _marks(self) -> dict[str, int]:
        governor = self.governor
        limit = governor.pressure.limit if governor is not None else None
        if governor is None or limit is None:
            return {}
        marks = zip(MARK_NAMES, governor.marks.resolved(limit), strict=True)
        return {name: int(at) for name, at in marks if at < float("inf")}


def _offset(governor: Governor | None) -> float:
    """Unix seconds less the governor's own."""
    return time.time() - (governor.clock.now() if governor is not None else time.monotonic())


def _sample(reading: Reading, governed: int, blocks: int, governor: Governor | None) -> Sample:
    return Sample(
        at=reading.at,
        wall=reading.at + _offset(governor),
        used=reading.used,
        limit=reading.limit,
        rss=reading.parts.get("rss", reading.used),
        blocks=blocks,
        governed=governed,
        gc_thresholds=(1, 1, 1),  # Not known of that time; zero would mean that it was off.
        pid=os.getpid(),
    )


def _parts(governor: Governor) -> Iterator[PartSample]:
    """What every registered part holds now; one that fails is left out."""
    registry = governor.registry
    for holder in registry.holders():
        with contextlib.suppress(Exception):
            yield _part(holder)
    members: list[Any] = [*registry.chores()]
    for one in members:
        if hasattr(one, "trimmed"):
            with contextlib.suppress(Exception):
                stats = one.stats()
                yield PartSample(
                    name=stats.name,
                    kind=WATCHED,
                    items=stats.items,
                    bytes=stats.bytes,
                    most_items=stats.max_items if stats.max_items is not None else stats.maxlen,
                    most_bytes=stats.max_bytes,
                )


def _part(holder: Any) -> PartSample:
    stats = holder.stats() if hasattr(holder, "stats") else None

    def bound(*names: str) -> Any:
        for one in (stats, holder):
            for name in names:
                value = getattr(one, name, None)
                if isinstance(value, (int, float)):
                    return value
        return None

    return PartSample(
        name=holder.name,
        kind=type(holder).__name__,
        items=len(holder) if hasattr(holder, "__len__") else None,
        bytes=holder.held_bytes(),
        most_items=bound("max_entries", "max_items", "maxlen"),
        most_bytes=bound("max_bytes"),
        ttl=bound("ttl"),
    )


def _packed(samples: Sequence[Sample]) -> dict[str, Any]:
    """The samples as rows without names; what parts declare once, what they hold in each row.

    Each of `held` is the parts' places, items and bytes, one after the other. As rows by name they
    would be five times as long, and the governor's thread would be away five times as long.
    """
    fields = [name for name in samples[0].as_dict() if name != "parts"] if samples else []
    rows = [[getattr(one, name) for name in fields] for one in samples]
    places: dict[tuple[Any, ...], int] = {}
    held: list[list[int | None]] = []
    for one in samples:
        row: list[int | None] = []
        for part in one.parts:
            key = (part.name, part.kind, part.most_items, part.most_bytes, part.ttl)
            row += (places.setdefault(key, len(places)), part.items, part.bytes)
        held.append(row)
    return {"fields": fields, "rows": rows, "parts": list(places), "held": held}


def _plain(value: Any) -> Any:
    """A record as dicts, lists, text and numbers."""
    if isinstance(value, Record):
        return {name: _plain(one) for name, one in value.as_dict().items()}
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    return value
