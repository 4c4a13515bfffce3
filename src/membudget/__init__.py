"""A memory budget that a running Python process keeps.

Set a limit, or let it find the container's: caches shrink first, then what can be done without,
and a request that cannot fit is refused before the kernel kills the process.

    budget = membudget.start("400MiB")
    prices = budget.cache("prices", max_bytes="50MiB", ttl="1h")

Importing this package loads almost nothing: each name is fetched from its module at first use.

PYTEST_DONT_REWRITE: it has a plugin for pytest, which would warn that it is there already where
the whole run is under `membudget run`.
"""

from __future__ import annotations

TYPE_CHECKING = False  # What type checkers take for true; importing typing takes 5 ms.
if TYPE_CHECKING:
    from typing import Any

    from membudget.budget.start import Budget, BudgetStats, current, start
    from membudget.cache.cache import Cache, get_cache
    from membudget.cache.loading.cached import cached
    from membudget.cache.spilling.spill import Spill
    from membudget.cache.spilling.spilled import SpilledCache
    from membudget.cache.table import CacheStats
    from membudget.containers import ContainerStats
    from membudget.containers.list import BoundedDeque, BoundedList
    from membudget.containers.metrics import MetricsCollector
    from membudget.containers.ordered import BoundedDict, BoundedSet
    from membudget.containers.weak import WeakCache
    from membudget.core import (
        AdmissionRefused,
        BrakeHit,
        Chore,
        ComponentStarted,
        ComponentStopped,
        Event,
        Failed,
        FloorFound,
        Holder,
        Late,
        LeakSuspected,
        Level,
        LimitExceeded,
        LimitForeseen,
        Marks,
        OperationGrew,
        Plugin,
        Pressure,
        PressureChanged,
        ProposalApplied,
        ProtectionTried,
        Reading,
        Reclaimed,
        Reclaimer,
        ReportMade,
        Rung,
        Sample,
        Sampled,
        SettingsReloaded,
        Severity,
        Shortcoming,
        Sink,
        Started,
        Stopped,
    )  # fmt: skip
    from membudget.core.nouns import Status
    from membudget.errors import (
        ConfigError,
        ControlError,
        LeaseError,
        MembudgetError,
        MissingExtraError,
        OverBudgetError,
        ProbeError,
    )
    from membudget.governor import Governor
    from membudget.governor.admission import Reservation
    from membudget.leaks import Verdict
    from membudget.profiling import MemoryProfile, profile_memory
    from membudget.reclaimers.adopted import adopt
    from membudget.registry import REGISTRY, Registry
    from membudget.report import Report
    from membudget.settings import Settings
    from membudget.singletons import Singleton, SingletonABC
    from membudget.sinks import line_of, log_sink, merged, stderr_sink
    from membudget.sizing import size_of
    from membudget.watched import WatchedContainer

__version__ = "0.2.0"

_HOMES = {
    name: module
    for module, names in {
        "budget.start": "Budget BudgetStats current start",
        "cache.cache": "Cache get_cache",
        "cache.loading.cached": "cached",
        "cache.spilling.spill": "Spill",
        "cache.spilling.spilled": "SpilledCache",
        "cache.table": "CacheStats",
        "containers": "ContainerStats",
        "containers.list": "BoundedDeque BoundedList",
        "containers.metrics": "MetricsCollector",
        "containers.ordered": "BoundedDict BoundedSet",
        "containers.weak": "WeakCache",
        "core": "AdmissionRefused BrakeHit Chore ComponentStarted ComponentStopped Event Failed "
        "FloorFound Holder Late LeakSuspected Level LimitExceeded LimitForeseen Marks "
        "OperationGrew Plugin Pressure PressureChanged ProposalApplied ProtectionTried "
        "Reading Reclaimed Reclaimer ReportMade Rung Sample Sampled SettingsReloaded "
        "Severity Shortcoming Sink Started Stopped",
        "core.nouns": "Status",
        "errors": "ConfigError ControlError LeaseError MembudgetError MissingExtraError "
        "OverBudgetError ProbeError",
        "governor": "Governor",
        "governor.admission": "Reservation",
        "leaks": "Verdict",
        "profiling": "MemoryProfile profile_memory",
        "reclaimers.adopted": "adopt",
        "registry": "REGISTRY Registry",
        "report": "Report",
        "settings": "Settings",
        "singletons": "Singleton SingletonABC",
        "sinks": "line_of log_sink merged stderr_sink",
        "sizing": "size_of",
        "watched": "WatchedContainer",
    }.items()
    for name in names.split()
}
"""Each name's module."""

__all__ = [
    "REGISTRY", "AdmissionRefused", "BoundedDeque", "BoundedDict", "BoundedList", "BoundedSet",
    "BrakeHit", "Budget", "BudgetStats", "Cache", "CacheStats", "Chore", "ComponentStarted",
    "ComponentStopped", "ConfigError", "ContainerStats", "ControlError", "Event", "Failed",
    "FloorFound", "Governor", "Holder", "Late", "LeakSuspected", "LeaseError", "Level",
    "LimitExceeded", "LimitForeseen", "Marks", "MembudgetError", "MemoryProfile",
    "MetricsCollector", "MissingExtraError", "OperationGrew", "OverBudgetError", "Plugin",
    "Pressure", "PressureChanged", "ProbeError", "ProposalApplied", "ProtectionTried", "Reading",
    "Reclaimed", "Reclaimer", "Registry", "Report", "ReportMade", "Reservation", "Rung", "Sample",
    "Sampled", "Settings", "SettingsReloaded", "Severity", "Shortcoming", "Singleton",
    "SingletonABC", "Sink", "Spill", "SpilledCache", "Started", "Status", "Stopped", "Verdict",
    "WatchedContainer", "WeakCache", "adopt", "cached", "current", "get_cache", "line_of",
    "log_sink", "merged", "profile_memory", "size_of", "start", "stderr_sink",
]  # fmt: skip


if not TYPE_CHECKING:  # Else every name would be there for type checkers.

    def __getattr__(name: str) -> Any:
        home = _HOMES.get(name)
        if home is None:
            hint = ""
            if not name.startswith("_"):
                from membudget.synonyms import here_it_is  # only an error needs it

                hint = here_it_is(name, _HOMES)
            words = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(f"{words}: {hint}" if hint else words, name=name)
        from importlib import import_module  # nothing is loaded before it is used

        value = getattr(import_module(f"{__name__}.{home}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
