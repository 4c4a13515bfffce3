"""The budget of a program that was started by `membudget run` and knows nothing of it."""

from __future__ import annotations

import os
import re
import sys
from itertools import pairwise
from typing import TYPE_CHECKING

from membudget.core import Severity
from membudget.errors import MembudgetError
from membudget.sinks.combine import merged
from membudget.sinks.lines import LONGEST
from membudget.sinks.log import StandardError, stderr_sink
from membudget.units import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from membudget.budget.handle import Budget

_HELPER = re.compile(r"from [\w.]+\.(resource_tracker|forkserver) import main\b")

VARIABLE = "MEMBUDGET_LAUNCH"
"""Tells a launched program how much to say: "lines" or "quiet"."""


def start_launched() -> Budget | None:
    """Start the budget that the launcher asked for, told on standard error.

    Settings come from the environment. It gives way to a budget that the program starts by
    itself. Whatever goes wrong is one line; the program runs on without a budget.
    """
    mode = os.environ.get(VARIABLE)
    helper = helper_of(sys.orig_argv)
    if mode is None or helper == "resource_tracker":
        return None
    import atexit  # only launched programs get here

    from membudget.budget.start import start

    sink = merged(stderr_sink(least=Severity.ERROR if mode == "quiet" else Severity.INFO))
    try:
        _unbind(os.environ)
        budget = start(sinks=[sink], is_launched=True)
    except (MembudgetError, OSError, ValueError) as error:
        StandardError().write(f"membudget: no budget for this process: {one_line(error, LONGEST)}")
        return None
    atexit.register(budget.stop)
    if helper == "forkserver":
        budget.governor.watch.park()
    return budget


def helper_of(words: Sequence[str]) -> str:
    """Which of multiprocessing's own helpers a command line starts, or an empty text.

    They hold nothing and are not governed: not the tracker of resources at all, of a server of
    forks its children. joblib's are called alike.
    """
    code = next((code for flag, code in pairwise(words) if flag == "-c"), "")
    found = _HELPER.match(code)
    return found[1] if found else ""


def _unbind(environ: Mapping[str, str]) -> None:
    """Leave the limit that the brake of a parent has set: it was the parent's own."""
    import resource  # there is one where a launcher could be

    if resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY:
        return
    from membudget.governor.brake_children import restore_launch_limit  # where there is a brake

    restore_launch_limit(environ)
