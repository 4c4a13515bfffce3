"""Garbage collection as a reclaimer and as a chore, and beside forked workers.

A full one holds the GIL for 85 to 170 ms per million tracked containers: it keeps to a share of the
time, comes late on the ladder, and pauses longer and longer where it frees nothing of note. It also
writes to each object's header, and so copies pages shared since a fork: four workers of 194 MiB
held 240 after one each. So a child freezes what it inherits (8 µs), until it shares little any
more, and a parent does not collect in full while children live, unless it has grown much.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
import time

from membudget.core import Reclaimed, Rung, SystemClock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from membudget.core import Clock, Event, Reclaimer

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_THREAD = getattr(resource, "RUSAGE_THREAD", None)
"""Linux only: what all threads fault for says nothing of a collection."""

FULL, YOUNG = 2, 1
YOUNG_EVERY = 5.0  # Seconds between two young collections under pressure.
LOOK_EVERY = 1.0  # Seconds between two looks at the process: its size, its parent, its garbage.
SHORT = 0.05  # Seconds that a process may be stopped for while it is well.
REFUSED_FOR = 60.0  # Seconds before it is asked again whether a process may be stopped.
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 3600.0  # Seconds' rest of one that freed nothing.
WORTH = 16 << 20  # Bytes that a collection has to free for each second that it takes.

_RISE, _FEW_BLOCKS = 1.25, 10_000
"""From so many times the live blocks, and so many more, there may be garbage anew: the
interpreter's own full collections wait for a quarter as well."""

_DROP = 16 << 20  # Bytes let go by holders that may have left garbage behind.
BLOCK = 64  # Bytes taken for one freed block in a claim: pymalloc's blocks hold 16 to 512.
_SECONDS_A_BLOCK = 100e-9  # Until one was seen, if each is a container; in most heaps a third is.
_MARGIN = 1.5  # Times what was seen.
INTERPRETERS = 1000  # Fewer frozen objects are the interpreter's: Python 3.12 starts with 375.
_ASK_SHARE = 0.01  # Of the time, that asking the kernel what others share may take.
_LITTLE = 1 / 4  # Share of what was inherited: with less in common, garbage is not kept.
_GROWN = 1.5  # Times what a parent held at its last fork: more may be freed than is copied.


def is_on() -> bool:
    """Whether the program lets the interpreter collect by itself."""
    return gc.isenabled() and gc.get_threshold()[0] > 0


class Collect:
    """A garbage collection of one generation, as a reclaimer and as a chore that is never due.

    `own` reads the bytes of the process, `held` those of holders, whose fall may have left garbage.
    One thread, but for `learn`.
    """

    paces_itself = comes_early = True

    def __init__(
        self,
        generation: int = FULL,
        *,
        rung: Rung = Rung.AGGRESSIVE,
        time_share: float | None = None,
        cooldown: float = 0.0,
        own: Callable[[], int] = int,
        held: Callable[[], int] = int,
        would_copy: Callable[[], bool] = bool,
        clock: Clock | None = None,
    ) -> None:
        self.name = "full gc" if generation == FULL else "young gc"
        self.rung = rung
        self.objects: int | None = None
        self._generation = generation
        self._time_share = time_share
        self._cooldown = cooldown
        self._own = own
        self._holders = held
        self._would_copy = would_copy
        self._clock = clock or SystemClock()
        self._not_before = self._idle_until = self._look_at = float("-inf")
        self._pause = FIRST_PAUSE
        self._blocks = self._held = 0
        self._seconds_a_block = _SECONDS_A_BLOCK

    def reclaimable(self) -> int | None:
        """0 while it keeps to its share of the time, pauses, or would copy more than it may free.

        With the interpreter's collections off, all there is may be young: then only a full one.
        """
        now = self._clock.now()
        if now < self._not_before or (now < self._idle_until and not self._may_find_more(now)):
            return 0
        if self._generation != FULL:
            return None if is_on() and self.expected() <= SHORT else 0
        return 0 if self._would_copy() else None

    def _may_find_more(self, now: float) -> bool:
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_EVERY
        held, before = self._holders(), self._held
        self._held = max(held, before)
        has_risen = sys.getallocatedblocks() > self._blocks * _RISE + _FEW_BLOCKS
        return has_risen or held + _DROP <= before

    def reclaim(self, target: int, until: float) -> int:  # noqa: ARG002  # a collection cannot be cut short
        """Collect, and claim what the process shrank by, less the pages that had to be copied."""
        began, spent, faults = self._clock.now(), time.thread_time(), _faulted()
        size, before = self._own(), sys.getallocatedblocks()
        self.objects = gc.collect(self._generation)
        after = sys.getallocatedblocks()
        took, ended = time.thread_time() - spent, self._clock.now()
        # Blocks that fell without a single object freed were free lists.
        freed = max((before - after) * BLOCK, size - self._own()) if self.objects else 0
        claimed = max(0, freed - (_faulted() - faults))
        if self._generation == FULL:
            self.learn(took, before)
        rest = (ended - began) * (1 / self._time_share - 1) if self._time_share else 0.0
        self._not_before = ended + max(rest, self._cooldown)
        self._blocks, self._held = after, self._holders()
        if claimed and claimed >= WORTH * took:
            self._pause, self._idle_until = FIRST_PAUSE, ended
        else:
            self._idle_until = ended + self._pause
            self._pause = min(LONGEST_PAUSE, 2 * self._pause)
        return claimed

    def forgive(self) -> None:
        """End a pause for want of garbage: somebody asks by hand, or it is the last resort."""
        self._idle_until = float("-inf")

    def expected(self) -> float:
        """Seconds that it would stop the process for. Cost: 0.06 ms a million live blocks."""
        if self._generation != FULL:
            made, collected = gc.get_count()[:2]
            return (made + collected * gc.get_threshold()[0]) * _SECONDS_A_BLOCK
        return sys.getallocatedblocks() * self._seconds_a_block

    def learn(self, took: float, blocks: int) -> None:
        """Take note of a full collection: seconds of its thread, and live blocks before it."""
        self._seconds_a_block = _MARGIN * took / max(1, blocks)

    def due(self, now: float) -> bool:  # noqa: ARG002  # see the class
        """Never: without pressure the interpreter's own collections do."""
        return False

    def run(self, until: float) -> int:
        """Collect, if that is not to be left alone."""
        return 0 if self.reclaimable() == 0 else self.reclaim(1, until)


class Throttled:
    """The same reclaimer, asked at most once in so many seconds, or at another rung.

    With a `lock` only while that is had: one process at a time, of those that share a limit.
    """

    def __init__(
        self,
        inner: Reclaimer,
        every: float = 0.0,
        *,
        rung: Rung | None = None,
        lock: Callable[[], AbstractContextManager[bool]] = lambda: contextlib.nullcontext(True),
        clock: Clock | None = None,
    ) -> None:
        self.name: str = inner.name
        self._lock = lock
        self.rung: Rung = inner.rung if rung is None else rung
        self.paces_itself: bool = getattr(inner, "paces_itself", False)
        self.forgive: Callable[[], object] = getattr(inner, "forgive", bool)
        self._inner = inner
        self._every = every
        self._clock = clock or SystemClock()
        self._not_before = float("-inf")

    @property
    def objects(self) -> int | None:
        """How many objects the inner one freed last, where it counts them."""
        return getattr(self._inner, "objects", None)

    def reclaimable(self) -> int | None:
        """What the inner one could let go; 0 within the interval, or while another has the lock."""
        count = 0 if self._clock.now() < self._not_before else self._inner.reclaimable()
        if count == 0:
            return 0
        with self._lock() as is_ours:
            return count if is_ours else 0

    def reclaim(self, target: int, until: float) -> int:
        """Ask the inner one and start the interval, also where it fails."""
        with self._lock() as is_ours:
            try:
                return self._inner.reclaim(target, until) if is_ours else 0
            finally:
                self._not_before = self._clock.now() + self._every


class CollectAbove:
    """The chore of collecting in full while the process is above so many bytes, and `may_stop`."""

    name = "gc above"

    def __init__(
        self,
        above: int,
        own: Callable[[], int],
        tell: Callable[[Event], None],
        collect: Reclaimer,
        may_stop: Callable[[], bool] = lambda: True,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._above = above
        self._own = own
        self._tell = tell
        self._collect = collect
        self._may_stop = may_stop
        self._clock = clock or SystemClock()
        self._look_at = float("-inf")

    def due(self, now: float) -> bool:
        """Whether the process is above its mark and a collection in its place."""
        # Once a second: a reading costs more than all else that a tick asks of chores.
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_EVERY
        if self._own() < self._above or self._collect.reclaimable() == 0:
            return False
        if self._may_stop():
            return True
        self._look_at = now + REFUSED_FOR
        return False

    def run(self, until: float) -> int:
        """Collect in full and tell what came of it."""
        began, before = self._clock.now(), self._own()
        claimed = self._collect.reclaim(1, until)
        after = self._own()
        self._tell(
            Reclaimed(
                at=self._clock.now(),
                by=self.name,
                rung=None,
                asked=max(0, before - self._above),
                claimed=claimed,
                measured=before - after,
                took=self._clock.now() - began,
                objects=getattr(self._collect, "objects", None),
            )
        )
        return claimed


def _faulted() -> int:
    """Bytes of pages that the kernel had to bring or copy for this thread so far. Cost: 0.7 µs."""
    if _THREAD is None:
        return 0
    used = resource.getrusage(_THREAD)
    return (used.ru_minflt + used.ru_majflt) * resource.getpagesize()


class SharedPages:
    """Freezes what a child inherits, and undoes it where that is of no use, or as the child ends.

    A program that freezes objects itself is left alone. `own` and `shared` read the bytes of the
    process, and those that others have as well (None: not known).
    """

    name = "shared pages"

    def __init__(
        self, own: Callable[[], int], shared: Callable[[], int | None] = lambda: None
    ) -> None:
        self.is_frozen: bool = False
        self._own = own
        self._shared = shared
        self._pid, self._parent = os.getpid(), 0
        self._inherited = 0
        self._has_forked = self._is_following = False
        self._ask_at = float("-inf")

    def is_frozen_by_program(self) -> bool:
        """Whether the program has frozen objects itself. Cost: 13 ns for each."""
        return not self.is_frozen and gc.get_freeze_count() >= INTERPRETERS

    def would_be_copied(self) -> bool:
        """Whether a full collection would copy more than it may free. Cost: 3 µs, if it forked."""
        self._has_forked = self._has_forked and has_children()
        return self._has_forked and self._own() < _GROWN * self._inherited

    def thaw(self) -> None:
        """Have collections look at what was inherited again; nothing happens where they do."""
        self._unfreeze()
        if self._is_following:
            self._is_following = False
            atexit.unregister(self.thaw)
            while self._before_collection in gc.callbacks:
                gc.callbacks.remove(self._before_collection)

    def _unfreeze(self) -> None:
        if self.is_frozen:
            self.is_frozen = False
            gc.unfreeze()

    def _before_collection(self, phase: str, info: dict[str, int]) -> None:
        """A full collection begins, on any thread: it is to find what only this process holds."""
        # We stay in the list of callbacks, which the interpreter goes through at this moment.
        if phase == "start" and info["generation"] == FULL and self.is_frozen:
            with contextlib.suppress(Exception):  # What fails here the interpreter would print.
                if self._shares_little():
                    self._unfreeze()

    def _shares_little(self) -> bool:
        """Whether next to nothing would be copied; where that is not known, the parent is gone."""
        began = time.monotonic()
        if began < self._ask_at:
            return False
        shared = self._shared()
        self._ask_at = began + (time.monotonic() - began) / _ASK_SHARE
        if shared is None:
            return os.getppid() != self._parent
        return shared < _LITTLE * self._inherited

    def before_fork(self, until: float) -> None:  # noqa: ARG002  # nothing has to rest
        """Note how much the child will inherit."""
        self._inherited = self._own()

    def after_fork_in_parent(self) -> None:
        """All is shared from now on."""
        self._has_forked = True

    def after_fork_in_child(self) -> None:
        """Freeze."""
        self._parent, self._pid = self._pid, os.getpid()
        self._has_forked = False
        if self.is_frozen_by_program():
            return
        self.is_frozen = True
        self._ask_at = float("-inf")
        if not self._is_following:
            self._is_following = True
            # What ends in good order expects its last collection to find everything.
            atexit.register(self.thaw)
            gc.callbacks.append(self._before_collection)
        gc.freeze()


def has_children() -> bool:
    """Whether any child of this process lives, or waits to be waited for; none is waited for."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
