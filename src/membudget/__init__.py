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

    from membudget.budget.start import Budget, start
    from membudget.cache.cache import Cache
    from membudget.cache.loading.cached import cached
    from membudget.cache.spilling.spill import Spill
    from membudget.containers.list import BoundedDeque, BoundedList
    from membudget.containers.metrics import MetricsCollector
    from membudget.containers.ordered import BoundedDict, BoundedSet
    from membudget.containers.weak import WeakCache
    from membudget.core import Level, Marks, Pressure, Reading, Rung
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
    from membudget.profiling import MemoryProfile, profile_memory
    from membudget.reclaimers.adopted import adopt
    from membudget.registry import REGISTRY, Registry
    from membudget.singletons import Singleton, SingletonABC
    from membudget.sizing import size_of

__version__ = "0.1.0"

_HOMES = {
    name: module
    for module, names in {
        "budget.start": "Budget start",
        "cache.cache": "Cache",
        "cache.loading.cached": "cached",
        "cache.spilling.spill": "Spill",
        "containers.list": "BoundedDeque BoundedList",
        "containers.metrics": "MetricsCollector",
        "containers.ordered": "BoundedDict BoundedSet",
        "containers.weak": "WeakCache",
        "core": "Level Marks Pressure Reading Rung",
        "errors": "ConfigError ControlError LeaseError MembudgetError MissingExtraError "
        "OverBudgetError ProbeError",
        "governor": "Governor",
        "profiling": "MemoryProfile profile_memory",
        "reclaimers.adopted": "adopt",
        "registry": "REGISTRY Registry",
        "singletons": "Singleton SingletonABC",
        "sizing": "size_of",
    }.items()
    for name in names.split()
}
"""Each name's module."""

__all__ = [
    "REGISTRY",
    "BoundedDeque",
    "BoundedDict",
    "BoundedList",
    "BoundedSet",
    "Budget",
    "Cache",
    "ConfigError",
    "ControlError",
    "Governor",
    "LeaseError",
    "Level",
    "Marks",
    "MembudgetError",
    "MemoryProfile",
    "MetricsCollector",
    "MissingExtraError",
    "OverBudgetError",
    "Pressure",
    "ProbeError",
    "Reading",
    "Registry",
    "Rung",
    "Singleton",
    "SingletonABC",
    "Spill",
    "WeakCache",
    "adopt",
    "cached",
    "profile_memory",
    "size_of",
    "start",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # nothing is loaded before it is used

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
