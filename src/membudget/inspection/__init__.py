"""The plugin that takes samples, keeps them, judges them for leaks and tells the latest day.

A budget that has just started pays next to nothing for it: what takes samples is imported by the
first one, about a second later, and what judges them when they are enough for a verdict.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections import deque

from membudget.core import MARK_NAMES, Level, Reclaimed, Sample, Severity
from membudget.core.native import breathing
from membudget.core.nouns import ProposalRow
from membudget.core.wire import plain
from membudget.probes import allocator
from membudget.probes.process import HighWater
from membudget.reclaimers import REFUSED_FOR, SHORT, is_on
from membudget.sinks import line_of, merged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from membudget.core import Chore, Event, Pressure, Reading, Reclaimer
    from membudget.governor import Governor
    from membudget.heap import Freed, Garbage
    from membudget.inspection.leak_watch import LeakWatch
    from membudget.inspection.suspects import Suspects, Tracing
    from membudget.leaks import Verdict
    from membudget.leaks.advice import Proposal
    from membudget.leaks.culprit import Culprit
    from membudget.reclaimers import Collect, SharedPages
    from membudget.report import Report
    from membudget.sampling import Efficiency, Taker
    from membudget.sampling.form import SampleRing
    from membudget.sampling.keep import Keeper


class Inspection:
    """Samples and verdicts of one governor, made on its thread; any thread may read them.

    A forked child begins with no samples and no verdict, and with a history file of its own.

    Args:
        program: What the process is called in reports.
        redact: What each text of the program's is passed through before it is told of a culprit;
            None hides digits, and what looks like an address or a token.

    Attributes:
        wall: Unix seconds: what samples are dated by, and looks at what grows.
        requests: Requests served so far, for whoever counts them; None where nobody does.
    """

    name = "inspection"
    day: Day  # The latest day, once it serves a governor.
    _governor: Governor

    def __init__(self, program: str = "", *, redact: Callable[[str], object] | None = None) -> None:
        self._program = program
        self._redact = redact
        # All of it is made with the first sample.
        self.ring: SampleRing | None = None  # The samples kept; None before the first.
        self._taker: Taker | None = None
        self._efficiency: Efficiency | None = None
        self._keeper: Keeper | None = None
        self._watch: LeakWatch | None = None
        self._suspects: Suspects | None = None
        self._tracing: Tracing | None = None
        self.wall: Callable[[], float] = time.time
        self.requests: Callable[[], int | None] = lambda: None

    def join(self, governor: Governor) -> None:
        """Serve this governor until it stops."""
        self._governor = governor
        self.day = Day(self, governor, self._program)
        governor.snapshots.take = self.take_sample
        governor.followers.append(self.day.follow)
        governor.tell.sinks.insert(0, merged(self.day))

    def leave(self) -> None:
        """Take no more, and write the history a last time; a second call does nothing."""
        self.day.look_again()
        for part in (self._efficiency, self._suspects, self._tracing):
            if part is not None:
                part.end()
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.close()

    def before_fork(self, until: float) -> None:
        """Have nothing under way in the child."""
        if self._keeper is not None:
            self._keeper.before_fork(until)

    def after_fork_in_child(self) -> None:
        """Know nothing of the parent's."""
        if self.ring is not None:
            self.ring.clear()
        if self._efficiency is not None:
            self._efficiency.forget()
        self._taker = None
        for part in (self.day, self._keeper, self._watch, self._suspects, self._tracing):
            if part is not None:
                part.after_fork_in_child()

    def status(self) -> Mapping[str, Any]:
        """The verdict that stands, and the settings that the history proposes."""
        return {
            "leak": self._watch.state() if self._watch is not None else None,
            "proposals": [ProposalRow(**one.as_row()) for one in self.proposed()],
        }

    def commands(self) -> Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]]:
        """What may be asked for: the samples and events of the latest day."""
        return {"samples": self.day.as_answer}

    def latest(self) -> list[Sample]:
        """All samples that are kept, oldest first. Cost: 25 µs for each."""
        self._governor.begin_in_child()
        return [] if self.ring is None else self.ring.latest()

    def take_sample(self, reading: Reading) -> Sample | None:
        """Take one: 0.2 to 0.7 ms. None in a child forked while its parent imported what does."""
        if self._taker is None and not self._governor.imports.is_closed:
            with self._governor.imports:
                self._begin()
        if self._taker is None or self.ring is None:
            return None
        sample = self._taker.take(reading)
        self.ring.add(sample)
        if self._keeper is not None:
            self._keeper.after_sample()
        if self._watch is not None:
            self._watch.after_sample(sample)
        return sample

    @property
    def standing(self) -> Verdict | None:
        """The verdict that stands, or None before the first and where nobody judges."""
        return None if self._watch is None else self._watch.verdict

    def suspected(self) -> tuple[Culprit, ...]:
        """Who grows, the likeliest first; nobody before the third look of a suspicion."""
        return self._suspects.found if self._suspects is not None else ()

    def proposed(self) -> tuple[Proposal, ...]:
        """The settings that the history proposes, hourly; none before half a day, or unjudged."""
        return self._watch.proposals if self._watch is not None else ()

    def verdict(self) -> Verdict:
        """The verdict that stands, or one made now on this thread at a cost of about 30 ms."""
        samples = self.latest()
        if (standing := self.standing) is not None:
            return standing
        from membudget.inspection.leak_watch import rules_of
        from membudget.leaks.series import Series
        from membudget.leaks.verdict import judge

        return judge(Series.of(samples), rules_of(self._governor.settings))[0]

    def report(self, hours: float = 24.0) -> Report:
        """The report on the latest hours."""
        return self.day.report(hours)

    def _begin(self) -> None:
        """Make what takes samples; where memory is short this may fail, and is begun anew."""
        from membudget.sampling import Efficiency, Parts, Taker
        from membudget.sampling.form import SampleRing

        governor = self._governor
        failed = governor.tell.failed
        if self._efficiency is None:
            collector = governor.collector
            self._efficiency = Efficiency(None if collector is None else collector.learn)
            self._efficiency.begin()
        if self.ring is None:
            ring = SampleRing(governor.settings["monitoring.history_size"])
            governor.chores += self._followers(ring)
            self.ring = ring
        self._taker = Taker(
            failed,
            lambda: self.wall(),  # noqa: PLW0108  # the program may exchange it
            malloc=allocator.in_use,
            system=_system,
            parts=Parts(governor.registry, failed).take,
            governed=governor.registry.held_bytes,
            gc=self._efficiency.take,
            transient=governor.transients.latest,
            requests=lambda: self.requests(),  # noqa: PLW0108  # likewise
        )

    def _followers(self, ring: SampleRing) -> list[Chore]:
        """What keeps the samples, judges them and looks for who grows, where that is asked for."""
        governor, settings = self._governor, self._governor.settings
        chores: list[Chore] = []
        if (path := settings["monitoring.history_file"]) is not None:
            from membudget.sampling.keep import Keeper

            span = ring.size * settings["monitoring.snapshot_interval"]
            failed, now = governor.tell.failed, governor.clock.now
            self._keeper = Keeper(
                path, ring, span, failed, recall=self._recall, wall=self.wall, now=now
            )
            chores.append(self._keeper)
        if settings["leaks.enabled"]:
            from membudget.inspection.leak_watch import LeakWatch
            from membudget.inspection.suspects import Suspects, Tracing

            watch = self._watch = LeakWatch(governor, ring)
            if settings["leaks.trace"] is not None:
                self._tracing = Tracing(governor, watch)
            self._suspects = Suspects(
                governor,
                watch,
                tracing=self._tracing,
                wall=lambda: self.wall(),  # noqa: PLW0108  # the program may exchange it
                redact=self._redact,
            )
            chores += [watch, self._suspects]
        return chores if self._tracing is None else [*chores, self._tracing]

    def _recall(self, sample: Sample) -> None:
        """What came and went in an earlier life."""
        if sample.transient:
            at = self._governor.clock.now() - (self.wall() - sample.wall)
            self._governor.transients.recall(at, sample.transient)


def _system() -> tuple[float, int] | None:
    """Share of the machine's memory in use, and what is left. Cost: 40 µs; nothing stays open."""
    from membudget.probes.process import system_probe

    reading = system_probe()()
    return reading.fraction, reading.parts["available"]


_EVENTS, _LONGEST_LINE = 200, 300  # Events kept as lines, and the characters of one
_PEAKS_APART = 300.0  # Seconds of which one peak is kept
MOST_SAMPLES = 576  # Samples told at once, two days of them; a longer history is told by its newest


class Day:
    """The latest day: its samples, its events as lines, its peaks, and what its parts hold now.

    A sink and a follower on the governor's thread, and told in whoever asks: plain values, nothing
    imported until then.
    """

    def __init__(self, inspection: Inspection, governor: Governor, program: str) -> None:
        self._inspection = inspection
        self._governor = governor
        self._program = program
        self._lines: deque[tuple[float, str, str, str]] = deque(maxlen=_EVENTS)
        self._high = HighWater()
        # When its time began, and the highest judged use and resident set within it.
        self._peaks: deque[tuple[float, int, int]] = deque(maxlen=MOST_SAMPLES)

    def __call__(self, event: Event) -> None:
        """Keep an event's line; cost: about 5 µs."""
        if event.severity >= Severity.INFO and (line := line_of(event)) is not None:
            wall = event.at + self._offset()
            told = (wall, type(event).__name__, event.severity.name.lower(), line[:_LONGEST_LINE])
            self._lines.append(told)

    def follow(self, reading: Reading, _pressure: Pressure) -> None:
        """Keep the peaks of a reading, and of what no reading saw. Cost: 2 µs."""
        governor, high = self._governor, self._high
        self._note(reading.at, *high.follow(reading, governor.meter.taken_in))
        if high.burst is not None:
            governor.transients.peaked(high.burst)
            high.burst = None

    def look_again(self) -> None:
        """Keep the peak of the latest seconds as well."""
        self._note(self._governor.clock.now(), *self._high.look())

    def after_fork_in_child(self) -> None:
        """Leave the parent's peaks aside."""
        self._peaks.clear()
        self._high.begin()

    def _note(self, at: float, used: int, resident: int) -> None:
        peaks, meter = self._peaks, self._governor.meter
        if peaks and at - peaks[-1][0] < _PEAKS_APART:
            begun, most, largest = peaks[-1]
            if used > most or resident > largest:
                peaks[-1] = (begun, max(most, used), max(largest, resident))
        elif used:
            peaks.append((at, used, resident))
        meter.peak = max(meter.peak, used)

    def _told(self) -> dict[str, Any]:
        """What a report and an answer tell alike."""
        self.look_again()
        offset, pressure = self._offset(), self._governor.pressure
        limit, level = pressure.limit, pressure.level
        resolved = () if limit is None else self._governor.marks.resolved(limit)
        marks = zip(MARK_NAMES, resolved, strict=False)
        group_state = self._governor.plugins.member("group_state")
        return {
            "name": self._program,
            "marks": {name: int(at) for name, at in marks if at < float("inf")},
            "peaks": [(at + offset, used, resident) for at, used, resident in self._peaks],
            "group": group_state() if group_state is not None else None,
            "level": level.name if level else "",
        }

    def as_answer(self, _arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The day in plain values, for a control socket.

        Cost: about 10 ms for 288 samples with ten parts, and as much for other threads in between.
        """
        from membudget.sampling.form import packing  # only for those who ask

        inspection, ring = self._inspection, self._inspection.ring
        samples = self._with_now(breathing(ring.reading(MOST_SAMPLES)) if ring else [])
        left_out = max(0, len(samples) - MOST_SAMPLES)
        if ring is not None:
            left_out += max(0, len(ring) - MOST_SAMPLES)
        return {
            "pid": os.getpid(),
            **breathing(packing(samples[-MOST_SAMPLES:])),
            "left_out": left_out,
            "verdict": plain(inspection.standing),
            "culprits": plain(inspection.suspected()),
            "proposals": plain(inspection.proposed()),
            **plain(self._told()),
            "events": list(self._lines),
        }

    def report(self, hours: float = 24.0, **given: Any) -> Report:
        """The report on the latest hours; `given` goes to `membudget.report.report`."""
        from membudget.report import happenings, report  # only for those who report

        inspection = self._inspection
        told: dict[str, Any] = {
            **self._told(),
            "verdict": inspection.standing,
            "culprits": inspection.suspected(),
            "proposals": inspection.proposed() if inspection.standing is not None else None,
            "happenings": happenings(tuple(self._lines)),
        }
        return report(self._with_now(inspection.latest()), hours=hours, **{**told, **given})

    def _with_now(self, samples: list[Sample]) -> list[Sample]:
        """The samples kept, and one of now with its parts; what was not asked is as it was last."""
        governor, reading = self._governor, self._governor.reading
        if reading is None:
            return samples
        from membudget.sampling import Parts  # only for those who report

        wall = reading.at + self._offset()
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

    def _offset(self) -> float:
        """Unix seconds less the governor's own."""
        return time.time() - self._governor.clock.now()


NAME = "leak check"  # Whom an event of a collection before accusing is by


def may_stop(
    collect: Collect, shared: SharedPages, level: Callable[[], Level], *, is_asked: bool = False
) -> bool:
    """Whether a process may be stopped now for a full collection that no pressure asks for.

    From CRITICAL on what comes otherwise is worse. Below that only for a moment, or where the
    program asks for it, and never where it has turned its collector off or frozen its objects.
    Cost: that of `Collect.expected`.
    """
    if level() >= Level.CRITICAL:
        return True
    if not is_on() or not (is_asked or collect.expected() <= SHORT):
        return False
    return not shared.is_frozen_by_program()


class CollectAndTrim:
    """Shows how much of a growth is garbage, or memory that the allocator holds.

    It keeps to the cooldown and the share of the time of the collections that it shares with the
    ladder: while those rest, it waits; a trim that would give nothing is left out. Costs what the
    two cost, and half of the collection again for noting what types it frees. `own` reads the bytes
    of the process; `learn` is told of each full collection, by anyone: seconds and live blocks.
    """

    def __init__(
        self,
        governor: Governor,
        collect: Reclaimer,
        trim: Reclaimer,
        own: Callable[[], int],
        *,
        may_stop: Callable[[], bool] = lambda: True,
        learn: Callable[[float, int], object] | None = None,
    ) -> None:
        self.may_stop: Callable[[], bool] = may_stop
        self.learn: Callable[[float, int], object] | None = learn
        self.garbage: Garbage | None = None  # What the last collection freed, by type.
        self._governor, self._clock = governor, governor.clock
        self._collect, self._trim, self._own = collect, trim, own
        self._not_before = float("-inf")

    def __call__(self, wanted: int) -> tuple[int, int] | None:
        """Do it for a growth by so many bytes: what the heap and the process shrank by.

        None while collections rest, and where the process may not be stopped.
        """
        began = self._clock.now()
        if began < self._not_before or self._collect.reclaimable() == 0:
            return None
        if not self.may_stop():
            self._not_before = began + REFUSED_FOR
            return None
        watched = self._watched()
        began, before, heap = self._clock.now(), self._own(), allocator.in_use() or 0
        freed = self._collect.reclaim(max(1, wanted), began)
        freed += max(0, heap - (allocator.in_use() or 0))
        objects = getattr(self._collect, "objects", None)
        if watched is not None:
            self.garbage = watched.told(objects or 0, freed)
            del watched
        if self._trim.reclaimable() != 0:
            self._trim.reclaim(max(1, wanted), began)
        returned, now = before - self._own(), self._clock.now()
        event = Reclaimed(
            at=now,
            by=NAME,
            rung=None,
            asked=wanted,
            claimed=freed,
            measured=returned,
            took=now - began,
            objects=objects,
        )
        self._governor.tell(event)
        return freed, max(0, returned)

    def _watched(self) -> Freed | None:
        """Notes of what is there; none in a child forked amid the import, which may never end."""
        imports = self._governor.imports
        if imports.is_closed:
            return None
        try:
            with imports:
                from membudget.heap import Freed  # only where a leak is suspected
            return Freed()
        except (ImportError, MemoryError):  # A list of all objects; the collection takes none.
            return None
