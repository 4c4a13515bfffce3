"""The last resort: what is tried when the shutdown mark is reached, and what ends it.

At most three attempts, a minute apart, each asking everything once more. When the third did not
help, the state is told and dumped; then the planned exit where its owner opted in, else admission
stays shut until the level is NORMAL again. Nothing here waits: each step looks at the clock.
"""

from __future__ import annotations

from membudget.core import Level, ProtectionTried

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.core import Pressure
    from membudget.governor.telling import Teller

ATTEMPTS = 3
COOLDOWN = 60.0
RESTART_AFTER = 300.0
VERDICT_AFTER = 5.0
"""Seconds that an attempt has to show before it is judged."""


class Protection:
    """Counts attempts and decides when they are over. Used by the governor's thread only.

    Args:
        attempt: Asks everything once more.
        tell: Takes `ProtectionTried` events.
        most: Attempts before the last resort.
        cooldown: Seconds between attempts.
        restart_after: Seconds at NORMAL after which the count begins anew.
        dump: Writes down the state once, before the last resort; None writes nothing.
        leave: Begins the planned exit; None where the owner has not opted in.

    Attributes:
        began_over: Whether the process was over the mark when its budget began, and has been since:
            then neither dump nor exit would help, since the next one begins alike.
    """

    def __init__(
        self,
        attempt: Callable[[], object],
        tell: Teller,
        *,
        most: int = ATTEMPTS,
        cooldown: float = COOLDOWN,
        restart_after: float = RESTART_AFTER,
        dump: Callable[[], object] | None = None,
        leave: Callable[[], object] | None = None,
    ) -> None:
        self.attempts = 0
        self.is_shut = False
        self.began_over = False
        self._attempt = attempt
        self._tell = tell
        self._most = most
        self._cooldown = cooldown
        self._restart_after = restart_after
        self._dump = dump
        self._leave = leave
        self._tried_at = float("-inf")
        self._is_judged = True
        self._normal_since: float | None = None

    def step(self, pressure: Pressure, now: float) -> None:
        """Look at one judgement: judge the last attempt, begin the next, or end it all."""
        if pressure.level is Level.NORMAL:
            self._rest(pressure, now)
            return
        self._normal_since = None
        if not self._is_judged and (not pressure.shutdown or now - self._tried_at >= VERDICT_AFTER):
            self._judge(pressure, now)
        is_next_due = now - self._tried_at >= self._cooldown and self._is_judged
        if not pressure.shutdown or not is_next_due or self.is_shut:
            return
        if self.attempts >= self._most:
            self._end(pressure, now)
        else:
            self.attempts += 1
            self._tried_at, self._is_judged = now, False
            self._try(self._attempt)

    def _judge(self, pressure: Pressure, now: float) -> None:
        self._is_judged = True
        if not pressure.shutdown:
            self._told(pressure, now, "recovered")
        elif self.attempts < self._most:
            self._told(pressure, now, "not enough")
        else:
            self._end(pressure, now)

    def _end(self, pressure: Pressure, now: float) -> None:
        self.is_shut = True
        may_leave = self._leave is not None and not self.began_over
        self._told(pressure, now, "exit" if may_leave else "admission shut")
        for last in () if self.began_over else (self._dump, self._leave):
            if last is not None:
                self._try(last)

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001  # the last resort must not end the loop
            self._tell.failed("last resort", error)

    def _rest(self, pressure: Pressure, now: float) -> None:
        self.is_shut = self.began_over = False
        if not self._is_judged:
            self._is_judged = True
            self._told(pressure, now, "recovered")
        if self._normal_since is None:
            self._normal_since = now
        if self.attempts and now - self._normal_since >= self._restart_after:
            self.attempts, self._tried_at = 0, float("-inf")

    def _told(self, pressure: Pressure, now: float, outcome: str) -> None:
        self._tell(
            ProtectionTried(
                at=now,
                attempt=self.attempts,
                most=self._most,
                outcome=outcome,
                source=pressure.source,
            )
        )
