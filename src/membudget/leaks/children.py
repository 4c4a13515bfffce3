"""Growth of child processes, asked only where the process itself does not grow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.leaks.evidence import weigh
from membudget.leaks.records import Confidence, Kind
from membudget.leaks.series import HOUR, MIB
from membudget.leaks.windows import columns, windows
from membudget.leaks.words import reason

if TYPE_CHECKING:
    from collections.abc import Generator

    from membudget.leaks.records import State, Verdict
    from membudget.leaks.rules import Rules
    from membudget.leaks.series import Series
    from membudget.leaks.window import Window


def in_children(
    series: Series, verdict: Verdict, state: State, rules: Rules
) -> Generator[None, None, tuple[Verdict, State]]:
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
        return verdict, state
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
    return told.replace(reason=reason(told, "")), state
