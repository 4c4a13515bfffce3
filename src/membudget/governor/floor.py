"""The floor: what use stands at though holders let go, and what they may hold above it.

Where what is too much is held elsewhere (an allocator that keeps what was freed, model weights,
preallocated pools, neighbours in the group), shrinking holders never ends: a hot cache is held at
nothing for good, at no gain. So the outcome of shrinking is watched. Holders let go of half of what
they held, or of all that was too much, or hold a quarter of that at most, or were idle; use fell by
less than half of what they let go and stands above the low mark without them: that is a floor. From
then on they are left a *working set* above it, at least what they held when the floor rose and at
least half of the room to the critical mark, to just below the emergency mark: use may go up to the
*line*, and only what lies above is asked for.

What others in the group hold needs no trial: where that alone lies above the low mark, nothing that
this process lets go brings use below it.

The floor falls with use. What refills holes that the allocator kept raises no use, and does not
count as a fall. It is forgotten once it lies well below the low mark, or once use has rested below
the mark where caches stop for as long as memory needs to settle. So neither state lasts: a floor
that is there is found again within a settling time, and one that is gone is forgotten within one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from membudget.core import Reading

Lines: TypeAlias = tuple[float, float, float, float]

_GONE = 0.9
"""Share of the low mark below which a floor is none."""

_STILL = 1 / 64
"""Share of the limit by which holders fall while they are still letting go, and within which what
they take in does not make them the ones that press."""

_SHOWS, _GIVEN_BACK = 1 / 5, 6 / 5
"""Share of the settling time after which letting go has shown or has not, and after which caches
have been asked to give back what the allocator kept of it. A floor found too soon is forgotten as
soon as use falls; one found late is paid for in misses."""

_SPENT = 1 / 4
"""Share of what is too much up to which all that holders hold would not cure it, were it weighed
four times too light."""

_NOTHING = 1 / 256
"""Share of the limit by which use falls by chance."""

_ROOM_AT_THE_END = 1 / 4
"""Share of the room to the limit that holders get above a floor, however high."""

_ROOM_OVER_THE_LIMIT = 1 / 64
"""Share of a limit that they get where the floor alone is over it."""


class Floor:
    """Learns what shrinking does not cure. Used by the governor's thread only.

    Args:
        settle: Seconds that freed memory has to show at the meter.

    Attributes:
        bytes: What use stands at without the working set; 0 where no floor is known.
        line: Use up to which holders are left alone; 0.0 where no floor is known.
        is_elsewhere: Whether what is too much lies outside this process.
    """

    def __init__(self, settle: float) -> None:
        self.settle = settle
        self.forget()

    def forget(self) -> None:
        """Know nothing: at first, in a forked child, and when it is gone."""
        self.bytes = 0
        self.line = 0.0
        self.is_elsewhere = False
        self._kept = 0
        self._calm_since: float | None = None
        self._held_before = 0
        self._pressed: tuple[float, int, int, int, int] | None = None

    def follow(
        self, reading: Reading, held: int, taken_in: int, marks: Lines, *, unshown: int = 0
    ) -> None:
        """Take note of one reading.

        Args:
            reading: What is used, and the limit.
            held: Bytes that all holders count.
            taken_in: Bytes that they took in since the start.
            marks: In bytes: low, where caches stop growing, critical, emergency.
            unshown: Bytes of what they let go that the meter has not shown.
        """
        used, limit, (low, stop, _, _) = reading.used, reading.limit, marks
        if used <= low and not self.bytes:
            self._pressed, self._held_before = None, held
            return
        if limit is None:
            self.forget()
            return
        if self.bytes:
            self._fall(used, held, low, stop, reading.at)
        others = reading.elsewhere if used > low else 0
        self.is_elsewhere = others > low
        if self.is_elsewhere:
            # By count: nobody need be shrunk to see it.
            kept = self._kept if self.bytes else max(held, self._held_before)
            self._learn(used - min(held, used - others), kept, marks, limit)
        elif used <= max(stop, self.line):
            self._pressed = None
            if not self.bytes:
                self._held_before = held
        else:
            self._try(reading, held, taken_in, marks, unshown)

    def over(self, used: int) -> int:
        """Bytes above the line; all that holders need to let go of."""
        return max(0, used - int(self.line))

    def _fall(self, used: int, held: int, low: float, stop: float, at: float) -> None:
        if used > stop:
            self._calm_since = None
        elif self._calm_since is None:
            self._calm_since = at
        bottom = used - max(0, held - self._kept)
        if bottom < self.bytes:
            self.line -= self.bytes - bottom
            self.bytes = bottom
        rested = self._calm_since is not None and at - self._calm_since >= self.settle
        if self.bytes < low * _GONE or rested:
            self.forget()
            self._held_before = held

    def _try(self, reading: Reading, held: int, taken_in: int, marks: Lines, unshown: int) -> None:
        """Use is above the line: see what comes of the holders' letting go."""
        at, used, limit = reading.at, reading.used, reading.limit or 0
        if self._pressed is None:
            self._held_before = max(held, self._kept, self._held_before)
            self._pressed = (at, used, self._held_before, held, taken_in)
        since, used_then, held_then, lowest, taken_then = self._pressed
        if held < lowest - limit * _STILL:
            self._pressed = (at, used_then, held_then, held, taken_in)
            return
        let_go, fell, apart = held_then - held, used_then - used, used - held
        has_holes = unshown > limit * _STILL
        if at - since < self.settle * (_GIVEN_BACK if has_holes else _SHOWS):
            return
        too_much = used_then - max(marks[0], self.line)
        is_tried = held <= held_then / 2 or let_go >= too_much
        is_spent = held <= (used - marks[0]) * _SPENT or taken_in - taken_then <= limit * _STILL
        self._pressed = None
        if (
            apart > marks[0]
            and (is_tried or is_spent)
            and fell <= max(let_go / 2, limit * _NOTHING)
        ):
            self._learn(apart, held_then, marks, limit)

    def _learn(self, bottom: int, kept: int, marks: Lines, limit: int) -> None:
        room, (_, _, critical, emergency) = limit - bottom, marks
        end = room * _ROOM_AT_THE_END if room > 0 else limit * _ROOM_OVER_THE_LIMIT
        self.bytes, self._kept = bottom, kept
        self.line = min(
            bottom + max(kept, (critical - bottom) / 2, end),
            max(emergency - limit * _STILL, bottom + end),
        )
