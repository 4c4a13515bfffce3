"""The samples of one budget: taken at their interval, kept packed, judged for leaks.

A budget that has just started pays next to nothing for it: what takes samples is imported by the
first one, about a second later, and what judges them when they are enough for a verdict.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from membudget.core import Level

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from membudget.budget.foresight import Foresight
    from membudget.budget.leak_watch import Finder, LeakWatch
    from membudget.budget.suspects import Suspects
    from membudget.budget.tracing import Tracing
    from membudget.core import Reading, Sample
    from membudget.governor.loop import Governor
    from membudget.leaks.advice import Proposal
    from membudget.leaks.culprit import Culprit
    from membudget.leaks.records import Verdict
    from membudget.registry import Registry
    from membudget.sampling.keep import Keeper
    from membudget.sampling.ring import SampleRing
    from membudget.sampling.taker import Efficiency, Taker
    from membudget.settings.resolve import Settings


class Sampling:
    """Takes and keeps samples on the governor's thread; any thread may read them.

    A forked child begins with no samples and no verdict, and with a history file of its own.

    Args:
        settings: `monitoring` and `leaks`.
        registry: Whose parts are looked at.
        redact: What each text of the program's is passed through before it is told of a culprit;
            None hides digits, and what looks like an address or a token.

    Attributes:
        settings: What holds now.
        wall: Unix seconds: what samples are dated by, and looks at what grows.
        requests: Requests served so far, for whoever counts them; None where nobody does.
        culprits: Finds what grows, for a verdict and the samples that it was made of.
        change: Puts settings in force while the budget runs; None where none may be changed.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        redact: Callable[[str], object] | None = None,
    ) -> None:
        self.settings = settings
        self._redact = redact
        self._registry = registry
        self._governor: Governor | None = None
        self._collect: Callable[[int], tuple[int, int] | None] | None = None
        self._learn: Callable[[float, int], object] | None = None
        self._ring: SampleRing | None = None
        self._taker: Taker | None = None
        self._efficiency: Efficiency | None = None
        self._keeper: Keeper | None = None
        self._watch: LeakWatch | None = None
        self._suspects: Suspects | None = None
        self._ahead: Foresight | None = None
        self._tracing: Tracing | None = None
        self._is_loading = self._is_given_up = False
        self._inherited: tuple[Any, ...] | None = None
        self.wall: Callable[[], float] = time.time
        self.requests: Callable[[], int | None] = lambda: None
        self.culprits: Finder = lambda _verdict, _samples: self.suspected()
        self.change: Callable[[Settings], object] | None = None

    def attach(
        self,
        governor: Governor,
        collect: Callable[[int], tuple[int, int] | None] | None,
        learn: Callable[[float, int], object] | None = None,
    ) -> None:
        """Serve this governor until it stops.

        Args:
            governor: Tells, and has the chores run.
            collect: Collects and trims once, given the bytes wanted; returns the bytes freed and
                returned, or None while it may not. None where it never may.
            learn: Told of each full collection, once samples are taken: seconds and live blocks.
        """
        self._governor, self._collect, self._learn = governor, collect, learn
        governor.at_stop.append(self.stop)
        self._registry.add(self)

    @property
    def kept(self) -> int:
        """How many samples are kept."""
        return len(self._ring) if self._ring is not None else 0

    def reading(self, most: int | None = None) -> Generator[None, None, list[Sample]]:
        """The newest so many samples, or all, oldest first, in slices of 1 to 2 ms.

        Yields:
            Nothing; another thread may have its turn.
        """
        return (yield from self._ring.reading(most)) if self._ring is not None else []

    def latest(self, most: int | None = None) -> list[Sample]:
        """The newest so many samples, or all that are kept, oldest first. Cost: 50 µs for each."""
        return self._ring.latest(most) if self._ring is not None else []

    def take(self, reading: Reading) -> Sample | None:
        """Take one, beside a reading; on the governor's thread. Cost: 0.2 to 0.7 ms.

        None in a child that was forked while its parent imported what takes samples: to import it
        there might never end.
        """
        if self._taker is None and not self._is_given_up:
            self._is_loading = True
            try:
                self._begin()
            finally:
                self._is_loading = False
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
        if (standing := self.standing) is not None:
            return standing
        from membudget.budget.judging import rules_of
        from membudget.leaks.series import Series
        from membudget.leaks.verdict import judge

        return judge(Series.of(self.latest()), rules_of(self.settings))[0]

    def row(self) -> dict[str, Any] | None:
        """The same in plain values for the control socket; None where nobody judges."""
        return self._watch.row() if self._watch is not None else None

    def stop(self) -> None:
        """Take no more, and write the history a last time; a second call does nothing."""
        self._registry.remove(self)
        if self._efficiency is not None:
            self._efficiency.end()
        if self._suspects is not None:
            self._suspects.end()
        if self._tracing is not None:
            self._tracing.end()
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.close()

    def before_fork(self, until: float) -> None:
        """Have nothing under way in the child."""
        if self._keeper is not None:
            self._keeper.before_fork(until)

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork_in_child(self) -> None:
        """Have no samples; what else there is to begin anew waits for the child's first step."""
        if self._inherited is None:
            self._inherited = (
                *(self._ring, self._taker, self._keeper),
                *(self._watch, self._suspects, self._ahead),
            )
        self._ring = self._taker = self._keeper = None
        self._watch = self._suspects = self._ahead = None

    def begin_in_child(self) -> None:
        """Begin anew, at the child's first step."""
        if self._inherited is None:
            return
        self._ring, _, self._keeper, self._watch, self._suspects, self._ahead = self._inherited
        self._inherited = None
        if self._is_loading and self._governor is not None:
            self._is_given_up = True
            error = RuntimeError("forked amid an import: no samples here")
            self._governor.tell.failed("sample", error)
        if self._ring is not None:
            self._ring.clear()
        if self._efficiency is not None:
            self._efficiency.forget()
        if self._keeper is not None:
            self._keeper.after_fork_in_child()
        if self._watch is not None:
            self._watch.after_fork_in_child()
        if self._suspects is not None:
            self._suspects.after_fork_in_child()
        if self._tracing is not None:
            self._tracing.after_fork_in_child()

    def _begin(self) -> None:
        """Make what takes samples: at the first one of this process."""
        from membudget.probes import allocator
        from membudget.sampling.ring import SampleRing
        from membudget.sampling.taker import Efficiency, Parts, Sources, Taker

        failed = self._governor.tell.failed if self._governor is not None else _nowhere

        if self._efficiency is None:
            self._efficiency = Efficiency(self._learn)
            self._efficiency.begin()
        sources = Sources(
            malloc=allocator.in_use,
            system=_system,
            parts=Parts(self._registry, failed).take,
            governed=self._registry.held_bytes,
            efficiency=self._efficiency.take,
            requests=lambda: self.requests(),  # noqa: PLW0108  # set later
        )
        if self._ring is None:
            ring = SampleRing(self.settings["monitoring.history_size"])
            self._add_chores(ring)
            self._ring = ring
        self._taker = Taker(sources, failed, lambda: self.wall())  # noqa: PLW0108  # likewise

    def _add_chores(self, ring: SampleRing) -> None:
        governor, settings = self._governor, self.settings
        if governor is None:
            return
        # Where memory is short this may fail, and is begun anew.
        keeper = watch = suspects = ahead = tracing = None
        if (path := settings["monitoring.history_file"]) is not None:
            from membudget.sampling.keep import Keeper  # only for those who keep a file

            span = ring.size * settings["monitoring.snapshot_interval"]
            failed, now = governor.tell.failed, governor.clock.now
            keeper = Keeper(path, ring, span, failed, wall=self.wall, now=now)
        if settings["leaks.enabled"]:
            from membudget.budget.foresight import Foresight  # only for those who judge
            from membudget.budget.leak_watch import LeakWatch

            ahead = Foresight(governor, lambda: self.settings, lambda: self.change)
            watch = LeakWatch(
                ring,
                settings,
                governor.tell,
                collect=self._collect,
                culprits=lambda *found: self.culprits(*found),  # noqa: PLW0108  # set later
                ahead=ahead,
                clock=governor.clock,
            )
            from membudget.budget.redaction import fenced
            from membudget.budget.suspects import Suspects

            def held() -> Iterator[tuple[str, Any]]:
                from membudget.budget.held import held_values  # only where somebody looks

                return held_values(self._registry)

            def is_calm() -> bool:
                return governor.pressure.level is Level.NORMAL

            if (seconds := settings["leaks.trace"]) is not None:
                from membudget.budget.tracing import Tracing  # only for those who asked

                tracing = Tracing(
                    lambda: self.standing,
                    seconds,
                    is_calm=is_calm,
                    failed=governor.tell.failed,
                    clock=governor.clock,
                )

            suspects = Suspects(
                lambda: self.standing,
                ring.reading,
                watch.accuse,
                held=held,
                garbage=lambda: getattr(self._collect, "garbage", None),
                lines=lambda: () if tracing is None else tracing.lines,
                is_calm=is_calm,
                failed=governor.tell.failed,
                every=settings["leaks.census_every"],
                clock=governor.clock,
                wall=lambda: self.wall(),  # noqa: PLW0108  # set later
                redact=None if self._redact is None else fenced(self._redact, governor.tell.failed),
            )
        self._keeper, self._watch, self._suspects = keeper, watch, suspects
        self._ahead, self._tracing = ahead, tracing
        chores = (keeper, watch, suspects, tracing)
        governor.chores += [one for one in chores if one is not None]


def _system() -> tuple[float, int] | None:
    """Share of the machine's memory in use, and what is left. Cost: 40 µs; nothing stays open."""
    from membudget.probes.system import SystemProbe, system_probe

    probe = system_probe()
    try:
        reading = probe()
    finally:
        if isinstance(probe, SystemProbe):
            probe.close()
    return reading.fraction, reading.parts["available"]


def _nowhere(_where: str, _error: BaseException) -> None:
    """Nobody is told."""
