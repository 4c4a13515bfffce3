"""New settings for a budget that runs, from its file, when the process is sent SIGHUP.

Only where a settings file is used and the program has no handler of its own. A hangup of the
terminal still ends the program, as it would without us.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from membudget.budget.assembly import protection
from membudget.core import SettingsReloaded
from membudget.errors import MembudgetError
from membudget.settings.reload import changed
from membudget.settings.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from membudget.budget.assembly import Sources
    from membudget.governor.loop import Governor
    from membudget.settings.resolve import Settings


def reload(
    governor: Governor, sources: Sources, before: Settings, after: Settings
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Apply what can be applied while running.

    Returns:
        The keys that were applied, and those that wait for a restart.

    Raises:
        ConfigError: The new limit is below what the process holds; nothing was applied.
    """
    applied, waiting = changed(before, after)
    marks = after.marks()
    if "limit" in applied:
        sources.set_limit(after["limit"])
    governor.marks = marks
    governor.watch.interval = after["monitoring.check_interval"]
    governor.ladder.settle = after["cleanup.settle"]
    if any(key.startswith("emergency.") for key in applied):
        governor.protection = protection(after, governor)
        governor.admission.is_shut = False
    governor.watch.ring()
    return applied, waiting


class HangupHandler:
    """Reads the settings again at SIGHUP; runs on the main thread, between two instructions.

    Args:
        governor: Whose settings change.
        sources: What it reads.
        settings: What holds now.
        given: The arguments of `start()`, which stay above the file.
        config: The file, or None for the environment's.
    """

    def __init__(
        self,
        governor: Governor,
        sources: Sources,
        settings: Settings,
        given: Mapping[str, Any],
        config: str | os.PathLike[str] | None,
    ) -> None:
        self._governor = governor
        self._sources = sources
        self._settings = settings
        self._given = given
        self._config = None if config is None else os.path.abspath(config)
        self._has_terminal = _has_terminal()

    def __call__(self, number: int, _frame: object) -> None:
        """Reload; where the terminal hung up, end as without a handler."""
        if self._has_terminal and not _has_terminal():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        try:
            after = resolve(self._given, file=self._config)
            applied, waiting = reload(self._governor, self._sources, self._settings, after)
        except (MembudgetError, OSError) as error:
            self._governor.tell.failed("reload", error)
            return
        self._settings = after
        self._governor.tell(
            SettingsReloaded(at=self._governor.clock.now(), applied=applied, waiting=waiting)
        )

    def remove(self) -> None:
        """Give the signal back, if it still is ours; from the main thread only."""
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGHUP) is self:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _has_terminal() -> bool:
    """Whether standard input leads to a terminal that is still there."""
    try:
        os.tcgetpgrp(0)
    except OSError:
        return False
    return True
