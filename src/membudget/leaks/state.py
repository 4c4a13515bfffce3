"""From one look to the next: what must agree before a level holds, and when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.leaks.records import Confidence, Kind
from membudget.leaks.series import HOUR, MIB

if TYPE_CHECKING:
    from membudget.leaks.evidence import Finding
    from membudget.leaks.records import State
    from membudget.leaks.rules import Rules

_NEARLY = 0.9
_LEVELS = (Confidence.LOW, Confidence.MEDIUM, Confidence.HIGH)


def counted(state: State, finding: Finding, now: float, rules: Rules) -> State:
    """The state after one more look.

    Args:
        state: The state before.
        finding: What the windows say together.
        now: Unix seconds of the newest sample.
        rules: The constants.

    Returns:
        The state after; of the same level where the last look that counted is too near.
    """
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
    agreed = _agreed((low, medium, high), rules)
    level, without = state.level, 0
    if agreed >= level:
        level = agreed
    else:
        without = state.without + 1
        if without >= rules.clearing:
            level, without = agreed, 0
    return state.replace(
        counted_at=now,
        last=finding.level,
        agreeing=(low, medium, high),
        level=level,
        without=without,
        cleared=None if level > Confidence.NONE else state.cleared,
        reached=state.reached if level > Confidence.NONE else None,
    )


def _agreed(agreeing: tuple[int, int, int], rules: Rules) -> Confidence:
    """The highest level that enough looks in a row have reached."""
    reached = [
        level
        for level, count in zip(_LEVELS, agreeing, strict=True)
        if count >= max(1, rules.agreeing)
    ]
    return max(reached, default=Confidence.NONE)


def after_collection(state: State, rules: Rules) -> State:
    """Where a collection and a trim gave back most of the growth, begin anew from there.

    Half of what was gained is enough: a collection seldom finds all, and some came since.
    """
    done = state.collected
    if not rules.collect_first or done is None or state.level == Confidence.NONE:
        return state
    if state.since is not None and state.since >= done.at:
        return state
    if max(done.freed, done.returned) < state.growth / 2:
        return state
    kind = Kind.GARBAGE if done.freed >= state.growth / 2 else Kind.SLACK
    return state.replace(
        since=done.at,
        level=Confidence.NONE,
        last=Confidence.NONE,
        agreeing=(0, 0, 0),
        without=0,
        cleared=kind,
        collected=None,
    )
