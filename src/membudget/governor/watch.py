"""The governor's thread: one daemon thread that steps at an interval adapted to the pressure."""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import sys
import time

from membudget.core import Late, Level, Severity
from membudget.core.native import Lock, NativeThread, RLock, poll
from membudget.governor.telling import FOREIGN
from membudget.ownership import close_own, identity, kept
from membudget.pressure import FORETOLD_LEAST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from membudget.core import Hint, Pressure
    from membudget.ownership import Identity

_LOOK_EVERY = 1.0  # Seconds between looks at our descriptors: each may wait for the GIL.


class Doorbell:
    """Something to wait at, that any thread may ring. One thread waits.

    Uses `poll` on a pipe and the hints' descriptors; where there is no poll, a lock, and then
    hints are left aside.
    """

    def __init__(self) -> None:
        self._quiet = Lock()
        self._quiet.acquire()
        self._lock = RLock()
        self.is_listening = False  # Set by whoever has all hints.
        self._hints: dict[int, Hint] = {}
        self._ends: tuple[int, ...] = ()
        self._identity: Identity = None
        self._poll: select.poll | None = None
        self._looked_at = time.monotonic()
        if poll is not None:
            self._ends = tuple(map(kept, os.pipe()))
            for end in self._ends:
                os.set_blocking(end, False)
            self._identity = identity(self._ends[0])
            self._poll = poll()
            self._poll.register(self._ends[0], select.POLLIN)

    def listen(self, hints: Sequence[Hint]) -> None:
        """Wait for these kernel wake-ups as well, from the waiting thread; closed with the bell."""
        for hint in hints:
            if self._poll is not None:
                self._hints[hint.fileno()] = hint
                self._poll.register(hint.fileno(), hint.events)
            else:
                hint.close()

    def is_whole(self) -> bool:
        """Whether its descriptor is still its own: a daemon closes every number it finds."""
        now = time.monotonic()
        if poll is None or now - self._looked_at < _LOOK_EVERY:
            return True
        self._looked_at = now
        return all(identity(end) == self._identity for end in self._ends)

    def ring(self) -> None:
        """Wake the waiting thread, now or at its next wait."""
        with contextlib.suppress(RuntimeError):  # It rings already.
            self._quiet.release()
        # Under the lock, since a number just closed may be somebody else's file by now.
        with self._lock, contextlib.suppress(OSError):
            if self._ends and identity(self._ends[1]) == self._identity:
                os.write(self._ends[1], b"!")

    def wait(self, timeout: float) -> list[str]:
        """Wait at most `timeout` seconds; returns the names of the hints that came."""
        if self._poll is None:
            self._quiet.acquire(timeout=timeout)
            return []
        came = []
        for fd, events in self._poll.poll(max(0, round(timeout * 1000))):
            if fd == self._ends[0]:
                self._hear(fd)
            elif (hint := self._hints.get(fd)) is not None:
                came.append(hint.name)
                self._clear(hint, events)
        self._quiet.acquire(blocking=False)
        return came

    def close(self, *, in_child: bool = False) -> None:
        """Give all descriptors back."""
        if in_child:
            self._lock = RLock()  # That of who was ringing is taken for ever.
        with self._lock:
            ends, self._ends, self._poll = self._ends, (), None
            for end in ends:
                close_own(end, self._identity)
        for hint in self._hints.values():
            with contextlib.suppress(OSError):
                hint.close()
        self._hints = {}

    def _hear(self, end: int) -> None:
        if identity(end) == self._identity:
            with contextlib.suppress(OSError):
                os.read(end, 4096)
        elif self._poll is not None:
            # The program closed the number and may use it: wait without it from now on.
            self._poll.unregister(end)
            self._looked_at = float("-inf")

    def _clear(self, hint: Hint, events: int) -> None:
        try:
            hint.clear()
            is_broken = bool(events & (select.POLLNVAL | select.POLLHUP))
        except OSError:
            is_broken = True
        # A broken hint is ready for ever: waiting on would turn into spinning.
        if is_broken and self._poll is not None:
            self._poll.unregister(hint.fileno())


AT_REST, QUICK, WARM, FAST = 1.0, 0.25, 0.1, 0.02
"""Seconds between steps below 60 % at rest and while the process computes, below 80 %, above."""

AT_EASE = 5.0  # Seconds between two looks of a governor that rests.
BUSY = 0.25  # Share of a processor from which a process computes: it may gain 200 MB in a second.
LATE, LATE_TOLD_EVERY = 0.25, 60.0  # Seconds of lateness worth telling, and until it is told again.
LONGEST_WAIT = 3600.0  # Seconds that poll can take in milliseconds, with room to spare.
LISTEN_AFTER = 1.0  # Seconds until the kernel is asked for wake-ups: that may take it 30 ms.
STOP_PATIENCE, EXIT_PATIENCE = 5.0, 0.5
"""Seconds that a step under way is waited for, and by the interpreter's end, which ends a thread by
pthread_exit: glibc loads a library for it, and aborts where address space is short."""

_GLANCE = 0.00002  # Seconds, which the system makes 70 µs of: what a thread takes to end.
THREADS_ARE_COUNTED = sys.version_info >= (3, 12)  # Then Python warns of them at a fork.


def interval_for(
    pressure: Pressure, pinned: float | None = None, *, is_busy: bool = False, quick: float = QUICK
) -> float:
    """Seconds until the next step: never more than half of the seconds left.

    Haste alone shortens one that is pinned; `quick` holds at rest while the process computes.
    """
    if pinned is not None:
        interval = pinned
    elif pressure.level > Level.NORMAL or pressure.fraction >= 0.8:  # noqa: PLR2004  # the design's bands
        interval = FAST
    else:
        at_rest = quick if is_busy else AT_REST
        interval = at_rest if pressure.fraction < 0.6 else WARM  # noqa: PLR2004
    left = pressure.seconds_left
    is_slow = left is None or left >= FORETOLD_LEAST
    if is_slow and pressure.limit is not None and pressure.growth > 0:
        # All growth counts here, governed or not: looking more often costs little.
        left = (pressure.limit - pressure.used) / pressure.growth
    return interval if left is None else max(FAST, min(interval, left / 2))


class Watch:
    """Runs a governor's steps on a thread of its own, and brings it to rest around forks."""

    def __init__(
        self, governor: Any, hints: Callable[[bool], Sequence[Hint]], interval: float | None
    ) -> None:
        self.late: int = 0
        self.latest: float = 0.0
        self._late_told = float("-inf")
        self._late_severity = Severity.DEBUG
        self._governor, self._make_hints = governor, hints
        self.interval = interval
        self.quick = QUICK  # Seconds between two steps at rest while the process computes.
        self._thread: NativeThread | None = None
        self._bell: Doorbell | None = None
        self._late_bell: Doorbell | None = None
        self._inherited: list[Doorbell] = []
        self._is_paused = self._is_rung = self._is_parked = False
        self.is_bell_stale: bool = False  # Whether to make all hints anew: one was lost.
        self._ends_at_exit = False
        self._missing: list[float] = []  # When a thread was sought in vain, where there is none.
        self._is_new = True  # No thread has begun yet in this process.
        self._stepped = self._spent = 0.0  # When the process stepped, and had computed till then.
        self._is_busy = True  # Whether it computed since; whatever begins computes.

    @property
    def is_running(self) -> bool:
        """Whether a thread of ours is at work."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def is_own_thread(self) -> bool:
        """Whether the caller is that thread."""
        return self._thread is not None and self._thread.is_current()

    def start(self, rest: float = 0.0) -> None:
        """Start the thread, where none runs; it rests at first, as long as no step is due."""
        if self.is_running or self._is_parked:
            return
        now = self._governor.clock.now()
        if self._is_new:
            self._stepped, self._spent, self._is_busy = now, time.process_time(), True
            self._is_new = False
        rest = max(0.0, min(rest, self._stepped + self._interval() - now))
        if not rest:
            self._own_bell()  # Nobody who rings at once is missed, and what fails is told.
        thread: NativeThread = NativeThread(lambda: self._run(thread), "membudget")
        self._thread = thread
        thread.start(rest)

    def begin(self) -> str:
        """Start the thread; where none can be had, what to tell of that, and `seek` tries again."""
        try:
            self.start()
        except (RuntimeError, OSError) as error:
            self._thread, self._missing = None, [self._governor.clock.now()]
            return (
                f"no thread can be started here ({error}): caches give way where they are filled, "
                "and the program may call budget.step(); it is tried again"
            )
        if not self._ends_at_exit:
            self._ends_at_exit = True
            atexit.register(self._end)
        return ""

    def seek(self) -> None:
        """Try again where no thread could be had, once a second at most. Cost: 0.1 µs."""
        if self._missing and self._governor.clock.now() - self._missing[-1] >= AT_REST:
            with contextlib.suppress(IndexError):  # Another thread was first.
                self._missing.pop()
                self.begin()

    def stop(self, patience: float = STOP_PATIENCE) -> None:
        """End the thread, waiting for the step under way, at most `patience` seconds."""
        self._ends_at_exit = False
        atexit.unregister(self._end)
        self._end(patience)
        bell, self._bell = self._bell, None
        if bell is not None:
            bell.close()

    def _end(self, patience: float = EXIT_PATIENCE) -> None:
        self._is_paused = False
        self._missing = []
        self._end_thread(patience)
        self._governor.tell_noted()  # A program may end before the next step.

    def park(self) -> None:
        """End the thread for good, but for the children: they start theirs."""
        self.stop()
        self._is_parked = True

    def _end_thread(self, patience: float) -> None:
        thread, self._thread = self._thread, None
        if self._bell is not None:
            self._bell.ring()
        if thread is not None and not thread.is_current():
            thread.dismiss()
            thread.join(max(0.0, patience))
            if thread.is_alive():
                # It closes its bell when it ends; the next thread waits at one of its own.
                self._late_bell, self._bell = self._bell, None

    def ring(self) -> None:
        """Ask for a step soon."""
        self.resume()
        self.nudge()

    def nudge(self) -> None:
        """Ask the thread that waits, if one does, for a step soon; starts none amid a fork."""
        if (bell := self._bell) is not None:
            bell.ring()
        elif (thread := self._thread) is not None:
            self._is_rung = True
            thread.rouse()

    def pause(self, until: float) -> None:
        """Come to rest before a fork, at the latest by `until`; the kernel's wake-ups stay."""
        self._is_paused = self._is_paused or self.is_running
        if (thread := self._thread) is not None and self.is_running:
            clock = self._governor.clock
            self._end_thread(until - clock.now())
            # `join` returns a moment before the kernel, too, has forgotten it.
            task = f"/proc/self/task/{thread.native_id}"
            while THREADS_ARE_COUNTED and not thread.is_alive() and clock.now() < until:
                if not os.path.exists(task):
                    break
                clock.sleep(_GLANCE)

    def resume(self, rest: float = FAST) -> None:
        """Go on after a fork; where no thread can be had, that is told and tried again later."""
        if self._is_paused:
            try:
                self.start(rest)
            except (RuntimeError, OSError) as error:
                self._governor.tell.failed("thread", error)
            else:
                self._is_paused = False

    def resume_in_child(self) -> None:
        """Go on in the child, with wake-ups of its own: those it inherited ring the parent's."""
        self._inherited += [bell for bell in (self._bell, self._late_bell) if bell is not None]
        self._bell, self._late_bell, self._is_new = None, None, True
        # A ring from another thread may have begun one anew since the pause.
        self._is_paused = self._is_paused or self._is_parked or self._thread is not None
        self._thread, self._is_parked = None, False
        self.resume(LONGEST_WAIT)

    def _own_bell(self) -> Doorbell:
        """What to wait at; what was inherited for it is given back."""
        while self._inherited:
            self._inherited.pop().close(in_child=True)
        if self._bell is None:
            self._bell = Doorbell()
        return self._bell

    def _listen(self, bell: Doorbell, *, is_early: bool) -> None:
        """Have the bell wait for the kernel's hints as well, which are extras."""
        try:
            bell.listen(self._make_hints(is_early))
        except FOREIGN as error:
            self._governor.tell.failed("hints", error)

    def _run(self, me: NativeThread) -> None:
        born = self._governor.clock.now()
        wait = self._stepped + self._interval() - born
        bell: Doorbell | None = None
        while self._thread is me:
            try:
                if bell is None:
                    bell = self._own_bell()
                    self._listen(bell, is_early=True)
                    if self._is_rung:
                        wait, self._is_rung = 0.0, False
                elif self.is_bell_stale or not bell.is_whole():
                    stale, bell, self.is_bell_stale = bell, Doorbell(), False
                    if self._bell is stale:
                        self._bell = bell
                    stale.close()
                    self._listen(bell, is_early=True)
                self._go_round(bell, me, wait)
                if not bell.is_listening and self._stepped - born >= LISTEN_AFTER:
                    self._listen(bell, is_early=False)
                    bell.is_listening = True
                wait = self._interval()
            except BaseException as error:  # noqa: BLE001  # the loop outlives everything
                # With memory short, telling it and even waiting may fail as well.
                try:
                    self._governor.tell.failed("step", error)
                    self._governor.clock.sleep(FAST)
                except BaseException:  # noqa: BLE001, S110  # suppress() would need memory itself
                    pass
        if bell is not None and self._bell is not bell:
            bell.close()

    def _interval(self) -> float:
        if self._governor.is_resting:
            return max(AT_EASE, self.interval or 0.0)
        return interval_for(
            self._governor.pressure, self.interval, is_busy=self._is_busy, quick=self.quick
        )

    def _go_round(self, bell: Doorbell, me: NativeThread, wait: float) -> None:
        """Wait and step once."""
        governor, clock = self._governor, self._governor.clock
        # From step to step: a step that takes long watches as little as one that comes late.
        due = self._stepped + self._interval()
        bell.wait(max(0.0, min(wait, LONGEST_WAIT)))
        # However often somebody rings, other threads get their time.
        if (early := self._stepped + FAST - clock.now()) > 0 and self._thread is me:
            me.rest(early)
        if self._thread is not me:
            return
        now, spent, before = clock.now(), time.process_time(), governor.pressure
        self._is_busy = spent - self._spent > BUSY * (now - self._stepped)
        self._stepped, self._spent = now, spent
        governor.step()
        self._note_lateness(now - due, before)

    def _note_lateness(self, by: float, before: Pressure) -> None:
        """Tell that a step came late, once it has shown what went unseen meanwhile."""
        if by < LATE or self._governor.is_resting:
            return
        self.late += 1
        self.latest = by
        now, pressure = self._governor.clock.now(), self._governor.pressure
        was_needed = pressure.excess > 0 or before.excess > 0
        event = Late(at=now, by=by, times=self.late, was_needed=was_needed)
        if event.severity > self._late_severity or now - self._late_told >= LATE_TOLD_EVERY:
            self._late_told, self._late_severity = now, event.severity
            self._governor.tell(event)
