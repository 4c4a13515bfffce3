"""The governor's thread: one daemon thread that steps at an interval adapted to the pressure."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from membudget.core import Late, Level
from membudget.governor.waiting import Doorbell

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from membudget.core import Hint, Pressure
    from membudget.governor.loop import Governor

AT_REST = 1.0
WARM = 0.1
FAST = 0.01
"""Seconds between steps below 60 %, below 80 %, and above."""

LATE = 0.25
"""Seconds of lateness worth telling: longer than any slice or collection of a moderate heap."""

SETTLE_IN = 0.05
"""Seconds before a new thread prepares what costs it milliseconds."""

STOP_PATIENCE = 5.0


def interval_for(pressure: Pressure, pinned: float | None = None) -> float:
    """Seconds until the next step: never more than half of the seconds left.

    Args:
        pressure: What was just judged.
        pinned: The interval asked for by a setting; only haste shortens it.
    """
    if pinned is not None:
        interval = pinned
    elif pressure.level > Level.NORMAL or pressure.fraction >= 0.8:  # noqa: PLR2004  # the design's bands
        interval = FAST
    else:
        interval = AT_REST if pressure.fraction < 0.6 else WARM  # noqa: PLR2004
    left = pressure.seconds_left
    if left is None and pressure.limit is not None and pressure.growth > 0:
        # All growth counts here, governed or not: looking more often costs little.
        left = (pressure.limit - pressure.used) / pressure.growth
    return interval if left is None else max(FAST, min(interval, left / 2))


class Watch:
    """Runs a governor's steps on a thread of its own, and brings it to rest around forks.

    Args:
        governor: Whose `step` is called.
        prepare: Called first on each new thread, for what would cost the program's start or
            cannot be done when memory is short; returns the kernel wake-ups to wait for.
        interval: Seconds between two steps, or None to adapt.
    """

    def __init__(
        self,
        governor: Governor,
        prepare: Callable[[], Sequence[Hint]] | None,
        interval: float | None,
    ) -> None:
        self.late = 0
        self.latest = 0.0
        self._governor = governor
        self._prepare = prepare
        self._interval = interval
        self._thread: threading.Thread | None = None
        self._bell: Doorbell | None = None
        self._is_paused = False

    @property
    def is_running(self) -> bool:
        """Whether a thread of ours is at work."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def is_own_thread(self) -> bool:
        """Whether the caller is that thread."""
        return self._thread is threading.current_thread()

    def start(self) -> None:
        """Start the thread; nothing happens where it runs."""
        if not self.is_running:
            bell = self._bell = Doorbell()
            self._thread = threading.Thread(
                target=self._run, args=(bell,), name="membudget", daemon=True
            )
            self._thread.start()

    def stop(self, patience: float = STOP_PATIENCE) -> None:
        """End the thread, waiting for the step under way, at most `patience` seconds."""
        thread, self._thread = self._thread, None
        bell, self._bell = self._bell, None
        if bell is not None:
            bell.ring()
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, patience))

    def ring(self) -> None:
        """Ask for a step soon."""
        if (bell := self._bell) is not None:
            bell.ring()

    def pause(self, until: float) -> None:
        """Come to rest before a fork, at the latest by `until`."""
        self._is_paused = self.is_running
        if self._is_paused:
            self.stop(until - self._governor.clock.now())

    def resume(self) -> None:
        """Go on after a fork, in the parent or in the child."""
        if self._is_paused:
            self._is_paused = False
            self.start()

    def _prepared(self) -> Sequence[Hint]:
        if self._prepare is None:
            return ()
        try:
            return self._prepare()
        except (Exception, SystemExit) as error:  # noqa: BLE001  # the kernel's hints are extras
            self._governor.tell.failed("hints", error)
            return ()

    def _run(self, bell: Doorbell) -> None:
        governor, clock = self._governor, self._governor.clock
        bell.wait(SETTLE_IN)  # The program's own start comes first.
        bell.listen(self._prepared())
        stepped = clock.now()
        while self._bell is bell:
            interval = interval_for(governor.pressure, self._interval)
            # From step to step: a step that takes long watches as little as one that comes late.
            due = stepped + interval
            bell.wait(interval)
            # However often somebody rings, other threads get their time.
            if (early := stepped + FAST - clock.now()) > 0 and self._bell is bell:
                clock.sleep(early)
            if self._bell is not bell:
                break
            stepped = clock.now()
            self._note_lateness(stepped - due)
            try:
                governor.step()
            except BaseException as error:  # noqa: BLE001  # the loop outlives everything
                with contextlib.suppress(Exception):
                    governor.tell.failed("step", error)
        bell.close()

    def _note_lateness(self, by: float) -> None:
        if by >= LATE:
            self.late += 1
            self.latest = by
            self._governor.tell(Late(at=self._governor.clock.now(), by=by, times=self.late))
