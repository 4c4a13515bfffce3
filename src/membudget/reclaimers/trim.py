"""Having an allocator give free pages back to the kernel, as often as that pays.

Worth its stall only for what the allocator keeps: pymalloc leaves blocks above 512 bytes to malloc,
and freeing 1 GB of 2 KB strings returned 7 % by itself and 99.8 % after a trim, which took about
70 ms. Whoever allocates waits meanwhile. What will come is not known before: 215 MiB free in malloc
once gave back 2 MiB, since nearly every page held something. So it is done

- at once when the free bytes rose by 16 MiB since the last time;
- else after a pause: 10 s, doubled up to an hour while next to nothing comes;
- below CRITICAL only where the stall foreseen fits in 50 ms, unless a late rung is asked by hand;
- for a twentieth of the time at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.core import Rung, SystemClock
from membudget.reclaimers.collect import SHORT
from membudget.units import MIB

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.core import Clock

RISE = 16 * MIB
"""Bytes by which what is free has to rise to be worth a try before its time."""

FIRST_PAUSE, LONGEST_PAUSE = 10.0, 3600.0
"""Seconds between two tries: at first, and at most."""

_SHARE, _LOOK_SHARE = 0.05, 0.002
"""Share of the time that giving back may take, and asking how much is free."""

_SECONDS_A_BYTE = 0.12e-9
"""What a trim takes before one was seen: 88 to 123 ms for each GB."""

_PAYS, _PAYS_SHARE = MIB, 1 / 16
"""Bytes that make a try worthwhile, or share of those wanted; less if less was wanted."""


class Trim:
    """A reclaimer that has one allocator give back what it holds free. For one thread.

    Args:
        name: What it is called in events.
        release: Has the allocator give back.
        own: Reads the bytes of the process now.
        free: Bytes that the allocator holds free at the most, or None where that is not known;
            not asked for more than a five-hundredth of the time.
        is_pressed: Whether memory is so short that a long stall is better than what else comes.

    Attributes:
        paces_itself: It knows when to be left alone; the ladder's pauses do not.
        given_back: Bytes that the process shrank by so far.
    """

    paces_itself = True
    rung = Rung.GENTLE

    def __init__(
        self,
        name: str,
        release: Callable[[], object],
        own: Callable[[], int],
        *,
        free: Callable[[], int | None] = lambda: None,
        is_pressed: Callable[[], bool] = lambda: False,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.given_back = 0
        self._release = release
        self._own = own
        self._ask_free = free
        self._is_pressed = is_pressed
        self._clock = clock or SystemClock()
        self._free: int | None = None
        self._left = self._shrunk_to = 0
        self._pause = FIRST_PAUSE
        self._paid = True
        self._seconds_a_byte, self._scanning = _SECONDS_A_BYTE, 0.0
        self._look_at = self._rests_until = self._pause_ends = float("-inf")

    @property
    def promised(self) -> int:
        """Bytes freed since the last try, as seen last: what another would give at the most."""
        return max(0, (self._free or 0) - self._left)

    def reclaimable(self, *, may_stall: bool = False) -> int | None:
        """Not known, since pages that were given back count as free as well; 0 while it rests.

        Args:
            may_stall: Whether it is asked where a long stall is better than what else comes.
        """
        now = self._clock.now()
        if now < self._rests_until:
            return 0
        free = self._look(now)
        if free is None:
            return None if now >= self._pause_ends else 0
        is_due = now >= self._pause_ends or free - self._left >= RISE
        if free < _PAYS or not is_due:
            return 0
        is_short = self._due() * self._seconds_a_byte + self._scanning <= SHORT
        return None if is_short or may_stall or self._is_pressed() else 0

    def reclaim(self, target: int, until: float) -> int:  # noqa: ARG002  # it cannot be cut short
        """Have it give back, and claim what the process shrank by."""
        began, before, due, freed = self._clock.now(), self._own(), self._due(), 0
        try:
            self._release()
            self._shrunk_to = self._own()
            freed = max(0, before - self._shrunk_to)
        finally:
            took = self._clock.now() - began
            self._learn(took, due, freed)
            self._paid = freed >= min(target, max(_PAYS, target * _PAYS_SHARE))
            now = self._clock.now()
            self._rests_until = now + took * (1 / _SHARE - 1)
            self._pause_ends = now + self._pause
            self._pause = FIRST_PAUSE if self._paid else min(2 * self._pause, LONGEST_PAUSE)
            self._look_at = float("-inf")
            self._left = self._look(now) or 0
        self.given_back += freed
        return freed

    def _look(self, now: float) -> int | None:
        if now >= self._look_at:
            self._free = self._ask_free()
            took = self._clock.now() - now
            self._look_at = now + took / _LOOK_SHARE
            # What was given back and is in use again makes the next try worthwhile; where nothing
            # came, the free bytes lie between others, and as many of them promise nothing anew.
            if self._paid and self._free is not None:
                self._left = min(self._left, self._free)
        return self._free

    def _due(self) -> int:
        """Bytes that may go now, at the most: freed since the last time, or come back since."""
        return min(self._free or 0, self.promised + max(0, self._own() - self._shrunk_to))

    def _learn(self, took: float, due: int, freed: int) -> None:
        """Take note of how long it took, for each byte and for looking through the rest."""
        if freed >= max(RISE, due / 2):
            self._seconds_a_byte = took / max(due, freed)
        else:
            self._scanning = max(0.0, took - freed * self._seconds_a_byte)


class Later:
    """A trim asked once more at a late rung, where a long stall is better than what else comes."""

    paces_itself = True

    def __init__(self, trim: Trim, rung: Rung) -> None:
        self.name = trim.name
        self.rung = rung
        self._trim = trim
        self.reclaim = trim.reclaim

    def reclaimable(self) -> int | None:
        """As the trim says."""
        return self._trim.reclaimable(may_stall=True)
