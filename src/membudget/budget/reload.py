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
from membudget.settings.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from membudget.budget.assembly import Sources
    from membudget.governor.loop import Governor
    from membudget.settings.resolve import Settings


def reload(
    governor: Governor, sources: Sources, before: Settings, after: Settings
) -> tuple[Settings, tuple[str, ...], tuple[str, ...]]:
    """Apply what can be applied while running.

    A limit that is taken away waits for a restart: what rules then has to be looked for.

    Returns:
        What holds now, the keys that were applied, and those that wait.

    Raises:
        ConfigError: The new limit is below what the process holds, or marks do not fit it; then
            nothing was applied.
    """
    if after["limit"] is None and before["limit"] is not None:
        waiting: tuple[str, ...] = ("limit",)
        after = after.replace(values={**after.values, "limit": before["limit"]})
    else:
        waiting = ()
    applied, later = before.changed_by(after)
    marks = after.marks()
    sources.set_limit(after["limit"])
    try:
        marks.check_for(sources.probe().limit)
    except MembudgetError:
        sources.set_limit(before["limit"])
        raise
    governor.marks = marks
    governor.watch.interval = after["monitoring.check_interval"]
    governor.floor.settle = after["cleanup.settle"]
    if any(key.startswith("emergency.") for key in applied):
        governor.protection = protection(after, governor)
        governor.admission.is_shut = False
    governor.watch.ring()
    return after, applied, (*waiting, *later)


class HangupHandler:
    """Reads the settings again at SIGHUP; runs on the main thread, between two instructions.

    Nothing of it reaches the program: what fails is told.

    Args:
        governor: Whose settings change.
        sources: What it reads.
        settings: What holds now.
        given: The arguments of `start()`, which stay above the file.
        config: The file.

    Attributes:
        settings: What holds now.
        on_reload: Takes the settings that hold from now on.
    """

    def __init__(
        self,
        governor: Governor,
        sources: Sources,
        settings: Settings,
        given: Mapping[str, Any],
        config: str | os.PathLike[str],
    ) -> None:
        self.on_reload: Callable[[Settings], object] = lambda _: None
        self._governor = governor
        self._sources = sources
        self.settings = settings
        self._given = given
        # The program may change its directory.
        self._config = os.path.abspath(config)
        self._has_terminal = _has_terminal()
        self._is_busy = self._is_ended = False

    def __call__(self, number: int, _frame: object) -> None:
        """Reload; where the terminal hung up, or the budget ended, end as without a handler."""
        if self._is_ended or (self._has_terminal and not _has_terminal()):
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        if self._is_busy:  # Another one came while this one is at it.
            return
        self._is_busy = True
        try:
            self._reload()
        except Exception as error:  # noqa: BLE001  # the program did nothing wrong
            self._governor.tell.failed("reload", error)
        finally:
            self._is_busy = False

    def _reload(self) -> None:
        after = resolve(self._given, file=self._config)
        governor = self._governor
        self.settings, applied, waiting = reload(governor, self._sources, self.settings, after)
        self.on_reload(self.settings)
        governor.tell(SettingsReloaded(at=governor.clock.now(), applied=applied, waiting=waiting))

    def remove(self) -> None:
        """Give the signal back, if it still is ours; off the main thread, at the next signal."""
        self._is_ended = True
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
