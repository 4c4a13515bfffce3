"""The wheel: which entries expire next, without a heap.

Time is cut into ticks of 1/64 s. Entries due within 64 ticks stand in the slot of their tick; those
further off in the slots of coarser levels, 64 ticks, 64² and 64³ wide, and are placed anew, one
level finer, when the wheel comes to their slot. So an entry is moved at most four times, adding and
removing take constant time, and what expires together is found together.
Source: Varghese and Lauck, Hashed and Hierarchical Timing Wheels (1987), scheme 7.

Every change of the links is straight code without a call, so that neither a signal handler nor a
finalizer that uses the same table can come in between; what was computed before is looked at again.
"""

from __future__ import annotations

from math import floor, isfinite
from typing import Any

from membudget.bounded.plain.entry import Entry, Slot

TICKS = 64
"""Ticks a second: 1/64 is exact in binary."""

MOVES = 1024
"""Entries placed anew in one search at most: a million set in one minute come to be so at once."""

_LEVELS = 4
_BITS = 6
_SLOTS = 1 << _BITS
_LOW = _SLOTS - 1
_ALL = (1 << _SLOTS) - 1
_SPAN = _LEVELS * _BITS
_NEVER = float("inf")


class Wheel:
    """Entries by when they expire. Not for several threads at once, `soonest` and ticks aside.

    Args:
        epoch: Monotonic seconds at tick 0.
        idle: Seconds without use after which an entry expires, or None.

    Attributes:
        count: Entries in it.
        tick: How far it has turned.
        idle_ticks: Ticks without use after which an entry expires, or None.
        is_behind: Whether the last search ended before it had turned as far as time has.
    """

    __slots__ = (
        "_bits",
        "_due",
        "_overflow",
        "_pending",
        "_slots",
        "count",
        "epoch",
        "idle_ticks",
        "is_behind",
        "tick",
    )

    def __init__(self, epoch: float, idle: float | None) -> None:
        self.epoch = epoch
        self.idle_ticks = None if idle is None else -floor(-idle * TICKS)
        self.is_behind = False
        self.count = self.tick = 0
        self._due, self._pending, self._overflow = Slot(), Slot(), Slot()
        self._slots: list[Slot | None] = []
        self._bits = [0] * _LEVELS

    def take_apart(self) -> None:
        """Undo all circles."""
        self.count, self._bits = 0, [0] * _LEVELS
        for slot in (self._due, self._pending, self._overflow, *self._slots):
            if slot is not None:
                slot.take_apart()

    def tick_of(self, when: float) -> int:
        """The tick that a time lies in."""
        return floor((when - self.epoch) * TICKS)

    def time_of(self, tick: int) -> float:
        """When a tick begins."""
        return self.epoch + tick / TICKS

    def is_timed(self, entry: Entry[Any, Any]) -> bool:
        """Whether an entry ever expires by itself."""
        if self.idle_ticks is not None:
            return True
        return entry.expires is not None and entry.expires != _NEVER

    def ends(self, entry: Entry[Any, Any]) -> float:
        """When an entry expires if it is not used any more; infinite for never."""
        expires = _NEVER if entry.expires is None else entry.expires
        if self.idle_ticks is None:
            return expires
        return min(expires, self.time_of(entry.used + self.idle_ticks))

    def has_ended(self, expires: float | None, used: int, now: float) -> bool:
        """Whether what lasts so long and was used then has expired, whatever the wheel knows."""
        if expires is not None and expires <= now:
            return True
        return self.idle_ticks is not None and self.tick_of(now) - used >= self.idle_ticks

    def add(self, entry: Entry[Any, Any], now: float) -> None:
        """Note when an entry of the table expires, if it does."""
        if self.is_timed(entry):
            if not self.count:
                self.tick = self.tick_of(now)
            self._place(entry)

    def soonest(self) -> float | None:
        """A time before which nothing expires; None for never. Any thread may ask."""
        if not self.count:
            return None
        head = self._due.later
        if isinstance(head, Entry):
            return self.ends(head)
        # What is under way counts as due now.
        waits = isinstance(self._pending.later, Entry) or self._bits[0] >> (self.tick & _LOW) & 1
        return self.epoch + (self.tick if waits else self._next(_NEVER)) / TICKS

    def next_due(self, now: float) -> Entry[Any, Any] | None:
        """An entry that has expired, still in its place; None where none is known to have."""
        tick, moves = self.tick_of(now), MOVES
        while moves:
            if isinstance(head := self._due.later, Entry):
                if self.has_ended(head.expires, head.used, now):
                    break
                if self._deadline(head) <= self.tick:  # Later within this very tick.
                    head = None
                    break
                self._take(head, self._due)
            elif isinstance(head := self._pending.later, Entry):
                self._take(head, self._pending)
            elif self._bits[0] >> (self.tick & _LOW) & 1:
                self._empty(0, self._due)
                continue
            elif self.tick < tick:
                self._turn(tick)
                continue
            else:
                head = None
                break
            self._place(head)
            moves -= 1
        self.is_behind = not moves
        return head if moves else None

    def _deadline(self, entry: Entry[Any, Any]) -> int:
        """The tick in which an entry expires."""
        idle_ticks, expires = self.idle_ticks, entry.expires
        idle = None if idle_ticks is None else entry.used + idle_ticks
        if expires is None or not isfinite(expires):  # It never does, or was taken out meanwhile.
            return self.tick if idle is None else idle
        hard = self.tick_of(expires)
        return hard if idle is None or hard < idle else idle

    def _place(self, entry: Entry[Any, Any]) -> None:
        while True:
            tick = self.tick
            deadline = self._deadline(entry)
            slot = self._slot_of(deadline - tick, deadline)
            if entry.after is None or entry.later is not None:
                return  # It was taken out, or placed, meanwhile.
            last = slot.sooner
            last.later = slot.sooner = entry
            entry.sooner, entry.later = last, slot
            self.count += 1
            if self.tick == tick:
                return
            self._take(entry, None)

    def _slot_of(self, delta: int, deadline: int) -> Slot:
        if delta <= 0:
            return self._due
        level = (delta.bit_length() - 1) // _BITS
        if level >= _LEVELS:
            return self._overflow
        if not self._slots:
            self._slots = [None] * (_LEVELS * _SLOTS)
        number = deadline >> level * _BITS & _LOW
        found = self._slots[level * _SLOTS + number]
        if found is None:
            found = self._slots[level * _SLOTS + number] = Slot()
        self._bits[level] |= 1 << number
        return found

    def _take(self, entry: Entry[Any, Any], slot: Slot | None) -> None:
        """Take an entry out of its slot, if it still is the first of this one."""
        sooner, later = entry.sooner, entry.later
        if later is None or (slot is not None and sooner is not slot):
            return
        sooner.later, later.sooner = later, sooner
        entry.sooner = entry.later = None
        self.count -= 1

    def _turn(self, most: int) -> None:
        """Turn to where there is something to do next, at most so far."""
        tick = self.tick = int(self._next(most))
        if tick & _LOW:
            return
        if not tick & (1 << _SPAN) - 1:
            _append(self._overflow, self._pending)
        for level in range(_LEVELS - 1, 0, -1):
            if not tick & (1 << level * _BITS) - 1:
                self._empty(level, self._pending)

    def _empty(self, level: int, target: Slot) -> None:
        """Move all of the slot that the wheel stands at."""
        number = self.tick >> level * _BITS & _LOW
        if self._bits[level] >> number & 1:
            self._bits[level] &= ~(1 << number)
            slot = self._slots[level * _SLOTS + number]
            if slot is not None:
                _append(slot, target)

    def _next(self, most: float) -> float:
        """The next tick at which there is something to do, at most this one."""
        tick = self.tick
        for level, bits in enumerate(self._bits):
            if bits:
                at = tick >> level * _BITS
                here = at & _LOW
                ahead = (bits >> here | bits << _SLOTS - here) & _ALL & ~1
                away = (ahead & -ahead).bit_length() - 1 if ahead else _SLOTS
                most = min(most, at + away << level * _BITS)
        if isinstance(self._overflow.later, Entry):
            most = min(most, (tick >> _SPAN) + 1 << _SPAN)
        return most


def _append(source: Slot, target: Slot) -> None:
    """Move all entries of a slot to the end of another one."""
    first, last = source.later, source.sooner
    if first is source:
        return
    source.later = source.sooner = source
    end = target.sooner
    end.later, first.sooner = first, end
    last.later, target.sooner = target, last
