"""Leak checks for tests and CI: rounds of calls, what they leave behind, and where.

`check_leaks` does it without pytest; the plugin (`membudget.testing.plugin`, found by pytest of its
own accord) offers it as markers and a fixture; `membudget stress` as a command. Importing this
package loads nothing: pytest loads it at every start.
"""

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
