"""The plugin of the last resort: what is tried, dumped and left, as the settings ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.governor.protection import Protection
from membudget.governor.status import dump
from membudget.reclaimers.exit import PlannedExit
from membudget.sinks.log import StandardError

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.governor.loop import Governor
    from membudget.settings.resolve import Settings


class LastResort:
    """Protects one governor's process, and changes with the settings."""

    name = "last resort"

    def __init__(self) -> None:
        self._governor: Governor | None = None
        self._planned: PlannedExit | None = None

    def join(self, governor: Governor) -> None:
        """Protect what this governor keeps."""
        self._governor = governor
        governor.protection = self._protection(governor.settings)

    def take_settings(self, settings: Settings) -> None:
        """Protect as these say, where that is not as it was: attempts are counted anew."""
        governor = self._governor
        before = governor.settings if governor is not None else settings
        keys = [key for key in settings.values if key.startswith("emergency.")]
        if governor is not None and any(settings[key] != before[key] for key in keys):
            self._forget_exit()
            governor.protection = self._protection(settings)
            governor.admission.is_shut = False

    def leave(self) -> None:
        """Let the process end as it does without us."""
        self._forget_exit()

    def _protection(self, settings: Settings) -> Protection | None:
        governor = self._governor
        if governor is None or not settings["emergency.protection"]:
            return None
        out = StandardError()
        return Protection(
            governor.ladder.ask_everything,
            governor.tell,
            most=settings["emergency.max_attempts"],
            cooldown=settings["emergency.cooldown"],
            restart_after=settings["emergency.restart_after"],
            dump=(lambda: dump(governor, out)) if settings["emergency.dump"] else None,
            leave=self._planned_exit() if settings["emergency.exit"] else None,
        )

    def _planned_exit(self) -> Callable[[], object]:
        import atexit  # only for those who opted in

        self._planned = PlannedExit()
        atexit.register(self._planned.end)  # Early, so that it comes after the program's own.
        return self._planned.begin

    def _forget_exit(self) -> None:
        planned, self._planned = self._planned, None
        if planned is not None and not planned.has_begun:
            import atexit

            atexit.unregister(planned.end)
