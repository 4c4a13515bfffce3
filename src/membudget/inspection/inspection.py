"""The plugin that takes samples, keeps them, judges them for leaks and tells the latest day.

A budget that has just started pays next to nothing for it: what takes samples is imported by the
first one, about a second later, and what judges them when they are enough for a verdict.
"""

from __future__ import annotations

import time

from membudget.core import Level
from membudget.core.status import ProposalRow
from membudget.inspection.day import Day

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from typing import Any

    from membudget.core import Reading, Sample
    from membudget.governor.loop import Governor
    from membudget.inspection.foresight import Foresight
    from membudget.inspection.leak_watch import Finder, LeakWatch
    from membudget.inspection.suspects import Suspects, Tracing
    from membudget.leaks.advice import Proposal
    from membudget.leaks.culprit import Culprit
    from membudget.leaks.records import Verdict
    from membudget.report.figures import Report
    from membudget.sampling.form import SampleRing
    from membudget.sampling.keep import Keeper
    from membudget.sampling.taker import Efficiency, Taker


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
        culprits: Finds what grows, for a verdict and the samples that it was made of.
        day: The latest day.
    """

    name = "inspection"

    def __init__(self, program: str = "", *, redact: Callable[[str], object] | None = None) -> None:
        self._redact = redact
        self._governor: Governor | None = None
        self._ring: SampleRing | None = None
        self._taker: Taker | None = None
        self._efficiency: Efficiency | None = None
        self._keeper: Keeper | None = None
        self._watch: LeakWatch | None = None
        self._suspects: Suspects | None = None
        self._ahead: Foresight | None = None
        self._tracing: Tracing | None = None
        self.wall: Callable[[], float] = time.time
        self.requests: Callable[[], int | None] = lambda: None
        self.culprits: Finder = lambda _verdict, _samples: self.suspected()
        self.day = Day(self, program)

    def join(self, governor: Governor) -> None:
        """Serve this governor until it stops."""
        self._governor = governor
        governor.snapshots.take = self.take_sample
        self.day.join(governor)

    def leave(self) -> None:
        """Take no more, and write the history a last time; a second call does nothing."""
        self.day.leave()
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
        if self._ring is not None:
            self._ring.clear()
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

    @property
    def kept(self) -> int:
        """How many samples are kept."""
        return len(self._ring) if self._ring is not None else 0

    def reading(self, most: int | None = None) -> Generator[None, None, list[Sample]]:
        """The newest so many samples, or all, oldest first, in slices of half a millisecond.

        Yields:
            Nothing; another thread may have its turn.
        """
        return (yield from self._ring.reading(most)) if self._ring is not None else []

    def latest(self, most: int | None = None) -> list[Sample]:
        """The newest so many samples, or all that are kept, oldest first. Cost: 25 µs for each."""
        if self._governor is not None:
            self._governor.begin_in_child()
        return self._ring.latest(most) if self._ring is not None else []

    def take_sample(self, reading: Reading) -> Sample | None:
        """Take one, beside a reading; on the governor's thread. Cost: 0.2 to 0.7 ms.

        None in a child that was forked while its parent imported what takes samples.
        """
        governor = self._governor
        if self._taker is None and governor is not None and not governor.imports.is_closed:
            with governor.imports:
                self._begin(governor)
        if self._taker is None or self._ring is None:
            return None
        sample = self._taker.take(reading)
        self._ring.add(sample)
        if self._keeper is not None:
            self._keeper.after_sample()
        if self._watch is not None:
            self._watch.after_sample(sample)
        return sample

    @property
    def standing(self) -> Verdict | None:
        """The verdict that stands, or None before the first and where nobody judges."""
        return self._watch.verdict if self._watch is not None else None

    def suspected(self) -> tuple[Culprit, ...]:
        """Who grows, the likeliest first; nobody before the third look of a suspicion."""
        return self._suspects.found if self._suspects is not None else ()

    def proposed(self) -> tuple[Proposal, ...]:
        """The settings that the history proposes; none before half a day, and where nobody judges.

        Looked at once an hour.
        """
        return self._ahead.proposals if self._ahead is not None else ()

    def verdict(self) -> Verdict:
        """What the samples say of a leak: the verdict that stands, or one made now.

        Any thread; a verdict made now is made on it, at a cost of about 30 ms.
        """
        samples = self.latest()
        if (standing := self.standing) is not None:
            return standing
        from membudget.inspection.leak_watch import rules_of
        from membudget.leaks.records import Rules
        from membudget.leaks.series import Series
        from membudget.leaks.verdict import judge

        governor = self._governor
        rules = Rules() if governor is None else rules_of(governor.settings)
        return judge(Series.of(samples), rules)[0]

    def report(self, hours: float = 24.0) -> Report:
        """The report on the latest hours."""
        return self.day.report(hours)

    def _begin(self, governor: Governor) -> None:
        """Make what takes samples: at the first one of this process."""
        from membudget.probes import allocator
        from membudget.sampling.form import SampleRing
        from membudget.sampling.taker import Efficiency, Parts, Sources, Taker

        failed = governor.tell.failed
        if self._efficiency is None:
            collector = governor.collector
            self._efficiency = Efficiency(None if collector is None else collector.learn)
            self._efficiency.begin()
        sources = Sources(
            malloc=allocator.in_use,
            system=_system,
            parts=Parts(governor.registry, failed).take,
            governed=governor.registry.held_bytes,
            efficiency=self._efficiency.take,
            requests=lambda: self.requests(),  # noqa: PLW0108  # the program may exchange it
        )
        if self._ring is None:
            ring = SampleRing(governor.settings["monitoring.history_size"])
            self._add_chores(governor, ring)
            self._ring = ring
        self._taker = Taker(sources, failed, lambda: self.wall())  # noqa: PLW0108  # likewise

    def _add_chores(self, governor: Governor, ring: SampleRing) -> None:
        # Where memory is short this may fail, and is begun anew.
        settings = governor.settings
        keeper = None
        if (path := settings["monitoring.history_file"]) is not None:
            from membudget.sampling.keep import Keeper  # only for those who keep a file

            span = ring.size * settings["monitoring.snapshot_interval"]
            failed, now = governor.tell.failed, governor.clock.now
            keeper = Keeper(path, ring, span, failed, wall=self.wall, now=now)
        if settings["leaks.enabled"]:
            self._add_judges(governor, ring)
        self._keeper = keeper
        chores = (keeper, self._watch, self._suspects, self._tracing)
        governor.chores += [one for one in chores if one is not None]

    def _add_judges(self, governor: Governor, ring: SampleRing) -> None:
        from membudget.inspection.foresight import Foresight  # only for those who judge
        from membudget.inspection.leak_watch import LeakWatch
        from membudget.inspection.suspects import Suspects, Tracing, fenced

        settings, imports, clock = governor.settings, governor.imports, governor.clock
        collector = governor.collector

        def held() -> Iterator[tuple[str, Any]]:
            from membudget.inspection.roots import held_values  # only where somebody looks

            return held_values(governor.registry)

        def is_calm() -> bool:
            return governor.pressure.level is Level.NORMAL

        ahead = Foresight(governor)
        watch = LeakWatch(
            ring,
            settings,
            governor.tell,
            collect=collector,
            culprits=lambda *found: self.culprits(*found),  # noqa: PLW0108  # tests exchange it
            ahead=ahead,
            clock=clock,
            imports=imports,
        )
        tracing = None
        if (seconds := settings["leaks.trace"]) is not None:
            tracing = Tracing(
                lambda: self.standing, seconds, is_calm=is_calm, clock=clock, imports=imports
            )
        redact, failed = self._redact, governor.tell.failed
        suspects = Suspects(
            lambda: self.standing,
            ring.reading,
            watch.accuse,
            held=held,
            garbage=lambda: getattr(collector, "garbage", None),
            lines=lambda: () if tracing is None else tracing.lines,
            is_calm=is_calm,
            every=settings["leaks.census_every"],
            clock=clock,
            wall=lambda: self.wall(),  # noqa: PLW0108  # the program may exchange it
            redact=None if redact is None else fenced(redact, failed),
            imports=imports,
        )
        self._watch, self._suspects, self._ahead, self._tracing = watch, suspects, ahead, tracing


def _system() -> tuple[float, int] | None:
    """Share of the machine's memory in use, and what is left. Cost: 40 µs; nothing stays open."""
    from membudget.probes.process import SystemProbe, system_probe

    probe = system_probe()
    try:
        reading = probe()
    finally:
        if isinstance(probe, SystemProbe):
            probe.close()
    return reading.fraction, reading.parts["available"]
