"""The budget of a program that was started by `membudget run` and knows nothing of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from membudget.core import Severity
from membudget.errors import MembudgetError
from membudget.reclaimers.adopted.found import FoundCaches
from membudget.registry import REGISTRY
from membudget.sinks.combine import merged
from membudget.sinks.log import STDERR, stderr_sink

if TYPE_CHECKING:
    from membudget.budget.handle import Budget

VARIABLE = "MEMBUDGET_LAUNCH"
"""Tells a launched program how much to say: "lines" or "quiet"."""


def start_launched() -> Budget | None:
    """Start the budget that the launcher asked for, told on standard error.

    Settings come from the environment. It gives way to a budget that the program starts by
    itself. Whatever goes wrong is one line; the program runs on without a budget.
    """
    mode = os.environ.get(VARIABLE)
    if mode is None:
        return None
    import atexit  # only launched programs get here

    from membudget.budget.handle import start

    sink = merged(stderr_sink(least=Severity.ERROR if mode == "quiet" else Severity.INFO))
    try:
        budget = start(sinks=[sink], gives_way=True)
    except (MembudgetError, OSError) as error:
        os.write(STDERR, f"membudget: no budget for this process: {error}\n".encode())
        return None
    atexit.register(budget.stop)
    _adopt_found()
    return budget


def _adopt_found() -> None:
    """Note the functools caches of the program from their making on."""
    found = FoundCaches(lambda: REGISTRY.meter)
    found.follow_functools()  # What stands in functools keeps it alive.
    REGISTRY.add(found)
