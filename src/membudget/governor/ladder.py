"""The ladder: who is asked to let go, in which order, for how much, and what came of it.

Within a step claims are believed, between steps the meter is (ADR 3); above a known floor holders
keep their working set (ADR 21). Work goes in slices with a pause for the other threads after each,
and a step ends after 100 ms at the latest, so that the meter is read again.
"""

from __future__ import annotations

import sys

from membudget.core import Level, Reclaimed, Rung
from membudget.governor.telling import FOREIGN
from membudget.reclaimers import BLOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from membudget.core import Clock, Meter, Pressure, Reclaimer
    from membudget.governor.floor import Floor
    from membudget.governor.telling import Teller
    from membudget.registry import Registry

SLICE, STEP = 0.005, 0.1  # Seconds of work at a stretch, and until the meter is read again.
PROTECT = 1.0  # Seconds of reclaiming where everything is asked at once.
SETTLE = 5.0  # Seconds that a claim counts at EMERGENCY although the meter has not shown it.
CREDIT_LASTS = 30.0  # The same below EMERGENCY.
_NOTICEABLE = 64 << 10  # Bytes below which a round has changed nothing,
_NOTICEABLE_SHARE = 1 / 32  # or the share of what was asked for: 28 KiB of 31 MiB are nothing.

_RISE, _RISE_SHARE = 1 << 20, 0.01
"""Bytes, and share of the limit, by which use above a floor rises that is asked about at once."""

_DEBT = 4 << 20  # Bytes owed from which the loop collects what inserting threads have not paid.
_MOST_GUESTS = 1024

RUNGS: dict[Level, tuple[Rung, ...]] = {
    Level.NORMAL: (),
    Level.WARNING: (Rung.GENTLE,),
    Level.CRITICAL: (Rung.GENTLE, Rung.MODERATE),
    Level.EMERGENCY: tuple(Rung),
}
"""The policy: which rungs each level asks, in order."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # Seconds that what frees nothing is left alone,
PAUSE_AT_A_FLOOR = 3600.0  # and at most where shrinking does not cure what is too much.


class Pause:
    """How long a reclaimer is left alone, after two rounds in a row that changed nothing.

    The pause doubles, and one effective round ends it.
    """

    def __init__(self) -> None:
        self.ends: float = float("-inf")
        self.count = 0  # What it said it could let go, when it was asked last.
        self._has_failed = False
        self._next = FIRST_PAUSE

    def note(self, now: float, *, effective: bool, longest: float = LONGEST_PAUSE) -> None:
        """Take note of what the last round came to, and pause for `longest` seconds at most."""
        if effective:
            self._has_failed, self._next, self.ends = False, FIRST_PAUSE, float("-inf")
        elif not self._has_failed:
            self._has_failed = True
        else:
            pause = min(longest, self._next)
            self.ends, self._next = now + pause, min(PAUSE_AT_A_FLOOR, pause * 2)


class _Seat:
    """A reclaimer, how long it is left alone, and whether what it frees is the holders'."""

    __slots__ = ("is_holder", "pause", "reclaimer")

    def __init__(self, reclaimer: Reclaimer, pause: Pause, *, is_holder: bool) -> None:
        self.reclaimer, self.pause, self.is_holder = reclaimer, pause, is_holder


class Ladder:
    """Reclaimers by rung: the given ones in their order, then the register's, least worthy first.

    Used by the governor's thread only, except `add` and what it returns.
    """

    def __init__(
        self,
        reclaimers: Iterable[Reclaimer],
        registry: Registry,
        meter: Meter,
        tell: Teller,
        *,
        floor: Floor,
        clock: Clock,
    ) -> None:
        self.reclaimed: int = 0  # Bytes claimed so far.
        self._highest = 0
        # Bytes let go that the meter has not shown yet: the allocator holds them.
        self.credit: int = 0
        self.is_giving_back: bool = False  # Whether what gives back to the kernel is amid it.
        self._seats: list[_Seat] = []
        self._guests: dict[int, Pause] = {}
        self._registry, self._meter, self._tell = registry, meter, tell
        self._floor, self._clock = floor, clock
        self._used = 0  # Bytes, when the first of a round was asked.
        self._credited = (float("-inf"), 0, 0)
        self._moderate_at: float | None = None
        for reclaimer in reclaimers:
            self.add(reclaimer)

    def add(self, reclaimer: Reclaimer) -> Callable[[], None]:
        """Add a reclaimer at the end of its rung; returns what removes it."""
        seat = _Seat(reclaimer, Pause(), is_holder=getattr(reclaimer, "gives_back", False))
        self._seats.append(seat)

        def remove() -> None:
            if seat in self._seats:
                self._seats.remove(seat)

        return remove

    def relieve(self, pressure: Pressure, wanted: int = 0) -> int:
        """Ask for what the pressure calls for, or somebody waits for; returns the bytes claimed."""
        now = self._clock.now()
        self.is_giving_back = False
        self._settle_credit(pressure, now)
        self._note_rise(pressure)
        rungs = RUNGS[pressure.level]
        began, is_high = self._moderate_at, pressure.level >= Level.CRITICAL and pressure.excess
        if is_high and began is not None and now - began >= self._patience(pressure):
            # The meter has had its time: believe it, and give back to the kernel first.
            self.credit, self._moderate_at = 0, now
            rungs = (Rung.AGGRESSIVE, *rungs)
        claimed = self._make_room(wanted, now + STEP) if wanted else 0
        if not pressure.level:
            return claimed or self._keep_healthy(now + STEP)
        floor, excess = self._floor, pressure.excess
        above = floor.over(pressure.used) if floor.bytes else excess
        if (portion := self._meter.peers.excess) is not None:
            above = min(above, portion)
        target = (above if floor.is_elsewhere else excess) - self.credit
        if target > 0:
            return claimed + self._ask_rungs(rungs, target, now + STEP, above - self.credit)
        return claimed

    def _make_room(self, wanted: int, ends: float) -> int:
        """Free what somebody waits for, whatever the level; of holders only where that suffices.

        What gives memory back comes first: a load needs the room itself, not holes.
        """
        moderate = self._at(Rung.MODERATE)
        counted = {seat: count for seat in moderate if (count := _count(seat)) is not None}
        unknown = [seat for seat in moderate if seat not in counted]
        claimed = self._ask_rungs((Rung.GENTLE,), wanted, ends)
        claimed += self._ask_seats(unknown, Rung.MODERATE, wanted - claimed, ends)
        if claimed + sum(counted.values()) < wanted:
            return claimed
        seats = [seat for seat in self._seats if seat.is_holder] + list(counted)
        return claimed + self._ask_seats(seats, Rung.MODERATE, wanted - claimed, ends)

    def _keep_healthy(self, ends: float) -> int:
        """Below WARNING: what malloc holds free goes above the brim, the least worthy pay debts."""
        claimed, owed = 0, self._meter.owed()
        if (over := self._meter.over_brim()) > 0:
            # Room that is kept for loads has to be the system's: holes are none.
            if self._meter.kept:
                claimed += self._make_room(max(0, over - self.credit), ends)
            else:
                claimed += self._ask_rungs((Rung.GENTLE,), over, ends)
        if owed < _DEBT:
            return claimed
        for seat in self._guests_at(Rung.MODERATE):
            if claimed < owed:
                freed = self._ask(seat, Rung.MODERATE, owed - claimed, ends)
                claimed += freed
                self.reclaimed += freed
        return claimed

    def ask(self, rung: Rung, target: int | None = None) -> int:
        """Ask all rungs up to this one, pauses forgiven; None asks for all there is."""
        self._forgive()
        for seat in self._seats:
            # Those as well that pace themselves, which rising use alone does not forgive.
            getattr(seat.reclaimer, "forgive", bool)()
        rungs = tuple(one for one in Rung if one <= rung)
        wanted = self._meter.estimate() if target is None else target
        return self._ask_rungs(rungs, wanted, self._clock.now() + PROTECT)

    def _ask_rungs(
        self, rungs: tuple[Rung, ...], target: int, ends: float, of_holders: int | None = None
    ) -> int:
        """Ask for so many bytes; of them, holders for so many at most, or for all."""
        claimed = 0
        for rung in rungs:
            seats, left = self._at(rung), target - claimed
            if rung is Rung.MODERATE:
                now = self._clock.now()
                if self._moderate_at is None:
                    self._moderate_at = now
                is_late = rungs[-1] > rung and now - self._moderate_at > PROTECT
                # What gives back and was cut short goes on: others would take here and there.
                # Where there is no time for that, it has to have chosen: while it looks, they do.
                what = "has_chosen" if is_late else "is_under_way"
                holders = [one for one in self._seats if one.is_holder]
                going_on = [one for one in holders if getattr(one.reclaimer, what, False)]
                self.is_giving_back = bool(going_on)
                seats = going_on + seats
            claimed += self._ask_seats(seats, rung, left, ends, of_holders)
        return claimed

    def _ask_seats(
        self,
        seats: list[_Seat],
        rung: Rung,
        target: int,
        ends: float,
        of_holders: int | None = None,
    ) -> int:
        claimed = self._used = 0
        for seat in seats:
            left = target - claimed
            if seat.is_holder and of_holders is not None:
                left = min(left, of_holders - claimed)
            if left <= 0:
                continue
            if self._clock.now() >= ends:
                break
            claimed += self._ask(seat, rung, left, ends)
        if claimed:
            self.reclaimed += claimed
            self.credit += claimed
            self._credited = (self._clock.now(), self._used, self._registry.held_bytes())
        return claimed

    def _ask(self, seat: _Seat, rung: Rung, target: int, ends: float) -> int:
        clock, meter, reclaimer = self._clock, self._meter, seat.reclaimer
        began = clock.now()
        least = min(target, max(_NOTICEABLE, int(target * _NOTICEABLE_SHARE)))
        if (count := _count(seat)) == 0:
            return 0
        if began < seat.pause.ends and (count is None or count < seat.pause.count + least):
            return 0
        claimed, error, is_under_way = 0, None, False
        used, held = meter.estimate(), self._registry.held_bytes()
        self._used = self._used or used
        blocks = sys.getallocatedblocks()
        try:
            for got in self._slices(reclaimer, target, ends):
                claimed += got
            is_under_way = _is_under_way(reclaimer)
        except FOREIGN as caught:  # foreign code is fenced
            error = caught
        measured = used - meter.estimate()
        let_go = held - self._registry.held_bytes()
        blocks = (blocks - sys.getallocatedblocks()) * BLOCK
        did = max(claimed, measured, let_go, blocks) >= least or is_under_way
        if error is not None or not getattr(reclaimer, "paces_itself", False):
            seat.pause.count = _count(seat) or 0
            seat.pause.note(
                clock.now(),
                effective=error is None and did,
                longest=PAUSE_AT_A_FLOOR if self._floor.bytes else LONGEST_PAUSE,
            )
        if error is not None:
            self._tell.failed(f"reclaimer {reclaimer.name}", error)
        self._tell(
            Reclaimed(
                at=clock.now(),
                by=reclaimer.name,
                rung=rung,
                asked=target,
                claimed=claimed,
                measured=measured,
                took=clock.now() - began,
                objects=getattr(reclaimer, "objects", None),
            )
        )
        return claimed

    def _slices(self, reclaimer: Reclaimer, target: int, ends: float) -> Iterator[int]:
        """What each slice of work let go, with as long a pause for other threads after each."""
        while (began := self._clock.now()) < ends:
            got = reclaimer.reclaim(target, min(began + SLICE, ends))
            yield got
            target -= got
            if target <= 0 or not (got > 0 or _is_under_way(reclaimer)):
                return
            if not reclaimer.reclaimable():
                return
            self._clock.sleep(self._clock.now() - began)

    def _at(self, rung: Rung) -> list[_Seat]:
        """Who is asked at this rung; EMERGENCY asks the register's again, for all they hold."""
        own = [seat for seat in tuple(self._seats) if seat.reclaimer.rung is rung]
        guests = self._guests_at(rung)
        # A collection and a trim come after what there is to collect and trim.
        return guests + own if rung is Rung.AGGRESSIVE else own + guests

    def _guests_at(self, rung: Rung) -> list[_Seat]:
        found = [
            one
            for one in self._registry.reclaimers()
            if one.rung is rung or (rung is Rung.EMERGENCY and one.rung is Rung.MODERATE)
        ]
        if not found:
            return []
        found.sort(key=_worth)
        # By id, so that no reference of ours keeps a forgotten cache alive; an id used again
        # inherits a pause of seconds at worst.
        pauses = {id(one): self._guests.get(id(one)) or Pause() for one in found}
        self._guests.update(pauses)
        if len(self._guests) > _MOST_GUESTS:
            self._guests = pauses
        return [_Seat(one, pauses[id(one)], is_holder=True) for one in found]

    def _note_rise(self, pressure: Pressure) -> None:
        """Use above a floor that rises beyond all it was is asked about at once, as the first."""
        if not self._floor.bytes:
            if self._highest:
                self._forgive()  # No pause of an hour outlives its floor.
            self._highest = 0
        elif pressure.used > self._highest + max(_RISE, (pressure.limit or 0) * _RISE_SHARE):
            if self._highest:
                self._forgive()
            self._highest = pressure.used

    def _forgive(self) -> None:
        for pause in (*(seat.pause for seat in self._seats), *self._guests.values()):
            pause.ends = float("-inf")

    def _settle_credit(self, pressure: Pressure, now: float) -> None:
        at, used, held = self._credited
        if self.credit:
            refilled = max(0, self._registry.held_bytes() - held)
            rest = self.credit - max(0, used - pressure.used) - refilled
            lasts = self._patience(pressure) if pressure.level is Level.EMERGENCY else CREDIT_LASTS
            self.credit = max(0, rest) if now - at < lasts else 0
            self._credited = (at, pressure.used, held + refilled)
        if pressure.level < Level.CRITICAL:
            self._moderate_at = None

    def _patience(self, pressure: Pressure) -> float:
        left, settle = pressure.seconds_left, self._floor.settle
        return settle if left is None else min(settle, left / 2)


def _is_under_way(reclaimer: Reclaimer) -> bool:
    """Whether it works on something that has let go of nothing yet."""
    return getattr(reclaimer, "is_under_way", False) is True  # A method of that name says nothing.


def _count(seat: _Seat) -> int | None:
    """What it says that it can let go, or None."""
    try:
        return seat.reclaimer.reclaimable()
    except FOREIGN:  # What cannot tell is asked, and that is where it is told.
        return None


def _worth(reclaimer: Reclaimer) -> float:
    """Hits per byte where it counts them; what counts none is asked last."""
    worth: Callable[[], float] | None = getattr(reclaimer, "hits_per_byte", None)
    try:
        return worth() if worth is not None else float("inf")
    except FOREIGN:  # What cannot tell its worth is asked last, and keeps nobody from being asked.
        return float("inf")
