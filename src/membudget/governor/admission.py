"""Admission: a place for a big load is asked for before it is taken.

A reservation counts against the limit from the moment it is granted; while the load comes in, the
meter sets growth since the oldest standing one against the sum reserved.
"""

from __future__ import annotations

import sys
import threading

from membudget._native import core
from membudget.core import AdmissionRefused
from membudget.errors import LeaseError, OverBudgetError
from membudget.units import human_bytes, human_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from membudget.core import Clock, Meter
    from membudget.governor.telling import Teller

POLL = 0.01  # Seconds between two looks of a waiting coroutine; each step wakes a waiting thread.
TOLD_EVERY = 1.0  # Seconds between two refusals told; in between they are counted.
_READ_FROM = 1 << 20


class Admission:
    """The door: grants reservations against the meter. Any thread may ask.

    `make_room` has room made for so many bytes; it returns whether waiting makes sense here.
    """

    __slots__ = (
        "_acquire", "_clock", "_is_held", "_lock", "_make_room", "_meter", "_release", "_stepped",
        "_tell", "_told", "_untold", "_waiting", "beside", "is_shut", "note", "wanted",
    )  # fmt: skip

    def __init__(
        self,
        meter: Meter,
        tell: Teller,
        make_room: Callable[[int], bool],
        clock: Clock,
        note: Callable[[str, str], None],
    ) -> None:
        self.is_shut: bool = False
        # Has told once what the program gets wrong: a cause, and words.
        self.note: Callable[[str, str], None] = note
        # Tells others under the same limit what is granted here; returns what all use by now (None
        # where nobody shares it), and what is granted there.
        self.beside: Callable[[int], tuple[int | None, int]] | None = None
        self.wanted: int = 0
        self._meter, self._tell, self._make_room, self._clock = meter, tell, make_room, clock
        self._told, self._untold = float("-inf"), 0
        self.after_fork_in_child()

    def room(self) -> int:
        """Bytes that would be granted now; at least 0."""
        return self._room(self._meter.estimate())

    def try_take(self, size: int, reservation: Reservation | None = None) -> bool:
        """Reserve, if there is room. Cost: about 0.5 µs; 2 µs from 1 MiB on, by a fresh reading."""
        used = self._used(size)
        is_shared = size >= _READ_FROM and self.beside is not None
        with self._lock:
            if is_shared:
                self._fits_beside(used)
            if self._room(used) < size:
                return False
            self._meter.reserve(size, used)
            # Told first, then looked: two who ask at once see each other.
            if is_shared and not self._fits_beside(used):
                self._meter.release(size, used)
                self._fits_beside(used)
                return False
            if reservation is not None:
                reservation._is_held = True  # noqa: SLF001  # no signal parts them
            return True

    def take(self, size: int, timeout: float, reservation: Reservation | None = None) -> None:
        """Reserve, waiting for room so many seconds at most, or an OverBudgetError."""
        if self.try_take(size, reservation):
            return
        began = self._clock.now()
        may_wait = timeout > 0 and self.may_ever_fit(size) and self._make_room(size)
        while not self.try_take(size, reservation):
            left = began + timeout - self._clock.now()
            if left <= 0 or not may_wait:
                raise self.refusal(size, self._clock.now() - began)
            with self._lock:
                self.wanted = max(self.wanted, size)
                self._waiting += 1
                try:
                    self._stepped.wait(min(left, threading.TIMEOUT_MAX))
                finally:
                    self._waiting -= 1

    def may_ever_fit(self, size: int) -> bool:
        """Whether there would be room for it with nothing else in memory: else waiting is vain."""
        return size <= self._meter.door

    def want(self, size: int) -> bool:
        """Ask the loop to make room; for those who wait in their own way."""
        self.wanted = max(self.wanted, size)
        return self._make_room(size)

    def give_back(self, size: int) -> None:
        """End a reservation, and with it as much of the growth counted as come in."""
        used = self._used(size)
        with self._lock:
            self._meter.release(size, used)
            if size >= _READ_FROM:
                self._fits_beside(used)

    def shortfall(self) -> int:
        """Bytes missing for the largest request that waits; asking takes the wish."""
        wanted, self.wanted = self.wanted, 0
        return max(0, wanted - self.room()) if wanted else 0

    def look_again(self) -> None:
        """Wake those who wait, after a step."""
        if self._waiting:
            with self._lock:
                self._stepped.notify_all()

    def refusal(self, size: int, waited: float) -> OverBudgetError:
        """Tell the refusal, at most once a second, and return the error for the caller to raise."""
        now, room = self._clock.now(), self.room()
        self._untold += 1
        if now - self._told >= TOLD_EVERY:
            times, self._untold, self._told = self._untold, 0, now
            self._tell(AdmissionRefused(at=now, asked=size, room=room, waited=waited, times=times))
        why = f"{human_bytes(room)} is free"
        if self.is_shut:
            why = "requests are refused until the level is NORMAL"
        waiting = f" after {human_seconds(waited)}" if waited >= 0.001 else ""  # noqa: PLR2004  # a wait
        advice = "load less at a time, raise the limit, or wait longer with timeout="
        if not self.may_ever_fit(size):
            why = f"{human_bytes(int(self._meter.door))} is the most that is ever granted"
            advice = "load less at a time, or raise the limit"
        return OverBudgetError(f"no memory for {human_bytes(size)}: {why}{waiting}; {advice}")

    def before_fork(self, until: float) -> None:
        """Hold the lock while the process forks, if it can be had in time."""
        self._is_held = self._lock.acquire(timeout=max(0.0, until - self._clock.now()))

    def after_fork_in_parent(self) -> None:
        """Let the lock go."""
        if self._is_held:
            self._is_held = False
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Begin anew: the parent's reservations are not the child's."""
        self._lock = threading.RLock()
        self._acquire, self._release = self._lock.acquire, self._lock.release
        self._stepped = threading.Condition(self._lock)
        self._is_held = False
        self._waiting = self.wanted = 0
        self._meter.forget_reserved()

    def _used(self, size: int) -> int:
        """What is used now: a small request rides on the last figures, a big one reads again."""
        meter = self._meter
        return meter.estimate() if size >= _READ_FROM else meter.used + meter.claimed

    def _room(self, used: int) -> int:
        if self.is_shut:
            return 0
        door = self._meter.door
        if door == float("inf"):
            return 1 << 62
        granted = self._meter.outstanding(used) + self._meter.peers.reserved
        return max(0, int(door) - used - granted)

    def _fits_beside(self, used: int) -> bool:
        """Tell what is granted here; whether it fits beside what others use and were granted."""
        if self.beside is None:
            return True
        own, meter = self._meter.outstanding(used), self._meter
        of_all, granted = self.beside(own)
        meter.peers = meter.peers.replace(reserved=granted)
        return of_all is None or of_all + own + granted <= meter.door


if TYPE_CHECKING or core is None:  # noqa: SIM108  # checkers read no condition there
    _Native = object
else:
    _Native = core.Reservation  # Takes what is small, in C.


class Reservation(_Native):
    """A reservation of bytes at a door as a context manager, sync and async.

    Reserved on entry, waiting so many seconds for room at most, and ended on exit.
    """

    _admission: Admission
    _size: int
    _timeout: float
    _is_held: bool
    _was_asked: bool

    if not TYPE_CHECKING and core is not None:
        __slots__ = ("__weakref__",)
    else:
        __slots__ = ("__weakref__", "_admission", "_is_held", "_size", "_timeout", "_was_asked")

        def __init__(self, admission: Admission, size: int, timeout: float) -> None:
            self._admission, self._size, self._timeout = admission, size, timeout
            self._is_held = self._was_asked = False

        def __enter__(self) -> Self:
            self.acquire()
            return self

        def __exit__(self, *_error: object) -> None:
            self.release()

        def __del__(self) -> None:
            self._forgotten()

    def acquire(self) -> None:
        """Reserve, waiting for room; an OverBudgetError where there was none in time.

        A LeaseError where it is held already, or a running event loop would wait with this thread.
        """
        self._check_free()
        # What the program has not imported runs no loop on this thread.
        running = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)
        if self._timeout > 0 and running is not None and running() is not None:
            raise LeaseError(
                f"admit({human_bytes(self._size)}, timeout={self._timeout:g}) would hold up the "
                "event loop that runs on this thread: write `async with`, or leave timeout= out"
            )
        self._admission.take(self._size, self._timeout, self)

    def release(self) -> None:
        """End the reservation; a LeaseError where it is not held."""
        if not self._is_held:
            raise LeaseError("this reservation is not held: acquire() it first, release() it once")
        self._is_held = False
        self._admission.give_back(self._size)

    def _forgotten(self) -> None:
        """What is held still, or was never asked for, when it is collected."""
        if self._is_held:
            self._admission.give_back(self._size)
        elif not self._was_asked:
            frame = sys._getframe().f_back  # noqa: SLF001  # documented
            if core is None and frame is not None:
                frame = frame.f_back
            place = "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}: "
            self._admission.note(
                f"admit at {place}",
                f"{place}admit({human_bytes(self._size)}) was never entered and reserved nothing: "
                "write `with budget.admit(…):`, or `async with`, around the load",
            )

    async def __aenter__(self) -> Self:
        import asyncio  # only async programs get here, and they have it

        self._check_free()
        admission, clock = self._admission, asyncio.get_running_loop().time
        began = clock()
        while not admission.try_take(self._size, self):
            waited = clock() - began
            if waited >= self._timeout or not admission.may_ever_fit(self._size):
                raise admission.refusal(self._size, waited)
            admission.want(self._size)
            await asyncio.sleep(min(POLL, self._timeout - waited))
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.release()

    def _check_free(self) -> None:
        self._was_asked = True
        if self._is_held:
            raise LeaseError("this reservation is held already: make a second one with admit()")
