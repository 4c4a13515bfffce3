"""New settings for a budget that runs, from its file, when the process is sent SIGHUP."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from membudget.core import SettingsReloaded
from membudget.settings import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from membudget.governor import Governor


class HangupHandler:
    """Reads `config` again at SIGHUP, below the arguments `given`; a plugin.

    Only where the program has no handler of its own. Runs on the main thread, between two
    instructions; what fails is told, and reaches no program.
    """

    name = "reload"

    def __init__(self, given: Mapping[str, Any], config: str | os.PathLike[str]) -> None:
        self._given = given
        self._config = os.path.abspath(config)  # The program may change its directory.
        self._has_terminal = _has_terminal()
        self._is_busy = self._is_ended = False

    def join(self, governor: Governor) -> None:
        """Handle the signal where nobody else does."""
        self._governor = governor
        is_free = hasattr(signal, "SIGHUP") and _is_main_thread()
        if is_free and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            signal.signal(signal.SIGHUP, self)

    def __call__(self, number: int, _frame: object) -> None:
        """Reload; where the terminal hung up, or the budget ended, end as without a handler."""
        if self._is_ended or (self._has_terminal and not _has_terminal()):
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        if self._is_busy:  # Another one came while this one is at it.
            return
        self._is_busy = True
        try:
            self._reload(self._governor)
        except Exception as error:  # noqa: BLE001  # the program did nothing wrong
            self._governor.tell.failed("reload", error)
        finally:
            self._is_busy = False

    def _reload(self, governor: Governor) -> None:
        """Apply what can be; a limit taken away waits for a restart, which looks for another."""
        before, after = governor.settings, resolve(self._given, file=self._config)
        waiting: tuple[str, ...] = ()
        if after["limit"] is None and before["limit"] is not None:
            waiting = ("limit",)
            after = after.replace(values={**after.values, "limit": before["limit"]})
        applied, later = before.changed_by(after)
        governor.change_settings(after)
        governor.tell(
            SettingsReloaded(at=governor.clock.now(), applied=applied, waiting=(*waiting, *later))
        )

    def leave(self) -> None:
        """Give the signal back, if it still is ours; off the main thread, at the next signal."""
        self._is_ended = True
        if _is_main_thread() and signal.getsignal(signal.SIGHUP) is self:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _has_terminal() -> bool:
    """Whether standard input leads to a terminal that is still there."""
    try:
        os.tcgetpgrp(0)
    except OSError:
        return False
    return True
