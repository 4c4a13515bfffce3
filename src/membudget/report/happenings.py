"""Events as the report tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.core import (
    AdmissionRefused,
    BrakeHit,
    Failed,
    Late,
    LeakSuspected,
    LimitExceeded,
    PressureChanged,
    ProtectionTried,
    Reclaimed,
)
from membudget.report.records import Happening
from membudget.sinks.lines import line_of
from membudget.units import human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from membudget.core import Event

_KINDS: dict[type, str] = {
    AdmissionRefused: "refused",
    BrakeHit: "brake",
    Failed: "failure",
    Late: "late",
    LeakSuspected: "leak",
    LimitExceeded: "over its limit",
    PressureChanged: "level",
    ProtectionTried: "protection",
    Reclaimed: "reclaimed",
}
_LONGEST = 300


def happenings(events: Iterable[Event], offset: float) -> tuple[Happening, ...]:
    """What is worth a line of a report, oldest first.

    Args:
        events: Any events.
        offset: Unix seconds less monotonic seconds, now.
    """
    found = []
    for event in events:
        text = _line(event)
        if text is not None and type(event) in _KINDS:
            found.append(
                Happening(
                    wall=event.at + offset,
                    kind=_KINDS[type(event)],
                    severity=event.severity.name.lower(),
                    text=text,
                )
            )
    return tuple(sorted(found, key=lambda one: one.wall))


def _line(event: Event) -> str | None:
    if isinstance(event, LeakSuspected):
        return (
            f"a leak is suspected ({event.confidence}): {human_bytes(event.rate)}/h"
            f"{f' in {event.culprit}' if event.culprit else ''}"
        )
    line = line_of(event)
    return line if line is None else " ".join(line.split())[:_LONGEST]
