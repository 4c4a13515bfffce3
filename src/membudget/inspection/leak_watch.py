"""The chore that judges the samples: a verdict after each, told when surer and when it ends.

What it takes is imported when there are samples enough for a first verdict, two hours after the
start by default, a module a slice. After each verdict it looks ahead on the same samples.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from membudget.core import LeakSuspected, LimitForeseen, ProposalApplied, in_bytes
from membudget.core.nouns import LeakState
from membudget.errors import MembudgetError
from membudget.units import how_many

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from membudget.core import Clock, Sample
    from membudget.forecast import Nearness
    from membudget.governor import Governor
    from membudget.leaks import Rules, State, Verdict
    from membudget.leaks.advice import Proposal
    from membudget.leaks.culprit import Culprit
    from membudget.leaks.series import Series
    from membudget.sampling.form import SampleRing
    from membudget.settings import Settings

HOUR = 3600.0
MIB = 1 << 20
MOST_JUDGED = 900
"""Samples judged: three days of five minutes each, which is as far as is looked back, and what the
detector's constants were set on. What turns them into columns takes 6 ms at a stretch."""

NEEDED = (
    *("trend", "leaks", "leaks.series", "leaks.windows", "leaks.evidence"),
    *("leaks.verdict", "forecast", "leaks.advice"),
)
"""What judging imports, each after what it imports itself: 1 to 3 ms each, 15 ms together."""

_NEARLY = 0.999
LONGEST_STEP = 0.002
"""Seconds that one step may take: a slice ends while there is time for one more."""

PROPOSED_EVERY = HOUR
"""Seconds between two looks at what settings would fit: they come from half a day at the least."""


def left_of(
    steps: Generator[None, None, None], clock: Clock, until: float
) -> Generator[None, None, None] | None:
    """Go on while there is time for one more step; what is left of them, None at their end."""
    for _ in steps:
        if clock.now() >= until - LONGEST_STEP:
            return steps
    return None


class LeakWatch:
    """Judges a ring after each sample, in slices, on the governor's thread.

    `LeakSuspected` is told when a level is reached or rises, and when it ends. Where the governor
    has a collector that may stop the process, that is asked before anybody is accused.

    Attributes:
        verdict: The one that stands, or None before the first.
        found: Who is suspected.
    """

    name = "leaks"

    def __init__(self, governor: Governor, ring: SampleRing) -> None:
        self._governor = governor
        self.ring = ring  # The samples.
        self._settings = governor.settings
        self._collect = governor.collector
        self._rules: Rules | None = None
        self._begin()

    def _begin(self) -> None:
        self.verdict: Verdict | None = None
        self.found: tuple[Culprit, ...] = ()
        self.proposals: tuple[Proposal, ...] = ()
        self._nearness: Nearness | None = None
        self._next = float("-inf")  # When it is proposed again.
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
            not self._governor.imports.is_closed
            and self._count >= self._settings["leaks.min_samples"]
            and span >= self._settings["leaks.min_duration"] * _NEARLY
        )

    def due(self, now: float) -> bool:  # noqa: ARG002  # after each sample
        """Whether a sample waits to be judged, a verdict is under way, or a collection wanted."""
        return self._is_due or self._steps is not None or self._uncollected() is not None

    def run(self, until: float) -> int:
        """Judge for a slice of 5 ms, of about ten for a day; bytes that a collection let go."""
        steps, self._steps = self._steps, None
        if steps is None:
            if not self._is_due:
                return self._collect_once()
            self._is_due, steps = False, self._judge()
        self._steps = left_of(steps, self._governor.clock, until)
        return 0

    def state(self) -> LeakState:
        """The verdict that stands; before the first, only why there is none."""
        verdict = self.verdict
        if verdict is None:
            due = self._settings["leaks.min_samples"]
            reason = f"{how_many(self._count)} so far, {due} are due"
            return LeakState(reason=reason, confidence=None)
        return LeakState(
            culprits=tuple(one.name for one in self.found),
            at=verdict.at,
            score=verdict.score,
            filling=verdict.filling,
            **_figures(verdict),
        )

    def after_fork_in_child(self) -> None:
        """Know nothing."""
        self._begin()

    def _judge(self) -> Generator[None, None, None]:
        for name in NEEDED if self._rules is None else ():
            with self._governor.imports:
                import_module(f"membudget.{name}")
            yield
        from membudget.leaks.series import Series
        from membudget.leaks.verdict import judging

        if self._rules is None:
            self._rules = rules_of(self._settings, can_collect=self._collect is not None)
        yield
        samples = fewer((yield from self.ring.reading()))
        yield
        series = Series.of(samples)
        yield
        state = self._state
        if state is not None and self._reached is not None:
            state = state.replace(reached=self._reached)
        rules = self._rules
        if self._collect is not None and not self._collect.may_stop():
            # A verdict that waits for what is never done would be none.
            rules = rules.replace(collect_first=False)
        self.verdict, self._state = yield from judging(series, rules, state)
        self._tell_change(self.verdict)
        yield
        self._look_ahead(samples[len(samples) - len(series.hours) :], series)
        yield
        yield from self._propose(samples, series, self.verdict, self._rules)

    def _tell_change(self, verdict: Verdict) -> None:
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
        self._told = level
        self._tell(verdict)

    def accuse(self, found: tuple[Culprit, ...]) -> None:
        """Note who is suspected; one that was not told before, likeliest now, is told at once.

        Where the counters could not tell the kind, who holds what has grown does.
        """
        from membudget.leaks.culprit import reached  # imported by who found them
        from membudget.leaks.verdict import revised  # imported with the verdict

        self.found = found
        self._reached = reached(found)
        if self.verdict is None:
            return
        self.verdict = revised(self.verdict, self._reached)
        if self._told and found and found[0].name not in self._named:
            self._tell(self.verdict)

    def _tell(self, verdict: Verdict) -> None:
        culprit = self.found[0].name if self.found else ""
        self._named.add(culprit)
        now = self._governor.clock.now()
        self._governor.tell(LeakSuspected(at=now, culprit=culprit, **_figures(verdict)))

    def _uncollected(self) -> State | None:
        """The state of a verdict that wants a collection which was not made."""
        wants = self._collect is not None and self.verdict and self.verdict.wants_collection
        state = self._state if wants else None
        return None if state is None or state.collected is not None else state

    def _collect_once(self) -> int:
        """Collect and trim before a suspicion becomes an accusation, as soon as that may be."""
        state = self._uncollected()
        if state is None or self._collect is None or self.verdict is None:
            return 0
        done: tuple[int, int] | None = self._collect(max(0, self.verdict.growth))
        if done is None:
            return 0
        from membudget.leaks import Collected  # imported with the verdict

        collected = Collected(at=self._newest, freed=done[0], returned=done[1])
        self._state = state.replace(collected=collected)
        return done[0]

    def _look_ahead(self, own: Sequence[Sample], series: Series) -> None:
        from membudget.forecast import Nearness, forecast  # imported ahead, with the verdict

        governor = self._governor
        used = [one.used / MIB for one in own]
        ahead = forecast(series.hours, used, own[-1].limit, bounded=series.explained)
        before = self._nearness or Nearness()
        self._nearness = before.after(ahead)
        now, left = governor.clock.now(), ahead.seconds_left
        governor.foretold = None if left is None else now + left
        is_near = self._nearness.is_told
        if is_near is not before.is_told:
            event = LimitForeseen(
                at=now,
                seconds_left=left if is_near else None,
                soonest=ahead.soonest if is_near else None,
                latest=ahead.latest if is_near else None,
                rate=ahead.rate,
                used=ahead.used,
                limit=ahead.limit,
            )
            governor.tell(event)

    def _propose(
        self, samples: Sequence[Sample], series: Series, verdict: Verdict, rules: Rules
    ) -> Generator[None, None, None]:
        newest = samples[-1]
        if newest.wall < self._next:
            return
        self._next = newest.wall + PROPOSED_EVERY
        from membudget.leaks.advice import proposing  # imported ahead, with the verdict

        low, warning, whole = 0.7, 0.8, 1
        if newest.limit:
            whole = newest.limit
            low, warning, *_ = self._governor.marks.resolved(whole)
        self.proposals = yield from proposing(
            samples,
            rules,
            warning=round(warning / whole, 4),
            low=round(low / whole, 4),
            is_growing=bool(verdict.confidence),
            series=series,
        )
        yield
        if self._governor.settings["leaks.apply_proposals"]:
            self._apply(newest.limit)

    def _apply(self, limit: int | None) -> None:
        """Put in force what tightens something and may change now; tell each with its reason."""
        from membudget.settings.table import setting_of

        governor, before = self._governor, self._governor.settings
        chosen, values = [], dict[str, Any]()
        for one in self.proposals:
            setting = setting_of(one.key) if one.key else None
            if setting is None or not setting.is_live or one.key == "limit":
                continue
            now: Any = before.values.get(one.key)
            if one.key.startswith("thresholds."):
                value = one.value
                is_tighter = in_bytes(value, limit) < in_bytes(now, limit)
            else:
                value = round(one.value)
                # A bound that the program gave, or the container keeps, is not to be changed.
                is_tighter = not one.now if now is None else value < now
            if is_tighter:
                chosen.append(one)
                values[one.key] = value
        if not chosen:
            return
        origins = dict.fromkeys(values, "its own history")
        after = before.replace(
            values={**before.values, **values}, origins={**before.origins, **origins}
        )
        try:
            for error in after.misplaced():
                raise error
            governor.change_settings(after)
        except MembudgetError as error:
            governor.tell.failed("proposals", error)
            return
        now = governor.clock.now()
        for one in chosen:
            event = ProposalApplied(
                at=now, key=one.key, before=one.now, after=one.told, reason=one.reason
            )
            governor.tell(event)


def _figures(verdict: Verdict) -> dict[str, Any]:
    """What an event and the state tell alike."""
    return {
        "kind": str(verdict.kind),
        "confidence": verdict.confidence.name.lower(),
        "reason": verdict.reason,
        "rate": verdict.rate,
        "rate_low": verdict.rate_low,
        "rate_high": verdict.rate_high,
        "onset": verdict.onset,
        "growth": verdict.growth,
    }


def rules_of(settings: Settings, *, can_collect: bool = False) -> Rules:
    """The rules of the verdict that these settings ask for."""
    from membudget.leaks import Rules  # when a verdict is due

    return Rules(
        minimum_rate=settings["leaks.minimum_rate"] / MIB,
        threshold_mb_per_hour=settings["leaks.threshold_mb_per_hour"],
        min_duration=settings["leaks.min_duration"] / HOUR,
        min_samples=settings["leaks.min_samples"],
        gc_efficiency=settings["leaks.gc_efficiency"],
        collect_first=can_collect,
    )


def fewer(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The samples to judge: all, or of many about 900 evenly apart, the newest among them."""
    if len(samples) <= MOST_JUDGED:
        return samples
    from membudget.leaks.series import APART, spread  # imported with the verdict

    apart = min(APART, (samples[-1].wall - samples[0].wall) / MOST_JUDGED)
    return [*spread(samples[:-1], apart), samples[-1]]
