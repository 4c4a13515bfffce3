"""The latest day of a budget: its samples, its events as lines, and what its parts hold now.

Runs on the governor's thread and in whoever asks; plain values, nothing imported until a report is
asked for.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections import deque

from membudget.core import MARK_NAMES, Sample, Severity
from membudget.core.native import breathing
from membudget.core.wire import plain
from membudget.probes.process import HighWater
from membudget.sinks.log import line_of, merged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from typing import Any, Protocol, TypeAlias

    from membudget.core import Event, Pressure, Reading
    from membudget.governor.loop import Governor
    from membudget.leaks.advice import Proposal
    from membudget.leaks.culprit import Culprit
    from membudget.leaks.records import Verdict
    from membudget.report.figures import Report

    class Findings(Protocol):
        """What a day is told from: the samples kept, and what was made of them."""

        @property
        def kept(self) -> int:
            """How many samples are kept."""

        def reading(self, most: int | None = None) -> Generator[None, None, list[Sample]]:
            """The newest so many, oldest first, in slices."""

        def latest(self, most: int | None = None) -> list[Sample]:
            """The same at once."""

        @property
        def standing(self) -> Verdict | None:
            """The verdict that stands."""

        def suspected(self) -> tuple[Culprit, ...]:
            """Who grows."""

        def proposed(self) -> tuple[Proposal, ...]:
            """The settings that the history proposes."""


_Peak: TypeAlias = "tuple[float, int, int]"
"""When its time began, and the highest judged use and resident set within it, in bytes."""

KEPT = 200
"""Events kept, as lines."""

PEAKS_APART = 300.0
"""Seconds of which one peak is kept."""

MOST_SAMPLES = 576
"""Samples told at once, two days of them; a longer history is told by its newest."""

_LONGEST_LINE = 300


class Day:
    """A sink that keeps the day's lines, and tells the day.

    Args:
        findings: The samples and what was made of them.
        name: What the process is called.

    Attributes:
        governor: Whose day it is, once it serves one.
    """

    def __init__(self, findings: Findings, name: str = "") -> None:
        self.name = "day"
        self.governor: Governor | None = None
        self._program = name
        self._findings = findings
        self._lines: deque[tuple[float, str, str, str]] = deque(maxlen=KEPT)
        self._high = HighWater()
        self._peaks: deque[_Peak] = deque(maxlen=MOST_SAMPLES)

    def __call__(self, event: Event) -> None:
        """Keep an event's line; cost: about 5 µs."""
        if event.severity >= Severity.INFO and (line := line_of(event)) is not None:
            wall = event.at + _offset(self.governor)
            told = (wall, type(event).__name__, event.severity.name.lower(), line[:_LONGEST_LINE])
            self._lines.append(told)

    def join(self, governor: Governor) -> None:
        """Be this governor's day until it stops."""
        self.governor = governor
        governor.followers.append(self.follow)
        governor.tell.sinks.insert(0, merged(self))

    def follow(self, reading: Reading, _pressure: Pressure) -> None:
        """Keep the peaks of a reading, and of what no reading saw. Cost: 2 µs."""
        self._note(reading.at, *self._high.follow(reading))

    def look_again(self) -> None:
        """Keep the peak of the latest seconds as well."""
        if self.governor is not None:
            self._note(self.governor.clock.now(), *self._high.look())

    def leave(self) -> None:
        """Look a last time."""
        self.look_again()

    def after_fork_in_child(self) -> None:
        """Leave the parent's peaks aside."""
        self._peaks.clear()
        self._high.begin()

    def _note(self, at: float, used: int, resident: int) -> None:
        peaks, governor = self._peaks, self.governor
        if peaks and at - peaks[-1][0] < PEAKS_APART:
            begun, most, largest = peaks[-1]
            if used > most or resident > largest:
                peaks[-1] = (begun, max(most, used), max(largest, resident))
        elif used:
            peaks.append((at, used, resident))
        if governor is not None:
            governor.meter.peak = max(governor.meter.peak, used)

    def _dated_peaks(self) -> list[_Peak]:
        self.look_again()
        offset = _offset(self.governor)
        return [(at + offset, used, resident) for at, used, resident in self._peaks]

    def as_answer(self, _arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The day in plain values, for a control socket.

        Cost: about 10 ms for 288 samples with ten parts, in pieces of about a millisecond, between
        which other threads have their turn: that takes another 10 ms.
        """
        from membudget.sampling.form import packing  # only for those who ask

        earlier = max(0, self._findings.kept - MOST_SAMPLES)
        kept = self._findings.reading(MOST_SAMPLES)
        samples = self._with_now(breathing(kept))
        return {
            "pid": os.getpid(),
            "name": self._program,
            **breathing(packing(samples[-MOST_SAMPLES:])),
            "left_out": earlier + max(0, len(samples) - MOST_SAMPLES),
            "verdict": plain(self._findings.standing),
            "culprits": plain(self._findings.suspected()),
            "proposals": plain(self._findings.proposed()),
            "marks": self._marks(),
            "peaks": self._dated_peaks(),
            "events": list(self._lines),
        }

    def report(self, hours: float = 24.0, **given: Any) -> Report:
        """The report on the latest hours; `given` goes to `membudget.report.figures.report`."""
        from membudget.report.figures import (
            happenings,
            report,  # only for those who report
        )

        told: dict[str, Any] = {
            "name": self._program,
            "verdict": self._findings.standing,
            "culprits": self._findings.suspected(),
            "proposals": self._findings.proposed() if self._findings.standing is not None else None,
            "marks": self._marks(),
            "peaks": self._dated_peaks(),
            "happenings": happenings(tuple(self._lines)),
        }
        return report(self._with_now(self._findings.latest()), hours=hours, **{**told, **given})

    def _with_now(self, samples: list[Sample]) -> list[Sample]:
        """The samples kept, and one of now with its parts; what was not asked is as it was last."""
        governor = self.governor
        if governor is None or governor.reading is None:
            return samples
        from membudget.sampling.taker import Parts  # only for those who report

        reading = governor.reading
        wall = reading.at + _offset(governor)
        parts, explained = Parts(governor.registry, governor.tell.failed).take()
        last = samples[-1] if samples else Sample(at=0.0, wall=0.0, used=0, rss=0, pid=os.getpid())
        now = last.replace(
            at=reading.at,
            wall=wall,
            used=reading.used,
            limit=reading.limit,
            rss=reading.parts.get("rss", reading.used),
            blocks=sys.getallocatedblocks(),
            governed=governor.registry.held_bytes(),
            gc_thresholds=gc.get_threshold(),
            gc_enabled=gc.isenabled(),
            parts=parts,
            explained=explained,
        )
        if samples and wall - samples[-1].wall < 1.0:
            samples.pop()
        return [*samples, now]

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
