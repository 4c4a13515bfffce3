"""The budget of a program that was started by `membudget run` and knows nothing of it."""

from __future__ import annotations

import os
import re
import sys
import time
from itertools import pairwise
from typing import TYPE_CHECKING

from membudget.budget import process_name
from membudget.budget.reexec import LAUNCHED, TREE, keep_through_exec
from membudget.core import FloorFound, PressureChanged, ProtectionTried, Severity, Started, Stopped
from membudget.errors import MembudgetError
from membudget.sinks.condensed import Condensed
from membudget.sinks.log import LONGEST, StandardError
from membudget.units import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from membudget.budget.start import Budget
    from membudget.core import Event

_HELPERS = ("resource_tracker", "forkserver")
_SHARED = ("cgroup", "system")
"""How the sources begin that several processes have in common."""

_LEVEL_FOR, _START_FOR = 600.0, 3600.0
"""Seconds for which a level of what is shared is not told by another process, and the limit kept
by none."""


def start_launched() -> Budget | None:
    """Start the budget that the launcher asked for, told on standard error.

    Settings come from the environment. It gives way to a budget that the program starts by
    itself. Whatever goes wrong is one line; the program runs on without a budget.
    """
    mode = os.environ.get(LAUNCHED)
    helper = helper_of(sys.orig_argv)
    if mode is None or helper == "resource_tracker":
        return None
    import atexit  # only launched programs get here

    from membudget.budget.start import start

    write = _writer()
    try:
        _unbind(os.environ)
        least = Severity.ERROR if mode == "quiet" else Severity.INFO
        sink = Condensed(write, least=least, is_news=_News(os.environ.get(TREE)))
        budget = start(sinks=[sink], is_launched=True)
    except (MembudgetError, OSError, ValueError) as error:
        write(f"no budget for this process: {one_line(error, LONGEST)}")
        return None
    except ImportError as error:  # Lent to an environment of another's: PyYAML is none of ours.
        write(
            f"no budget for this process: {sys.executable} has no {error.name}: install it there, "
            "or write the settings as TOML"
        )
        return None
    atexit.register(budget.stop)
    keep_through_exec()
    if helper == "forkserver":
        budget.governor.watch.park()
    return budget


def helper_of(words: Sequence[str]) -> str:
    """Which of multiprocessing's own helpers a command line starts, or an empty text.

    They hold nothing and are not governed: not the tracker of resources at all, of a server of
    forks its children. joblib's are called alike.
    """
    code = next((code for flag, code in pairwise(words) if flag == "-c"), "")
    first, _, rest = code.partition(" import main")
    name = first.removeprefix("from ").rpartition(".")[2]
    is_helper = name in _HELPERS and first.startswith("from ") and not rest[:1].isalnum()
    return name if is_helper else ""


class _News:
    """Whether another process of the launch has told an event already; they note it by `mark`."""

    def __init__(self, mark: str | None) -> None:
        self._told = None
        self._speaker = 0  # The process that tells its end: the launched one, or who told a start.
        if mark is not None and sys.platform == "linux":
            from membudget.host.launch import Told  # Linux only

            self._told = Told(mark, time.time)
            pid = mark.rpartition("-")[0].rpartition("-")[2]
            self._speaker = int(pid) if pid.isdecimal() else 0

    def __call__(self, event: Event) -> bool:
        if self._told is None:
            return True
        if isinstance(event, Started):
            note = f" {event.note}" if "no brake" in event.note else ""
            kept = f"start {event.reading.limit} {event.reading.source}{note}"
            if not self._told.is_news(kept, _START_FOR):
                return False
            self._speaker = os.getpid()
            return True
        if isinstance(event, Stopped):
            is_calm = not event.reclaimed and set(event.levels) <= {"NORMAL"}
            return self._speaker == os.getpid() or not is_calm
        subject = _shared(event)
        return subject is None or self._told.is_news(subject, _LEVEL_FOR, again=True)


def _shared(event: Event) -> str | None:
    """What all who are judged by the same source see of an event, in words; None for one's own."""
    if isinstance(event, (PressureChanged, FloorFound)):
        source, level = event.pressure.source, event.pressure.level.name
        seen = f"{type(event).__name__} {level}"
    elif isinstance(event, ProtectionTried) and event.outcome != "exit":  # Its own end.
        source, seen = event.source, f"attempt {event.attempt} {event.outcome}"
    else:
        return None
    if isinstance(event, FloorFound) and not event.pressure.elsewhere:
        # Ten workers of one kind hold the same, each a little more or less.
        seen += f" {re.sub(r'[0-9][0-9.]*', '', event.held_by)}"
    return f"{seen} {source}" if source.startswith(_SHARED) else None


def _writer() -> Callable[[str], object]:
    """Writes lines with the time, the process's number and its name."""
    out, name = StandardError(), process_name()

    def write(line: str) -> None:
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        out.write(f"membudget: {now} {os.getpid()} {name()}: {line}")

    return write


def _unbind(environ: Mapping[str, str]) -> None:
    """Leave the limit that the brake of a parent has set: it was the parent's own."""
    import resource  # there is one where a launcher could be

    if resource.getrlimit(resource.RLIMIT_DATA)[0] != resource.RLIM_INFINITY:
        from membudget.brake import restore_launch_limit  # where there is a brake

        restore_launch_limit(environ)
