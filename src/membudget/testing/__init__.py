"""Leak checks for tests and CI: `check_leaks` by itself, `membudget.testing.plugin` for pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from membudget.testing.result import LeakResult
    from membudget.testing.rounds import check_leaks, check_leaks_async

__all__ = ["LeakResult", "check_leaks", "check_leaks_async"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from membudget.testing import rounds  # pytest loads this package at every start

    return getattr(rounds, name)
