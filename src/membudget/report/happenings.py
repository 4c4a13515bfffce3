"""Events as the report tells them: one line each, kept as text from the moment they happen.

An event may hold an exception, and that its frames; a line holds nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.report.records import Happening

if TYPE_CHECKING:
    from collections.abc import Iterable

KINDS = {
    "AdmissionRefused": "refused",
    "BrakeHit": "brake",
    "ComponentStarted": "component",
    "ComponentStopped": "component",
    "Failed": "failure",
    "Late": "late",
    "LeakSuspected": "leak",
    "LimitExceeded": "over its limit",
    "LimitForeseen": "limit in sight",
    "OperationGrew": "operation",
    "PressureChanged": "level",
    "ProposalApplied": "setting",
    "ProtectionTried": "protection",
    "Reclaimed": "reclaimed",
}
"""What each type of event is called in a report; the others are not told there."""

_LONGEST = 300


def happenings(
    kept: Iterable[Iterable[object]], hours: float | None = None
) -> tuple[Happening, ...]:
    """What was kept of events, oldest first.

    Args:
        kept: Unix seconds, name of the event's type, severity and line of each.
        hours: Only those of so many hours before the newest; None takes all.
    """
    found = []
    for wall, name, severity, text in kept:
        kind = KINDS.get(str(name))
        if kind is not None and isinstance(wall, (int, float)):
            line = " ".join(str(text).split())[:_LONGEST]
            found.append(Happening(wall=float(wall), kind=kind, severity=str(severity), text=line))
    found.sort(key=lambda one: one.wall)
    newest = found[-1].wall if found else 0.0
    return tuple(one for one in found if hours is None or one.wall >= newest - hours * 3600.0)
