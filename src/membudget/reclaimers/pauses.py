"""Reclaimers made of reclaimers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.core import SystemClock

if TYPE_CHECKING:
    from membudget.core import Clock, Reclaimer, Rung

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
"""Seconds that a reclaimer which frees nothing is left alone: the first time, and at most."""

PAUSE_AT_A_FLOOR = 3600.0
"""Seconds at most where it is known that shrinking does not cure what is too much."""

_FAILURES = 2


class _Wrapped:
    """A reclaimer seen through another, with its name and rung."""

    def __init__(self, inner: Reclaimer, clock: Clock | None) -> None:
        self.inner = inner
        self._clock = clock or SystemClock()
        self._not_before = float("-inf")

    @property
    def name(self) -> str:
        """The inner reclaimer's name."""
        return self.inner.name

    @property
    def rung(self) -> Rung:
        """The inner reclaimer's rung."""
        return self.inner.rung

    @property
    def objects(self) -> int | None:
        """How many objects the inner one freed last, where it counts them."""
        objects: int | None = getattr(self.inner, "objects", None)
        return objects

    @property
    def paces_itself(self) -> bool:
        """Whether the inner one knows when to be left alone."""
        return getattr(self.inner, "paces_itself", False)

    def forgive(self) -> None:
        """End the inner one's own pause, where it has such."""
        forgive_own(self.inner)

    def reclaimable(self) -> int | None:
        """What the inner one could let go; 0 while it is left alone."""
        return 0 if self._clock.now() < self._not_before else self.inner.reclaimable()

    def reclaim(self, target: int, until: float) -> int:
        """Ask the inner one."""
        return self.inner.reclaim(target, until)


def forgive_own(reclaimer: Reclaimer) -> None:
    """End the pause of a reclaimer that knows by itself when to be left alone."""
    forgive = getattr(reclaimer, "forgive", None)
    if forgive is not None:
        forgive()


class Throttled(_Wrapped):
    """A reclaimer that is asked at most once in so many seconds."""

    def __init__(self, inner: Reclaimer, every: float, clock: Clock | None = None) -> None:
        super().__init__(inner, clock)
        self._every = every

    def reclaim(self, target: int, until: float) -> int:
        """Ask the inner one and start the interval."""
        try:
            return self.inner.reclaim(target, until)
        finally:
            self._not_before = self._clock.now() + self._every


class Pause:
    """How long a reclaimer is left alone, after two rounds in a row that changed nothing.

    The pause doubles from 1 s to 30 s, to an hour at a floor, and one effective round ends it:
    asking the same thing in vain at every tick is how collectors melt down (the OpenTelemetry
    Collector's memory limiter doubles its interval in the same way).
    """

    def __init__(self) -> None:
        self.ends = float("-inf")
        self.count = 0  # What it said it could let go, when it was asked last.
        self._failures = 0
        self._next = FIRST_PAUSE

    def note(self, now: float, *, effective: bool, longest: float = LONGEST_PAUSE) -> None:
        """Take note of what the last round came to, and pause for `longest` seconds at most."""
        if effective:
            self._failures, self._next, self.ends = 0, FIRST_PAUSE, float("-inf")
            return
        self._failures += 1
        if self._failures >= _FAILURES:
            pause = min(longest, self._next)
            self.ends, self._next = now + pause, min(PAUSE_AT_A_FLOOR, pause * 2)


class BackingOff(_Wrapped):
    """A reclaimer that pauses when it frees nothing, judged by its own claims."""

    def __init__(self, inner: Reclaimer, clock: Clock | None = None) -> None:
        super().__init__(inner, clock)
        self._pause = Pause()

    def reclaim(self, target: int, until: float) -> int:
        """Ask the inner one and take note of what came of it."""
        claimed = 0
        try:
            claimed = self.inner.reclaim(target, until)
        finally:
            now = self._clock.now()
            self._pause.note(now, effective=claimed > 0)
            self._not_before = self._pause.ends
        return claimed


class _AtRung(_Wrapped):
    def __init__(self, inner: Reclaimer, rung: Rung) -> None:
        super().__init__(inner, None)
        self._rung = rung

    @property
    def rung(self) -> Rung:
        """Its own."""
        return self._rung


def at_rung(inner: Reclaimer, rung: Rung) -> Reclaimer:
    """The same reclaimer, asked at another rung; what it is throttled to holds for both."""
    return _AtRung(inner, rung)


def throttled(inner: Reclaimer, every: float, *, clock: Clock | None = None) -> Throttled:
    """The same reclaimer, asked at most once in `every` seconds."""
    return Throttled(inner, every, clock)


def backing_off(inner: Reclaimer, *, clock: Clock | None = None) -> BackingOff:
    """The same reclaimer, left alone for a while after two rounds without effect."""
    return BackingOff(inner, clock)
