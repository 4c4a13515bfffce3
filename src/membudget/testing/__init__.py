"""Leak checks for tests and CI: `check_leaks` by itself, `membudget.testing.plugin` for pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from membudget.testing.result import LeakResult
    from membudget.testing.rounds import check_leaks, check_leaks_async

__all__ = ["LeakResult", "check_leaks", "check_leaks_async"]

_HOMES = {"LeakResult": "result", "check_leaks": "rounds", "check_leaks_async": "rounds"}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{home}"), name)
