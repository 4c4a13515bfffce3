"""The limit itself: RLIMIT_DATA of this process, whose it is, and what it was before."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from membudget.units import KIB

STEP = 256 * KIB
"""How far the limit may lag behind when it could rise."""

_REMEMBERED = 256


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
        recent: What was set of late, without `before`: children may have been born under it.
    """

    def __init__(self, limits: DataLimits) -> None:
        self._limits = limits
        self.before: int | None = None
        self.forget()

    def forget(self) -> None:
        """Begin anew in a forked child; what stood before the parent's is kept."""
        self.stands: int | None = None
        self.recent: deque[int] = deque(maxlen=_REMEMBERED)
        self._is_ours = False

    def begin(self) -> int | None:
        """Take note of what stands; returns how high it may be set."""
        soft, hard = self._limits.get()
        if not self._is_ours:
            self.before = soft
        return least(self.before, hard)

    def set(self, soft: int | None) -> None:
        """Set it. Cost: 2 µs, 1 µs where it would hardly rise.

        Raises:
            OSError, ValueError: The kernel refuses.
        """
        now, hard = self._limits.get()
        if self._is_ours and now != self.stands:
            # Somebody else set it meanwhile: from now on that is the program's own.
            self.before = now
        soft = least(least(soft, self.before), hard)
        if soft is not None and now is not None and now == self.stands and 0 < soft - now < STEP:
            return
        if soft != now:
            self._limits.set(soft, hard)
        self.stands, self._is_ours = soft, True
        if soft is not None and soft != self.before:
            self.recent.append(soft)

    def raise_to(self, soft: int) -> None:
        """Set it, unless it stands higher."""
        if self.stands is not None and soft > self.stands:
            self.set(soft)

    def give_back(self) -> None:
        """Set what stood before."""
        self.set(None)

    def original(self, soft: int) -> int | None:
        """What to judge this process by where `soft` stands: what stood before, if that is ours."""
        return self.before if soft in self.recent else soft


def least(one: int | None, two: int | None) -> int | None:
    """The smaller of two limits, None being none."""
    if one is None or two is None:
        return two if one is None else one
    return min(one, two)
