"""The chore that judges the samples: a verdict after each, told when surer and when it ends.

What it takes to judge is imported when there are samples enough for a first verdict, two hours
after the start by default, a module a slice; a process that lives for an hour never pays for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from membudget.core import LeakSuspected, SystemClock
from membudget.core.native import Imports
from membudget.core.status import LeakState
from membudget.units import how_many

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from membudget.core import Clock, Sample
    from membudget.governor.telling import Teller
    from membudget.inspection.foresight import Foresight
    from membudget.leaks.records import Rules, State, Verdict
    from membudget.sampling.form import SampleRing
    from membudget.settings.resolve import Settings

    Finder: TypeAlias = Callable[[Verdict, Sequence[Sample]], tuple[Any, ...]]
    """Finds what grows: records with a `name`, the one that explains most first."""

HOUR = 3600.0
MIB = 1 << 20
MOST_JUDGED = 900
"""Samples judged: three days of five minutes each, which is as far as is looked back, and what the
detector's constants were set on. What turns them into columns takes 6 ms at a stretch."""

APART = 285.0
"""Seconds: five minutes, less what a sample may come early."""

NEEDED = (
    *("trend", "leaks.records", "leaks.series", "leaks.windows", "leaks.evidence"),
    *("leaks.kinds", "leaks.shape", "leaks.verdict", "forecast", "leaks.advice"),
)
"""What judging imports, each after what it imports itself: 1 to 3 ms each, 15 ms together."""

_NEARLY = 0.999
_LONGEST_STEP = 0.002
"""Seconds that one step of judging may take: a slice ends while there is time for one more."""


class LeakWatch:
    """Judges a ring after each sample, in slices, on the thread that adds to it.

    Args:
        ring: The samples.
        settings: `leaks`.
        tell: Takes `LeakSuspected` when a level is reached or rises, and when it ends.
        collect: Collects and trims once, given the bytes wanted, and returns the bytes freed and
            returned; None while it may not. Where it is None, or its `may_stop` says no, accusing
            goes without.
        culprits: Asked when a level is reached or rises.
        ahead: Looks ahead on the same samples, or None.
        clock: Where time comes from.
        imports: Marks what is imported late.

    Attributes:
        verdict: The one that stands, or None before the first.
        found: What the culprits' finder said last.
    """

    name = "leaks"

    def __init__(
        self,
        ring: SampleRing,
        settings: Settings,
        tell: Teller,
        *,
        collect: Callable[[int], tuple[int, int] | None] | None = None,
        culprits: Finder = lambda _verdict, _samples: (),
        ahead: Foresight | None = None,
        clock: Clock | None = None,
        imports: Imports | None = None,
    ) -> None:
        self._imports = imports or Imports()
        self._ring = ring
        self._settings = settings
        self._tell = tell
        self._collect = collect
        self._culprits = culprits
        self._ahead = ahead
        self._clock = clock or SystemClock()
        self._rules: Rules | None = None
        self._begin()

    def _begin(self) -> None:
        self.verdict: Verdict | None = None
        self.found: tuple[Any, ...] = ()
        self._named: set[str] = set()
        self._state: State | None = None
        self._reached: float | None = None
        self._told = 0
        self._count = 0
        self._since = self._newest = 0.0
        self._is_due = False
        self._steps: Generator[None, None, None] | None = None

    def after_sample(self, sample: Sample) -> None:
        """Judge soon, if there are enough of this process by now."""
        self._count += 1
        self._newest = sample.wall
        if self._count == 1:
            self._since = sample.wall
        # As the verdict counts: each sample stands for the time since the one before.
        span = (self._newest - self._since) * self._count / max(1, self._count - 1)
        self._is_due = (
            not self._imports.is_closed
            and self._count >= self._settings["leaks.min_samples"]
            and span >= self._settings["leaks.min_duration"] * _NEARLY
        )

    def due(self, now: float) -> bool:  # noqa: ARG002  # after each sample
        """Whether a sample waits to be judged, a verdict is under way, or a collection wanted."""
        return self._is_due or self._steps is not None or self._wants_collection()

    def run(self, until: float) -> int:
        """Judge for a slice; a verdict over a day of samples takes about ten of 5 ms.

        Returns:
            Bytes that a collection before accusing let go.
        """
        if self._steps is None and self._is_due:
            self._is_due, self._steps = False, self._judge()
        if self._steps is None:
            return self._collect_once() if self._wants_collection() else 0
        steps = self._steps
        try:
            for _ in steps:
                if self._clock.now() >= until - _LONGEST_STEP:
                    return 0
        except BaseException:
            self._steps = None
            raise
        self._steps = None
        return 0

    def state(self) -> LeakState:
        """The verdict that stands; before the first, only why there is none."""
        verdict = self.verdict
        if verdict is None:
            due = self._settings["leaks.min_samples"]
            reason = f"{how_many(self._count)} so far, {due} are due"
            return LeakState(reason=reason, confidence=None)
        return LeakState(
            kind=str(verdict.kind),
            confidence=verdict.confidence.name.lower(),
            reason=verdict.reason,
            culprits=tuple(map(_name, self.found)),
            at=verdict.at,
            score=verdict.score,
            rate=verdict.rate,
            rate_low=verdict.rate_low,
            rate_high=verdict.rate_high,
            onset=verdict.onset,
            growth=verdict.growth,
            filling=verdict.filling,
        )

    def after_fork_in_child(self) -> None:
        """Know nothing."""
        self._begin()
        if self._ahead is not None:
            self._ahead.forget()

    def _judge(self) -> Generator[None, None, None]:
        yield from self._load()
        from membudget.leaks.series import Series
        from membudget.leaks.verdict import judging

        if self._rules is None:
            self._rules = rules_of(self._settings, can_collect=self._collect is not None)
        yield
        every = yield from self._ring.reading()
        samples = fewer(every)
        yield
        series = Series.of(samples)
        yield
        state = self._state
        if state is not None and self._reached is not None:
            state = state.replace(reached=self._reached)
        rules = self._rules
        if self._collect is not None and not getattr(self._collect, "may_stop", _always)():
            # A verdict that waits for what is never done would be none.
            rules = rules.replace(collect_first=False)
        verdict, self._state = yield from judging(series, rules, state)
        self.verdict = verdict
        self._tell_change(verdict, every)
        if self._ahead is not None:
            yield
            yield from self._ahead.looking(samples, series, verdict, self._rules)

    def _load(self) -> Generator[None, None, None]:
        """Import what judging needs, if this is the first time."""
        for name in NEEDED if self._rules is None else ():
            with self._imports:
                import_module(f"membudget.{name}")
            yield

    def _tell_change(self, verdict: Verdict, samples: Sequence[Sample]) -> None:
        level = int(verdict.confidence)
        if level and level <= self._told:
            return
        if not level:
            if self._state is not None and self._state.collected is not None:
                # What is suspected next is collected for anew.
                self._state = self._state.replace(collected=None)
            self.found = ()
            self._reached = None
            self._named.clear()
            if not self._told:
                return
        else:
            self.found = self._find(verdict, samples)
        self._told = level
        self._tell(self._suspected(verdict))

    def accuse(self, found: Sequence[Any]) -> None:
        """Note who is suspected; one that was not told before, likeliest now, is told at once.

        Where the counters could not tell the kind, who holds what has grown does.
        """
        from membudget.leaks.culprit import reached  # imported by who found them
        from membudget.leaks.verdict import revised  # imported with the verdict

        self.found = tuple(found)
        self._reached = reached(self.found)
        if self.verdict is not None:
            self.verdict = revised(self.verdict, self._reached)
        is_new = bool(self.found) and _name(self.found[0]) not in self._named
        if is_new and self._told and self.verdict is not None:
            self._tell(self._suspected(self.verdict))

    def _suspected(self, verdict: Verdict) -> LeakSuspected:
        culprit = _name(self.found[0]) if self.found else ""
        self._named.add(culprit)
        return LeakSuspected(
            at=self._clock.now(),
            rate=verdict.rate,
            culprit=culprit,
            confidence=verdict.confidence.name.lower(),
            kind=str(verdict.kind),
            rate_low=verdict.rate_low,
            rate_high=verdict.rate_high,
            onset=verdict.onset,
            growth=verdict.growth,
            reason=verdict.reason,
        )

    def _find(self, verdict: Verdict, samples: Sequence[Sample]) -> tuple[Any, ...]:
        try:
            return tuple(self._culprits(verdict, samples))
        except Exception as error:  # noqa: BLE001  # a suspicion without a culprit is still one
            self._tell.failed("culprits", error)
            return ()

    def _wants_collection(self) -> bool:
        return (
            self._collect is not None
            and self.verdict is not None
            and self.verdict.wants_collection
            and self._state is not None
            and self._state.collected is None
        )

    def _collect_once(self) -> int:
        """Collect and trim before a suspicion becomes an accusation, as soon as that may be."""
        assert self._collect is not None  # noqa: S101  # for the type checker
        assert self.verdict is not None  # noqa: S101  # likewise
        assert self._state is not None  # noqa: S101  # likewise
        done = self._collect(max(0, self.verdict.growth))
        if done is None:
            return 0
        import gc

        from membudget.leaks.records import Collected  # imported with the verdict

        freed, returned = done
        self._state = self._state.replace(
            collected=Collected(
                at=self._newest, freed=freed, returned=returned, uncollectable=len(gc.garbage)
            )
        )
        return freed


def _always() -> bool:
    return True


def _name(culprit: object) -> str:
    return str(getattr(culprit, "name", culprit))


def rules_of(settings: Settings, *, can_collect: bool = False) -> Rules:
    """The rules of the verdict that these settings ask for."""
    from membudget.leaks.records import Rules  # when a verdict is due

    return Rules(
        minimum_rate=settings["leaks.minimum_rate"] / MIB,
        threshold_mb_per_hour=settings["leaks.threshold_mb_per_hour"],
        min_duration=settings["leaks.min_duration"] / HOUR,
        min_samples=settings["leaks.min_samples"],
        gc_efficiency=settings["leaks.gc_efficiency"],
        collect_first=can_collect,
    )


def fewer(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The samples to judge: all, or where they are many, about 900 that are evenly apart.

    Hardly ever farther than five minutes; the newest is always among them.
    """
    if len(samples) <= MOST_JUDGED:
        return samples
    apart = min(APART, (samples[-1].wall - samples[0].wall) / MOST_JUDGED)
    kept = [samples[0]]
    for one in samples[1:-1]:
        before = kept[-1]
        is_other = (one.pid, one.began) != (before.pid, before.began)
        if is_other or one.wall - before.wall >= apart:
            kept.append(one)
    return [*kept, samples[-1]]
