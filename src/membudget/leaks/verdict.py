"""The verdict: does this process leak, what kind of growth is it, since when, how fast.

Pure: samples and the state before come in, a verdict and the state after go out. A floor-trend test
on what is left of the resident memory without what parts with a declared bound hold. A look every
half hour is enough; a level holds once two looks have agreed and ends after three without it.
Before the first accusation one collection and one trim are asked for (`Collected`): no curve can
tell the first tooth of a collector's saw from a leak.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from math import ceil
from typing import TYPE_CHECKING

from membudget.core.native import in_one_go
from membudget.leaks import RECORDED, Confidence, Kind, Rules, State, Verdict
from membudget.leaks.evidence import leak_kind, onset, settled, shape, weigh
from membudget.leaks.series import (
    HOUR,
    LONGEST,
    MIB,
    Series,
    fillings,
    growing_share,
    simple_facts,
    spread,
)
from membudget.leaks.windows import YOUNG, Columns, columns, windows
from membudget.units import how_many, human_bytes, human_seconds, human_span, signed

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from membudget.core import Sample
    from membudget.leaks import Filling
    from membudget.leaks.evidence import Finding
    from membudget.leaks.windows import Window

_NOTES = {
    Kind.PYTHON: "live Python objects grow with it",
    Kind.NATIVE: "the C heap grows with it and what Python can reach does not",
    Kind.SLACK: "no heap grows with it: fragmentation, or memory mapped past malloc",
    Kind.GARBAGE: "much of it may be garbage that waits for a collection",
    Kind.FILE: "most of it is page cache, which the kernel takes back",
    Kind.CHILDREN: "it is in child processes",
}

_UNSURE = {
    Kind.PYTHON: "a few live Python objects grow with it, holders of much or left behind by C code",
    Kind.NATIVE: "the C heap grows with it, and Python's objects only if they are few and large",
}
"""Where the counters cannot tell."""

_CALM = {
    Kind.GARBAGE: "A collection gave back most of what had grown",
    Kind.SLACK: "A trim gave back most of what had grown",
    Kind.FILE: "Only the page cache grew",
}


def reason(verdict: Verdict, lack: str) -> str:
    """What was seen, and why it is called so; with what the longest window lacked."""
    hours, kind = human_seconds(verdict.window), verdict.kind
    rate = f"{signed(verdict.rate)}/h"
    if verdict.confidence > Confidence.NONE:
        wants = verdict.wants_collection
        begin = "Before it is called a leak, collect and trim once: " if wants else ""
        unsure = {} if verdict.is_kind_sure else _UNSURE
        note = unsure.get(kind, _NOTES.get(kind, ""))
        span = human_span(verdict.rate_low, verdict.rate_high)
        return f"{begin}{rate} ({span}/h) over {hours}, {signed(verdict.growth)} in all; {note}."
    if kind is Kind.NONE and not lack:
        return f"{rate} over {hours}: the next look must agree before it counts."
    if kind is Kind.FILLING:
        said = _filling(verdict.filling)
    elif kind is Kind.STEP and verdict.step is not None:
        said = f"A step of {human_bytes(verdict.step.size)} explains most of the growth"
    elif kind is Kind.LEVELLING:
        where = verdict.levels_off_at
        said = "It grew, and slows down" + (f" towards {human_bytes(where)}" if where else "")
    else:
        said = _CALM.get(kind, f"No leak over {hours}")
    return f"{said}{f' ({lack})' if lack else ''}."


def _filling(parts: Sequence[Filling]) -> str:
    if not parts:
        return "Parts with a declared bound are filling up"
    first, more = parts[0], len(parts) - 1
    when = "" if first.full_in is None else f", full in {human_seconds(first.full_in)}"
    at = "" if first.full_at is None else f"{' at' if when else ', until'} "
    size = "" if first.full_at is None else human_bytes(first.full_at)
    return f"{first.name} is filling up{when}{at}{size}" + (f", and {more} more" if more else "")


_NEARLY = 0.9
_LEVELS = (Confidence.LOW, Confidence.MEDIUM, Confidence.HIGH)


def counted(state: State, finding: Finding, now: float, rules: Rules) -> State:
    """The state after one more look; of the same level where the last that counted is too near."""
    window = finding.window
    if window is not None:
        rate = (window.low * MIB, window.rate * MIB, window.high * MIB)
        state = state.replace(rate=rate, growth=window.growth * MIB)
    apart = rules.apart * HOUR * _NEARLY
    if state.counted_at is not None and now - state.counted_at < apart:
        return state
    low, medium, high = (
        count + 1 if finding.level >= level else 0
        for count, level in zip(state.agreeing, _LEVELS, strict=True)
    )
    # The highest level that enough looks in a row have reached.
    enough = max(1, rules.agreeing)
    agreed = Confidence(sum(count >= enough for count in (low, medium, high)))
    level, without = agreed, 0
    if agreed < state.level and state.without + 1 < rules.clearing:
        level, without = state.level, state.without + 1
    return state.replace(
        counted_at=now,
        agreeing=(low, medium, high),
        level=level,
        without=without,
        cleared=None if level > Confidence.NONE else state.cleared,
        reached=state.reached if level > Confidence.NONE else None,
    )


def _after_collection(state: State, rules: Rules) -> State:
    """Where a collection and a trim gave back half of the growth, begin anew from there.

    A collection seldom finds all, and some came since.
    """
    done, half = state.collected, state.growth / 2
    if not rules.collect_first or done is None or state.level == Confidence.NONE:
        return state
    is_over = state.since is not None and state.since >= done.at
    if is_over or max(done.freed, done.returned) < half:
        return state
    return state.replace(
        since=done.at,
        level=Confidence.NONE,
        agreeing=(0, 0, 0),
        without=0,
        cleared=Kind.GARBAGE if done.freed >= half else Kind.SLACK,
        collected=None,
    )


def _in_children(series: Series, verdict: Verdict, rules: Rules) -> Generator[None, None, Verdict]:
    """Say "children" where their resident memory passes the same test; low at most.

    Whose memory it is (children come and go) cannot be told from a sum, so it is no accusation.
    """
    theirs = series.replace(
        rss=series.children, malloc=None, blocks=None, explained=None, children=None
    )
    found: list[Window] = []
    for one in windows(columns(theirs, rules.settled)):
        found.append(one)
        yield
    finding = weigh(found, rules)
    window = finding.window
    if finding.level < Confidence.MEDIUM or window is None:
        return verdict
    told = verdict.replace(
        kind=Kind.CHILDREN,
        confidence=Confidence.LOW,
        score=finding.score,
        rate=window.rate * MIB,
        rate_low=window.low * MIB,
        rate_high=window.high * MIB,
        growth=round(window.growth * MIB),
        window=window.length * HOUR,
    )
    return told.replace(reason=reason(told, ""))


def judge(series: Series, rules: Rules, before: State | None = None) -> tuple[Verdict, State]:
    """Judge the newest samples of one process: the verdict, and the state for the next call.

    About 3 ms for a day of five-minute samples. A state of another process is dropped.
    """
    return in_one_go(judging(series, rules, before))


def judging(
    series: Series, rules: Rules, before: State | None = None
) -> Generator[None, None, tuple[Verdict, State]]:
    """The same in slices: yields between windows, at most about a millisecond apart for a day."""
    state = before if before is not None and before.origin == series.origin else None
    state = state or State(origin=series.origin)
    hours = series.hours
    count, span = len(hours), hours[-1] - hours[0] if hours else 0.0
    # Each sample stands for the step before it.
    is_long = count > 1 and span + span / (count - 1) >= rules.min_duration * 0.999
    if count < max(2, rules.min_samples) or not is_long:
        return _too_early(series, rules), state
    state = _after_collection(state, rules)
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
        verdict = yield from _in_children(series, verdict, rules)
    return verdict, state


def revised(verdict: Verdict, reached: float | None) -> Verdict:
    """The verdict with the kind that a look (a share of the growth, or None) has shown."""
    if verdict.confidence is Confidence.NONE or verdict.is_kind_sure or reached is None:
        return verdict
    kind = settled(verdict.kind, reached, is_sure=False)
    told = verdict.replace(kind=kind, is_kind_sure=True)
    return told.replace(reason=reason(told, ""))


def _now(series: Series) -> float:
    return series.origin + series.hours[-1] * HOUR


def _too_early(series: Series, rules: Rules) -> Verdict:
    span = HOUR * (series.hours[-1] - series.hours[0]) if series.hours else 0.0
    needed = HOUR * max(rules.min_duration, rules.settled + YOUNG)
    return Verdict(
        at=_now(series) if series.hours else series.origin,
        growing_share=growing_share(series.rss),
        window=span,
        reason=(
            f"Too early to say: {how_many(len(series.hours))} over {human_seconds(span)}, "
            f"{rules.min_samples} over {human_seconds(needed)} are needed."
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
    is_sure, step, levels_off_at = True, None, None
    if state.cleared is not None and level == Confidence.NONE:
        kind = state.cleared
    elif level > Confidence.NONE and shown is not None:
        kind, is_sure = leak_kind(own, shown, state, rules)
        kind = settled(kind, state.reached, is_sure=is_sure)
        if kind is Kind.FILE:  # The kernel takes it back: worth a word, no accusation.
            level, wants = Confidence.LOW, False
    else:
        kind, step, levels_off_at = shape(own, found[-1] if found else None, filling, rules)
    low, rate, high = state.rate
    began = None
    if shown is not None and level == Confidence.NONE:
        low, rate, high = shown.low * MIB, shown.rate * MIB, shown.high * MIB
    elif shown is not None:
        began = series.origin + onset(own, rate / MIB, shown.begin) * HOUR
    begin = shown.begin if shown else 0.0
    within = [held for hour, held in zip(series.hours, series.rss, strict=True) if hour >= begin]
    told = Verdict(
        at=_now(series),
        kind=kind,
        confidence=level,
        score=finding.score if level > Confidence.NONE else min(finding.score, 0.49),
        rate=rate,
        rate_low=low,
        rate_high=high,
        onset=began,
        growth=round(shown.growth * MIB) if shown else 0,
        growing_share=growing_share(within),
        window=shown.length * HOUR if shown else 0.0,
        facts=simple_facts(series, rules),
        filling=filling,
        step=step,
        levels_off_at=None if levels_off_at is None else round(levels_off_at * MIB),
        wants_collection=wants,
        is_kind_sure=is_sure or state.reached is not None,
    )
    return told.replace(reason=reason(told, finding.failed[-1] if finding.failed else ""))


EVERY, _FIRST = 1800.0, 3600.0
"""Seconds between two looks at a recording, and from its first sample to the first look."""


def thinned(samples: Sequence[Sample]) -> list[Sample]:
    """Of a recording, what is judged: samples five minutes apart; of less than two hours all."""
    is_short = not samples or samples[-1].wall - samples[0].wall < 2 * HOUR
    return list(samples) if is_short else spread(samples)


def looks(
    samples: Sequence[Sample], *, every: float = EVERY, rules: Rules = RECORDED
) -> Iterator[Verdict]:
    """The verdict of each look at a recording (oldest first): a day of them takes about 0.2 s."""
    kept = thinned(samples)
    if not kept:
        return
    walls = [one.wall for one in kept]
    state: State | None = None
    begin, at = 0, walls[0] + _FIRST
    while True:
        at = min(at, walls[-1])
        end = bisect_right(walls, at)
        while walls[begin] < at - LONGEST * HOUR:
            begin += 1
        verdict, state = judge(Series.of(kept[begin:end]), rules, state)
        yield verdict
        if end == len(walls):
            return
        # Where nobody sampled meanwhile, there is nothing to look at.
        at += every * max(1, ceil((walls[end] - at) / every))


def last_look(samples: Sequence[Sample], *, rules: Rules = RECORDED) -> Verdict | None:
    """The verdict at the newest sample, those before it taken into account; None without any."""
    return next(iter(deque(looks(samples, rules=rules), maxlen=1)), None)
