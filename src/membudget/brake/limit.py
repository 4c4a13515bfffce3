"""The limit itself: RLIMIT_DATA of this process, whose it is, and what it was before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from membudget.errors import ConfigError
from membudget.units import KIB, MIB

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

LAUNCH_DATA_LIMIT = "MEMBUDGET_LAUNCH_DATA_LIMIT"
"""Tells a launched Python the soft limit its launcher had: bytes in decimal, or "none"."""

STEP = 256 * KIB
"""How far the limit may lag behind when it could rise."""

_REMEMBERED = 256

_TEST = 64 * MIB
"""Bytes asked for beyond the limit, to see whether the kernel refuses them."""


class DataLimits(Protocol):
    """The soft and hard limits on private writable memory, of this process (0) or of another."""

    def get(self, pid: int = 0) -> tuple[int | None, int | None]:
        """Soft and hard, bytes; None is no limit."""

    def set(self, soft: int | None, hard: int | None, pid: int = 0) -> None:
        """Set both."""

    def binds(self, beyond: int) -> bool:
        """Whether this process is refused so many bytes at once."""


class KernelDataLimits:
    """RLIMIT_DATA by prlimit. Any thread may use it. Cost: 1 µs a call."""

    def __init__(self) -> None:
        import mmap  # nothing is imported once the loop runs
        import resource  # not on Windows

        self._map = mmap.mmap
        self._private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self._prlimit = resource.prlimit
        self._data = resource.RLIMIT_DATA
        self._none = resource.RLIM_INFINITY

    def get(self, pid: int = 0) -> tuple[int | None, int | None]:
        """Soft and hard, bytes; None is no limit."""
        soft, hard = self._prlimit(pid, self._data)
        return (None if soft == self._none else soft), (None if hard == self._none else hard)

    def set(self, soft: int | None, hard: int | None, pid: int = 0) -> None:
        """Set both.

        Raises:
            OSError: The process is gone, or another user's.
            ValueError: The soft limit is above the hard one.
        """
        limits = self._none if soft is None else soft, self._none if hard is None else hard
        self._prlimit(pid, self._data, limits)

    def binds(self, beyond: int) -> bool:
        """Whether this process is refused so many bytes at once; they are never touched.

        Not so before Linux 4.7, with `ignore_rlimit_data`, and in sandboxes that imitate Linux.
        """
        try:
            self._map(-1, beyond, flags=self._private).close()
        except OSError:
            return True
        return False


class OwnLimit:
    """The soft limit of this process, as long as we keep it. One thread at a time.

    Never set above the one that stood before, nor above the hard one.

    Args:
        limits: The limits of processes.

    Attributes:
        stands: What was set last, or None for no limit.
        before: What stood before, or what somebody else set meanwhile; None is no limit.
        recent: What was set of late, oldest first, each with its `before`: children may have been
            born under it, and who has read it may set it again.
    """

    def __init__(self, limits: DataLimits) -> None:
        self._limits = limits
        self.stands: int | None = None
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
        """See that the kernel keeps it, with so many bytes free below it.

        Raises:
            ConfigError: It does not.
        """
        if not self._limits.binds(free + _TEST):
            raise ConfigError(
                "this kernel does not hold all private memory against RLIMIT_DATA, so the brake "
                "would do nothing: leave it off here"
            )

    def set(self, soft: int | None) -> None:
        """Set it. Cost: 2 µs, 1 µs where it would hardly rise.

        Raises:
            OSError, ValueError: The kernel refuses.
        """
        now, hard = self._limits.get()
        if now != self.stands:
            # Somebody else set it meanwhile: from now on that is the program's own. One of ours is
            # not: who lowered it for a while puts back what was read, and means what stood before.
            self.before = now if now is None else self.recent.get(now, now)
        soft = least(least(soft, self.before), hard)
        if soft is not None and now is not None and now == self.stands and 0 < soft - now < STEP:
            return
        if soft is not None and soft != self.before:
            self._remember(soft)  # First: a child forked meanwhile must know whose it is.
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

    def original(self, soft: int) -> int | None:
        """What to judge this process by where `soft` stands: what stood before, if that is ours."""
        return self.recent.get(soft, soft)

    def _remember(self, soft: int) -> None:
        self.recent.pop(soft, None)
        self.recent[soft] = self.before
        if len(self.recent) > _REMEMBERED:
            del self.recent[next(iter(self.recent))]


def least(one: int | None, two: int | None) -> int | None:
    """The smaller of two limits, None being none."""
    if one is None or two is None:
        return two if one is None else one
    return min(one, two)


def note_launch_limit(environ: MutableMapping[str, str], limits: DataLimits | None = None) -> None:
    """Note the present soft limit for the Pythons that are launched from here."""
    soft, _hard = (limits or KernelDataLimits()).get()
    environ[LAUNCH_DATA_LIMIT] = "none" if soft is None else str(soft)


def restore_launch_limit(environ: Mapping[str, str], limits: DataLimits | None = None) -> None:
    """Give this process the soft limit of its launch back, if a brake of a parent lowered it.

    Never lowers, and never above the hard limit. Nothing happens where no launcher noted one.
    """
    noted = environ.get(LAUNCH_DATA_LIMIT, "")
    if noted != "none" and not noted.isdecimal():
        return
    limits = limits or KernelDataLimits()
    soft, hard = limits.get()
    wanted = least(None if noted == "none" else int(noted), hard)
    if soft is not None and (wanted is None or wanted > soft):
        limits.set(wanted, hard)
