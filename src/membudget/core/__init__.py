"""The nouns, events and protocols that every floor above shares; no I/O, no loops."""

from __future__ import annotations

from membudget.core.events import (
    AdmissionRefused,
    BrakeHit,
    ComponentStarted,
    ComponentStopped,
    Event,
    Failed,
    FloorFound,
    Late,
    LeakSuspected,
    LimitExceeded,
    LimitForeseen,
    OperationGrew,
    PressureChanged,
    ProposalApplied,
    ProtectionTried,
    Reclaimed,
    ReportMade,
    Sampled,
    SettingsReloaded,
    Severity,
    Shortcoming,
    Started,
    Stopped,
)
from membudget.core.meter import RISE, Meter
from membudget.core.native import SystemClock
from membudget.core.nouns import (
    MARK_NAMES,
    OWN,
    PART_MARKS,
    Level,
    Marks,
    PartSample,
    Pressure,
    Reading,
    Rung,
    Sample,
    in_bytes,
)
from membudget.core.wire import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from membudget.core.protocols import (
        Chore,
        Clock,
        Command,
        Follower,
        ForkAware,
        Hint,
        Holder,
        Plugin,
        Probe,
        Purgeable,
        Reclaimer,
        Sink,
    )

__all__ = [
    "MARK_NAMES", "OWN", "PART_MARKS", "RISE", "AdmissionRefused", "BrakeHit", "Chore", "Clock",
    "Command", "ComponentStarted", "ComponentStopped", "Event", "Failed", "FloorFound", "Follower",
    "ForkAware", "Hint", "Holder", "Late", "LeakSuspected", "Level", "LimitExceeded",
    "LimitForeseen", "Marks", "Meter", "OperationGrew", "PartSample", "Plugin", "Pressure",
    "PressureChanged", "Probe", "ProposalApplied", "ProtectionTried", "Purgeable", "Reading",
    "Reclaimed", "Reclaimer", "Record", "ReportMade", "Rung", "Sample", "Sampled",
    "SettingsReloaded", "Severity", "Shortcoming", "Sink", "Started", "Stopped", "SystemClock",
    "in_bytes",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """The protocols, which only annotations name: they need `typing`, which takes 3 ms."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.protocols"), name)
