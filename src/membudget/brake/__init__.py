"""The limit that the brake keeps, RLIMIT_DATA: whose it is, what it was before, who inherits it.

A child must not be bound by it: most are caught by hooks and audit events at their birth, the
others (multiprocessing's spawn and forkserver) once a second among the children.
"""

from __future__ import annotations

import contextlib
import time

from membudget.core import Record
from membudget.errors import ConfigError
from membudget.probes.kernel_files import children_of
from membudget.units import KIB, MIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, MutableMapping

LAUNCH_DATA_LIMIT = "MEMBUDGET_LAUNCH_DATA_LIMIT"
"""Tells a launched Python its launcher's soft limit: bytes in decimal, or "none"."""

STEP = 256 * KIB  # How far the limit may lag behind when it could rise.
_REMEMBERED = 256
_TEST = 64 * MIB  # Bytes asked for beyond the limit, to see whether the kernel refuses them.

_LOOK_EVERY, _LOOK_SHARE = 1.0, 0.001
"""Seconds between two looks at the children, and a share of the time."""


class BrakeState(Record):
    """The brake's figures (bytes and monotonic seconds)."""

    is_armed: bool  # Whether a limit is kept.
    limit: int | None  # The soft limit that stands, or None.
    room: int  # What may still be mapped, as of the last tick.
    never_touched: int  # Mapped and left out of the slack, without thread stacks.
    hits: int  # How often memory was refused, as far as that is seen.
    last_hit: float | None  # When, or None.
    is_reserve_released: bool  # Whether the reserve has been let go.


class DataLimits:
    """RLIMIT_DATA of this process (0) or another; None is no limit. Any thread; 1 µs a call."""

    def __init__(self) -> None:
        import mmap  # nothing is imported once the loop runs
        import resource  # not on Windows

        self._map = mmap.mmap
        self._private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self._prlimit = resource.prlimit
        self._data = resource.RLIMIT_DATA
        self._none = resource.RLIM_INFINITY

    def get(self, pid: int = 0) -> tuple[int | None, int | None]:
        """Soft and hard, bytes."""
        soft, hard = self._prlimit(pid, self._data)
        return (None if soft == self._none else soft), (None if hard == self._none else hard)

    def set(self, soft: int | None, hard: int | None, pid: int = 0) -> None:
        """Set both."""
        limits = self._none if soft is None else soft, self._none if hard is None else hard
        self._prlimit(pid, self._data, limits)

    def binds(self, beyond: int) -> bool:
        """Whether so many bytes are refused: not before Linux 4.7, nor in imitations of it."""
        try:
            self._map(-1, beyond, flags=self._private).close()
        except OSError:
            return True
        return False


class OwnLimit:
    """The soft limit of this process while we keep it: never above what stood, nor the hard one.

    One thread at a time. `before` is what stood, or what somebody else set meanwhile; `recent` what
    was set of late, with its `before`: children may have been born under it.
    """

    def __init__(self, limits: DataLimits) -> None:
        self._limits = limits
        self.stands: int | None = None  # What was set last, or None for no limit.
        self.before: int | None = None
        self.recent: dict[int, int | None] = {}
        self._is_ours = False

    def begin(self) -> int | None:
        """Take note of what stands, unless that is ours; returns how high it may be set."""
        soft, hard = self._limits.get()
        if not self._is_ours:
            self.stands = self.before = soft
            self.recent.clear()
            self._is_ours = True
        return least(self.before, hard)

    def check(self, free: int) -> None:
        """See that the kernel keeps it, with so many bytes free below it."""
        if not self._limits.binds(free + _TEST):
            raise ConfigError(
                "this kernel does not hold all private memory against RLIMIT_DATA, so the brake "
                "would do nothing: leave it off here"
            )

    def set(self, soft: int | None) -> None:
        """Set it. Cost: 2 µs, 1 µs where it would hardly rise."""
        now, hard = self._limits.get()
        if now != self.stands:
            # Somebody else set it meanwhile: from now on that is the program's own. One of ours is
            # not: who lowered it for a while puts back what was read, and means what stood before.
            self.before = now if now is None else self.recent.get(now, now)
        soft = least(least(soft, self.before), hard)
        if soft is not None and now is not None and now == self.stands and 0 < soft - now < STEP:
            return
        if soft is not None and soft != self.before:
            # First: a child forked meanwhile must know whose it is.
            self.recent.pop(soft, None)
            self.recent[soft] = self.before
            if len(self.recent) > _REMEMBERED:
                del self.recent[next(iter(self.recent))]
        if soft != now:
            self._limits.set(soft, hard)
        self.stands = soft

    def raise_to(self, soft: int) -> None:
        """Set it, unless it stands higher."""
        if self.stands is not None and soft > self.stands:
            self.set(soft)

    def give_back(self) -> None:
        """Set what stood before; nothing happens before `begin`."""
        if self._is_ours:
            self.set(None)

    def end(self) -> None:
        """Give back and keep it no longer."""
        try:
            self.give_back()
        finally:
            self._is_ours = False


class Children:
    """Gives children that were born with a limit of ours the old one."""

    def __init__(
        self, limits: DataLimits, proc: str = "/proc", now: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits
        self._proc = proc
        self._now = now
        self._known: frozenset[int] = frozenset()
        self._due = float("-inf")

    def look(self, ours: Collection[int], old: int | None) -> None:
        """Give new children under one of ours the old limit, if due. Cost: 10 µs a thread."""
        began = self._now()
        if began < self._due:
            return
        children = frozenset(children_of("self", self._proc))
        for pid in children - self._known:
            self._release(pid, ours, old)
        self._known = children
        now = self._now()
        self._due = now + max(_LOOK_EVERY, (now - began) / _LOOK_SHARE)

    def _release(self, pid: int, ours: Collection[int], old: int | None) -> None:
        # It may have ended, or belong to another user: then it is not ours to help.
        with contextlib.suppress(OSError, ValueError):
            soft, hard = self._limits.get(pid)
            if soft is not None and soft in ours:
                self._limits.set(least(old, hard), hard, pid)
                for grandchild in children_of(pid, self._proc):
                    self._release(grandchild, ours, old)


def least(one: int | None, two: int | None) -> int | None:
    """The smaller of two limits, None being none."""
    if one is None or two is None:
        return two if one is None else one
    return min(one, two)


def note_launch_limit(environ: MutableMapping[str, str], limits: DataLimits | None = None) -> None:
    """Note the present soft limit for the Pythons that are launched from here."""
    soft, _hard = (limits or DataLimits()).get()
    environ[LAUNCH_DATA_LIMIT] = "none" if soft is None else str(soft)


def restore_launch_limit(environ: Mapping[str, str], limits: DataLimits | None = None) -> None:
    """Give this process the soft limit of its launch back, if a brake of a parent lowered it.

    Never lowers, and never above the hard limit. Nothing happens where no launcher noted one.
    """
    noted = environ.get(LAUNCH_DATA_LIMIT, "")
    if noted != "none" and not noted.isdecimal():
        return
    limits = limits or DataLimits()
    soft, hard = limits.get()
    wanted = least(None if noted == "none" else int(noted), hard)
    if soft is not None and (wanted is None or wanted > soft):
        limits.set(wanted, hard)
