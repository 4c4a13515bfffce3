"""The verdict: does this process leak, what kind of growth is it, since when, how fast.

Pure: samples and the state before come in, a verdict and the state after go out; no clock, no I/O.
The test is a floor-trend test on what is left of the resident memory when all that parts with a
declared bound hold is taken away (`windows`, `evidence`). A look every half hour is enough; a level
holds once two looks have agreed and ends after three without it. Before the first accusation the
verdict asks for one collection and one trim (`Collected`), for no curve can tell the first tooth of
a collector's saw from a leak.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from membudget.core.slices import in_one_go
from membudget.leaks.children import in_children
from membudget.leaks.evidence import weigh
from membudget.leaks.facts import growing_share, simple_facts
from membudget.leaks.kinds import leak_kind, settled
from membudget.leaks.onset import onset
from membudget.leaks.parts import fillings
from membudget.leaks.records import (
    Collected,
    Confidence,
    Filling,
    Kind,
    SimpleFacts,
    State,
    Step,
    Verdict,
)
from membudget.leaks.rules import Rules
from membudget.leaks.series import HOUR, MIB
from membudget.leaks.shape import Shape, shape
from membudget.leaks.state import after_collection, counted
from membudget.leaks.windows import YOUNG, Columns, columns, windows
from membudget.leaks.words import reason
from membudget.units import how_many, human_seconds

if TYPE_CHECKING:
    from collections.abc import Generator

    from membudget.leaks.evidence import Finding
    from membudget.leaks.series import Series
    from membudget.leaks.window import Window

__all__ = [
    "Collected",
    "Confidence",
    "Filling",
    "Kind",
    "Rules",
    "SimpleFacts",
    "State",
    "Step",
    "Verdict",
    "judge",
    "judging",
    "revised",
]

Judged: TypeAlias = tuple[Verdict, State]


def judge(series: Series, rules: Rules, before: State | None = None) -> Judged:
    """Judge the newest samples of one process.

    Args:
        series: Its samples; `Series.of` makes them.
        rules: The constants.
        before: What the last call returned, or None. A state of another process is dropped.

    Returns:
        The verdict, and the state for the next call. About 3 ms for a day of five-minute samples.
    """
    return in_one_go(judging(series, rules, before))


def judging(
    series: Series, rules: Rules, before: State | None = None
) -> Generator[None, None, Judged]:
    """Judge in slices: yields between windows, at most about a millisecond apart for a day.

    Args:
        series: The samples of one process.
        rules: The constants.
        before: The state before.

    Yields:
        Nothing; another thread may have its turn.
    """
    state = before if before is not None and before.origin == series.origin else None
    state = state or State(origin=series.origin)
    if not _is_enough(series, rules):
        return _too_early(series, rules), state
    state = after_collection(state, rules)
    since = (state.since - series.origin) / HOUR if state.since is not None else 0.0
    own = columns(series, rules.settled, since)
    found: list[Window] = []
    for window in windows(own):
        found.append(window)
        yield
    if not found and state.since is None:
        return _too_early(series, rules), state
    finding = weigh(found, rules)
    state = counted(state, finding, _now(series), rules)
    verdict = _verdict(own, found, finding, state, rules)
    yield
    if verdict.confidence == Confidence.NONE and series.children and any(series.children):
        return (yield from in_children(series, verdict, state, rules))
    return verdict, state


def revised(verdict: Verdict, reached: float | None) -> Verdict:
    """The verdict with the kind that a look at what Python can reach has shown.

    Args:
        verdict: A verdict; returned as it is where the counters alone tell the kind.
        reached: Share of the growth that what Python can reach explains, or None.
    """
    if verdict.confidence is Confidence.NONE or verdict.is_kind_sure or reached is None:
        return verdict
    kind = settled(verdict.kind, reached, is_sure=False)
    told = verdict.replace(kind=kind, is_kind_sure=True)
    return told.replace(reason=reason(told, ""))


def _now(series: Series) -> float:
    return series.origin + series.hours[-1] * HOUR


def _is_enough(series: Series, rules: Rules) -> bool:
    """Whether the samples are many and cover enough time; each stands for the step before it."""
    count = len(series.hours)
    if count < max(2, rules.min_samples):
        return False
    span = series.hours[-1] - series.hours[0]
    return span + span / (count - 1) >= rules.min_duration * 0.999


def _too_early(series: Series, rules: Rules) -> Verdict:
    span = series.hours[-1] - series.hours[0] if series.hours else 0.0
    needed = max(rules.min_duration, rules.settled + YOUNG)
    return Verdict(
        at=_now(series) if series.hours else series.origin,
        kind=Kind.NONE,
        confidence=Confidence.NONE,
        score=0.0,
        rate=0.0,
        rate_low=0.0,
        rate_high=0.0,
        onset=None,
        growth=0,
        growing_share=growing_share(series.rss),
        window=span * HOUR,
        reason=(
            f"Too early to say: {how_many(len(series.hours))} over {human_seconds(span * HOUR)}, "
            f"{rules.min_samples} over {human_seconds(needed * HOUR)} are needed."
        ),
        facts=simple_facts(series, rules),
        filling=fillings(series),
    )


def _verdict(
    own: Columns, found: list[Window], finding: Finding, state: State, rules: Rules
) -> Verdict:
    """The verdict from what the windows say and what holds."""
    series, level = own.series, state.level
    wants = rules.collect_first and level >= Confidence.MEDIUM and state.collected is None
    if wants:
        level = Confidence.LOW
    shown = finding.window or (found[-1] if found else None)
    filling = fillings(series)
    form, is_sure = Shape(kind=Kind.NONE), True
    if state.cleared is not None and level == Confidence.NONE:
        kind = state.cleared
    elif level > Confidence.NONE and shown is not None:
        kind, is_sure = leak_kind(own, shown, state, rules)
        kind = settled(kind, state.reached, is_sure=is_sure)
        if kind is Kind.FILE:  # The kernel takes it back: worth a word, no accusation.
            level, wants = Confidence.LOW, False
    else:
        form = shape(own, found[-1] if found else None, filling, rules)
        kind = form.kind
    low, rate, high = state.rate
    if level == Confidence.NONE and shown is not None:
        low, rate, high = shown.low * MIB, shown.rate * MIB, shown.high * MIB
    began = None
    if level > Confidence.NONE and shown is not None:
        began = series.origin + onset(own, rate / MIB, shown.begin) * HOUR
    return _worded(
        Verdict(
            at=_now(series),
            kind=kind,
            confidence=level,
            score=finding.score if level > Confidence.NONE else min(finding.score, 0.49),
            rate=rate,
            rate_low=low,
            rate_high=high,
            onset=began,
            growth=round(shown.growth * MIB) if shown else 0,
            growing_share=growing_share(_within(series, shown)),
            window=shown.length * HOUR if shown else 0.0,
            reason="",
            facts=simple_facts(series, rules),
            filling=filling,
            step=form.step,
            levels_off_at=None if form.levels_off_at is None else round(form.levels_off_at * MIB),
            wants_collection=wants,
            is_kind_sure=is_sure or state.reached is not None,
        ),
        finding,
    )


def _worded(verdict: Verdict, finding: Finding) -> Verdict:
    return verdict.replace(reason=reason(verdict, finding.failed[-1] if finding.failed else ""))


def _within(series: Series, window: Window | None) -> list[float]:
    """The resident memory within a window."""
    begin = window.begin if window else 0.0
    return [held for hour, held in zip(series.hours, series.rss, strict=True) if hour >= begin]
