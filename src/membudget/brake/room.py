"""How much a process may still map: the figures behind the brake's one number.

What is mapped and not touched (the slack) can be used without asking, so it is taken off; but for
the far ends of thread stacks, what libraries set aside as they load (OpenBLAS: 66 MiB), and what
allocators gave back: it is room for what they hand out next.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

from membudget.core import OWN
from membudget.probes.allocator import glibc_version
from membudget.probes.kernel_files import status_bytes
from membudget.units import KIB, MIB

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.core import Reading

_MARGIN, _MARGIN_SHARE = 8 * MIB, 0.03  # The larger is left for what is charged unmapped.
_RESERVE, _RESERVE_SHARE = 8 * MIB, 1 / 16  # The smaller is left for those who handle the error.
NEVER_TOUCHED_SHARE = 0.25  # Of the limit, that may be taken as mapped and never to be touched.

_STACK, _STACK_UNLIMITED = 8 * MIB, 2 * MIB
"""A thread's stack where it is not known, and what glibc gives where RLIMIT_STACK has no end."""

_STACKS_KEPT = 40 * MIB  # Of ended threads, that glibc keeps for new ones (nptl's stack cache).
_TOUCHED = 128 * KIB  # What a thread is taken to touch of its stack.

_LIBRARY, _LOADING = 4 * MIB, 1.0
"""Code mapped anew that makes a large library, and seconds until it has set aside all."""


def margin_of(limit: int) -> int:
    """Bytes kept free below a limit for what is charged without being mapped."""
    return max(_MARGIN, int(limit * _MARGIN_SHARE))


def reserve_of(limit: int) -> int:
    """Bytes held back below a limit for those who handle the error."""
    return min(_RESERVE, int(limit * _RESERVE_SHARE))


class Room:
    """What of a reading may still be mapped, after margin and slack; all figures are bytes.

    What is never touched is a bounded baseline that only libraries raise. `given_back` tells what
    allocators gave back so far, `code` what library code is mapped, `modules` when to look.
    """

    def __init__(
        self,
        stacks: Stacks,
        given_back: Callable[[], int] = int,
        code: Callable[[], int] = lambda: status_bytes(b"VmLib"),
        modules: Callable[[], int] = sys.modules.__len__,
    ) -> None:
        self.slack: int = 0
        self.never_touched: int = 0
        self.stacks = stacks
        self._given_back = given_back
        self._code = code
        self._modules = modules
        self._loaded: tuple[int, int] | None = None
        self._loading_until = float("-inf")
        self._before = self._vacant = self._seen = 0
        self._last: tuple[int, int, int] | None = None

    def begin(self, reading: Reading, limit: int) -> int:
        """Take what is untouched now as never to be touched; returns what may be mapped."""
        self._are_loading(reading.at)
        self._last = None
        self._before = untouched = self._untouched(reading)
        self._seen = self._given_back()
        self._vacant = min(untouched, self._seen)
        self.never_touched = min(untouched - self._vacant, int(limit * NEVER_TOUCHED_SHARE))
        return self._allowed(reading, limit, untouched)

    def allowed(self, reading: Reading, limit: int) -> int:
        """What may still be mapped, a reserve included; negative beyond the margin."""
        untouched = self._untouched(reading)
        grown, given = max(0, untouched - self._before), self._given_back()
        # Some of it is unmapped instead.
        vacated = min(grown, given - self._seen)
        self._seen, self._vacant = given, self._vacant + vacated
        if self._are_loading(reading.at):
            self.never_touched += grown - vacated
        # Two readings: one alone may fall between a new thread and its stack.
        there = max(untouched, self._before)
        self.never_touched = min(self.never_touched, there, int(limit * NEVER_TOUCHED_SHARE))
        self._vacant = min(self._vacant, there - self.never_touched)
        self._before = untouched
        return self._allowed(reading, limit, untouched)

    def _are_loading(self, at: float) -> bool:
        """Whether a library was loaded within the last second. Cost: 0.2 µs, 20 µs amid imports."""
        modules, seen = self._modules(), self._loaded
        if seen is None or modules != seen[0]:  # Only then the code is looked at.
            code = self._code()
            if seen is not None and code - seen[1] >= _LIBRARY:
                self._loading_until = at + _LOADING
            self._loaded = modules, code
        return at <= self._loading_until

    def _untouched(self, reading: Reading) -> int:
        parts = reading.parts
        touched = parts["anon"] + parts.get("swap", 0)
        return max(0, parts["data"] - touched - self.stacks.untouched())

    def _allowed(self, reading: Reading, limit: int, untouched: int) -> int:
        self.slack = max(0, untouched - self.never_touched - self._vacant)
        own = reading.parts.get(OWN, 0)
        if self._last is None or self._last[:2] != (reading.used, limit):
            self._last = reading.used, limit, own
        # A slow source tells its last reading again while the process grows.
        grown = max(0, own - self._last[2])
        return limit - reading.used - grown - margin_of(limit) - self.slack


def _count_threads() -> int:
    return os.stat("/proc/self/task").st_nlink - 2


class Stacks:
    """The thread stacks of this process: how many, and how much of them nobody touched."""

    def __init__(self, size: int | None = None, count: Callable[[], int] = _count_threads) -> None:
        self._count = count
        self._size = size or 0
        self._spare = size or _STACK
        self._kept = _STACKS_KEPT // (self._size + 4 * KIB)
        self._mapped = self._expected = 0

    def untouched(self) -> int:
        """Bytes of stacks that are mapped and not touched. Cost: 4 µs. Once a tick."""
        others = self._count() - 1
        seen = max(self._mapped, self._expected)
        self._mapped = max(others, min(seen, others + self._kept))
        self._expected = 0
        # Python's threads may have another size than a library's: the smaller one is safe.
        size = min(self._size, threading.stack_size() or self._size)
        return self._mapped * max(0, size - _TOUCHED)

    def for_one_more(self) -> int:
        """Bytes that stacks need beyond those of the last tick if one more thread starts."""
        others = self._count() - 1
        self._expected = max(self._expected, others + 1)
        # One more than that, for a thread that is just being started elsewhere.
        return max(0, others + 2 - self._mapped) * self.size_of_next()

    def size_of_next(self) -> int:
        """Bytes of the next Python thread's stack."""
        return threading.stack_size() or self._spare


def default_stack_size() -> int | None:
    """A thread's stack where nobody asks for another: glibc's soft RLIMIT_STACK, else None."""
    import resource  # Linux only, where this is called

    if glibc_version() is None:
        return None
    soft, _hard = resource.getrlimit(resource.RLIMIT_STACK)
    return _STACK_UNLIMITED if soft == resource.RLIM_INFINITY else soft
