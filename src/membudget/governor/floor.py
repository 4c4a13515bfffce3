"""The floor (what use stands at whatever holders let go of; ADR 21), and the last resort.

Above a floor holders keep a *working set*: what they held when it rose, or over a minute half of
the room to the critical mark; at most what leaves room for the highest that has come and gone
lately, below the *top* just beneath the emergency mark. Above the *line*, floor and working set,
they are asked for what is beyond it; above the top for all that it takes. A floor that rises while
holders take much in may be their own (values weighed too light, holes they left), so it takes from
their working set; while they are idle, the line rises with it. It falls with use, and is forgotten
well below the low mark, or once use has rested there for a settling time.
"""

from __future__ import annotations

from membudget.core import Level, ProtectionTried, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.core import Pressure, Reading
    from membudget.governor.telling import Teller

_NEAR, _GONE = 0.9, 0.85  # Shares of the low mark: a floor from the one on, below the other none.
_SHOWS, _GIVEN_BACK = 1 / 5, 6 / 5
"""Shares of the settling time after which a floor is believed: at once, or where the allocator
keeps what holders let go of, once they have been asked to give it back and are done."""

LITTLE = 1 / 64
"""Share of the limit that holders have above any floor that leaves room for it, that lies between
the top and the emergency mark, and that they may take in and not be those who press."""

_AT_LEAST = 8 << 20  # The same in bytes at least: what threads take in while one waits for the GIL.
_GROWS_FOR = 60.0  # Seconds until the working set is half of the room to the critical mark.
_REMEMBERED = 300.0  # Seconds, at least, for which it is known what came and went.


class Lines(Record):
    """Marks in bytes."""

    low: float
    stop: float
    critical: float
    emergency: float
    top: float  # Below the emergency mark, by what threads may take in beside.


def top_of(emergency: float, limit: int | None) -> float:
    """The line just below an emergency mark."""
    return emergency - max((limit or 0) * LITTLE, _AT_LEAST)


class Floor:
    """Learns what shrinking does not cure. Used by the governor's thread only."""

    def __init__(self, settle: float) -> None:
        self.settle = settle  # Seconds that freed memory has to show at the meter.
        self.forget()

    def forget(self, held: int = 0) -> None:
        """Know nothing: at first, in a forked child, and when it is gone."""
        # What use stands at without the working set; 0 where no floor is known.
        self.bytes: int = 0
        self.line: float = 0.0  # Use up to which holders are left alone.
        self.is_elsewhere: bool = False  # Whether what is too much lies outside this process.
        self._apart_before = self._peak = self._kept = 0
        self._top = self._working_set = self._found = self._highest_since = 0.0
        self._held = self._held_before = held
        self._pressed_since: float | None = None
        self._calm_since: float | None = None
        self._highest = (0, 0)  # What holders do not count: these five minutes, those before.
        self._lowest = (0.0, 0, 0)  # Since when, how low it was, what had been taken in then.

    def follow(
        self,
        reading: Reading,
        held: int,
        taken_in: int,
        lines: Lines,
        *,
        beside: int = 0,
        unshown: int = 0,
        is_giving_back: bool = False,
    ) -> None:
        """Take note of one reading, and of bytes held and taken in since the start.

        Of `held`, `beside` are held by other processes that share the limit. `unshown` has been let
        go of and not shown by the meter; `is_giving_back` is whether holders are asked to give it
        back just now.
        """
        used, limit, at = reading.used, reading.limit, reading.at
        if used <= lines.low and not self.bytes:
            self._pressed_since, self._held_before, self._apart_before = None, held, used - held
            return
        if limit is None:
            self.forget(held)
            return
        self._held = held
        others = reading.elsewhere - beside
        self.is_elsewhere = others > lines.low
        apart = max(0, used - held)
        if self.bytes:
            self._go_on(reading, apart, taken_in, limit, lines)
        elif self.is_elsewhere:
            # By count: nobody need be shrunk to see it.
            self._held_before, self._peak = max(held, self._held_before), used
            self._learn(max(others, apart), taken_in, at)
        else:
            patience = _GIVEN_BACK if unshown > limit * LITTLE else _SHOWS
            is_shown = self._press(used, apart, at, lines) >= patience * self.settle
            if is_shown and not is_giving_back:
                self._learn(apart, taken_in, at)
        if self.bytes:
            self._draw(limit, at, lines)

    @property
    def kept(self) -> int:
        """Bytes that holders keep above the floor, however high use stands; 0 where they had 0."""
        return int(self._working_set) if self._held or self._held_before else 0

    def over(self, used: int) -> int:
        """Bytes that holders are to let go of."""
        is_within = self._held <= self._working_set and used <= self._top
        return 0 if is_within else max(0, used - int(self.line))

    def _press(self, used: int, apart: int, at: float, lines: Lines) -> float:
        """Seconds for which what is beyond shrinking has been too high; -1 where it is not."""
        if used <= _calm(lines) or apart <= lines.low * _NEAR:
            self._pressed_since, self._held_before, self._apart_before = None, self._held, apart
            return -1.0
        if self._pressed_since is None:
            self._pressed_since, self._peak = at, 0
        self._peak = max(self._peak, used)
        self._held_before = max(self._held_before, self._held)
        return at - self._pressed_since

    def _learn(self, bottom: int, taken_in: int, at: float) -> None:
        self.bytes = bottom
        rose = bottom - self._apart_before - max(0, self._held_before - self._held)
        self._kept = max(0, min(self._held_before, max(self._peak - bottom, rose)))
        self._found = self._highest_since = at
        self._highest = (bottom, 0)
        self._lowest = (at, bottom, taken_in)
        self._calm_since = None

    def _go_on(self, reading: Reading, apart: int, taken_in: int, limit: int, lines: Lines) -> None:
        """What is known may fall at once, and rise once it has stood for a while."""
        used, at = reading.used, reading.at
        if used > _calm(lines):
            self._calm_since = None
        elif self._calm_since is None:
            self._calm_since = at
        self.bytes = min(self.bytes, used - max(0, self._held - self._held_before))
        rested = self._calm_since is not None and at - self._calm_since >= self.settle
        if self.bytes < lines.low * _GONE or rested:
            self.forget(self._held)
            return
        if at - self._highest_since >= _REMEMBERED:
            self._highest, self._highest_since = (0, self._highest[0]), at
        self._highest = (max(self._highest[0], apart), self._highest[1])
        since, lowest, taken_then = self._lowest
        lowest = min(lowest, apart)
        self._lowest = (since, lowest, taken_then)
        if at - since >= self.settle:
            if lowest > self.bytes:
                if taken_in - taken_then > limit * LITTLE:
                    self._kept = max(0, self._kept - (lowest - self.bytes))
                self.bytes = lowest
            self._lowest = (at, apart, taken_in)

    def _draw(self, limit: int, at: float, lines: Lines) -> None:
        room = limit - self.bytes
        little = limit * LITTLE if room <= 0 else min(limit * LITTLE, room / 4)
        self._top = max(lines.top, self.bytes + little)
        grown = min(1.0, (at - self._found) / _GROWS_FOR) * (lines.critical - self.bytes) / 2
        fits = self._top - max(self._highest)
        self._working_set = max(little, min(max(self._kept, grown), fits))
        # A floor that is rising has not stood long enough to be told, and is there all the same.
        self.line = min(max(self.bytes, self._lowest[1]) + self._working_set, self._top)


def _calm(lines: Lines) -> float:
    """Use up to which nothing presses: caches that are full rest at `stop`, from below."""
    return (lines.low + lines.stop) / 2


VERDICT_AFTER = 5.0  # Seconds that an attempt has to show before it is judged.


class Protection:
    """Counts attempts and decides when they are over. Used by the governor's thread only.

    `dump` writes down the state once, before the last resort; `leave` begins the planned exit where
    its owner opted in. Attempts count anew after `restart_after` seconds at NORMAL. `began_over` is
    whether the process was over the mark when its budget began, and has been since: then neither
    dump nor exit would help.
    """

    def __init__(
        self,
        attempt: Callable[[], object],
        tell: Teller,
        *,
        most: int,
        cooldown: float,
        restart_after: float,
        dump: Callable[[], object] | None = None,
        leave: Callable[[], object] | None = None,
    ) -> None:
        self.attempts: int = 0
        self.is_shut: bool = False
        self.began_over: bool = False
        self.ends: bool = leave is not None  # Whether the last resort ends the process.
        self._attempt, self._dump, self._leave, self._tell = attempt, dump, leave, tell
        self._most, self._cooldown, self._restart_after = most, cooldown, restart_after
        self._tried_at = float("-inf")
        self._is_judged = True
        self._normal_since: float | None = None

    def step(self, pressure: Pressure, now: float) -> None:
        """Look at one judgement: judge the last attempt, begin the next, or end it all."""
        since = now - self._tried_at
        if pressure.level is Level.NORMAL:
            self._rest(pressure, now)
            return
        self._normal_since = None
        if not self._is_judged and (not pressure.shutdown or since >= VERDICT_AFTER):
            self._judge(pressure, now)
        is_due = self._is_judged and since >= self._cooldown
        if not pressure.shutdown or not is_due or self.is_shut:
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
