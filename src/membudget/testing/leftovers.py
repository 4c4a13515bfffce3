"""What a round of calls leaves behind: live blocks and malloc in use, and what holds little memory.

For asyncio tasks, threads, descriptors and child processes there are looks of their own, as in
Uber's goleak and in pyleak: a thread that waits for ever holds little memory, a descriptor none.
All is written down in storage that was there before.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import time
from array import array
from typing import TYPE_CHECKING, Any

from membudget.probes.allocator import in_use, mallinfo
from membudget.probes.kernel_files import children_of, read_whole
from membudget.testing.result import Left, Series

if TYPE_CHECKING:
    from collections.abc import Callable

TASKS, THREADS = "tasks", "threads"
DESCRIPTORS, CHILDREN = "file descriptors", "child processes"

PATIENCE = 1.0
"""Seconds that threads which are about to end are given for it."""

_ROUNDS = 2
"""Rounds in which more have to appear."""

_SHOWN = 5

SLOW = 0.05
"""Seconds that asking malloc may take; where it walks a fragmented heap for longer, it is left."""


def has_loop() -> bool:
    """Whether asyncio runs a loop in this thread. Loads nothing."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def tasks() -> dict[int, Any]:
    """The tasks of the running loop that are not done; none without a running loop."""
    if not has_loop():
        return {}
    asyncio = sys.modules["asyncio"]
    current = asyncio.current_task()
    return {id(one): one for one in asyncio.all_tasks() if one is not current}


def threads() -> dict[int, Any]:
    """The threads that `threading` knows and that run."""
    return {id(one): one for one in threading.enumerate()}


def descriptors() -> dict[int, Any]:
    """Open descriptors by number; none where the system does not list them (Windows)."""
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    found: dict[int, Any] = {}
    try:
        names = os.listdir(folder)
    except OSError:
        return found
    for name in names:
        try:
            os.fstat(int(name))  # The listing's own is closed by now.
        except OSError:
            continue
        found[int(name)] = f"{folder}/{name}"
    return found


def children() -> dict[int, Any]:
    """Child processes by pid, those that ended and were not waited for included; Linux only."""
    with contextlib.suppress(OSError):  # Another system.
        return {pid: pid for pid in children_of("self")}
    return {}


LOOKS: dict[str, Callable[[], dict[int, Any]]] = {
    TASKS: tasks,
    THREADS: threads,
    DESCRIPTORS: descriptors,
    CHILDREN: children,
}


class Leftovers:
    """Counts them before and after each round, in storage that was there before.

    One that appears once is no leak: a pool's thread or a log file is opened when first needed. So
    more are due in two rounds at least. Cost: 0.1 to 1 ms a look.
    """

    def __init__(self) -> None:
        self._before = {kind: set(look()) for kind, look in LOOKS.items()}
        self._first = array("q", map(len, self._before.values()))
        self._last = array("q", self._first)
        self._steps = array("q", [0] * len(self._first))

    def look(self) -> None:
        """Count after a round."""
        for at, look in enumerate(LOOKS.values()):
            count = len(look())
            self._steps[at] += count > self._last[at]
            self._last[at] = count

    def more(self) -> int:
        """How many more there are now of the kind that grew most."""
        return max(len(look()) - self._first[at] for at, look in enumerate(LOOKS.values()))

    def each(self, calls: int) -> float:
        """How many a call left behind, where all of so many calls seem to."""
        more = self.more()
        return more / calls if more > calls / 10 else 0.0

    def have_grown(self) -> bool:
        """Whether any kind may still turn out to be a leak."""
        return any(last > first for first, last in zip(self._first, self._last, strict=True))

    def found(self, patience: float = PATIENCE) -> tuple[Left, ...]:
        """What was left, after some seconds' patience with threads and children about to end."""
        until = time.monotonic() + patience
        while (left := self._found()) and time.monotonic() < until:
            if not {one.kind for one in left} & {THREADS, CHILDREN}:
                break
            time.sleep(0.01)
        return left

    def _found(self) -> tuple[Left, ...]:
        left = []
        for at, (kind, look) in enumerate(LOOKS.items()):
            if self._steps[at] < _ROUNDS or self._last[at] <= self._first[at]:
                continue
            now = look()
            more = len(now) - self._first[at]
            if more > 0:
                new = [one for key, one in now.items() if key not in self._before[kind]]
                names = tuple(_name(kind, one) for one in new[:_SHOWN])
                left.append(Left(kind=kind, count=more, names=names))
        return tuple(left)


def _name(kind: str, one: Any) -> str:
    """What tells one from others."""
    if kind == TASKS:
        coroutine = one.get_coro()
        return f"{one.get_name()} ({getattr(coroutine, '__qualname__', coroutine)})"
    if kind == THREADS:
        target = getattr(one, "_target", None)
        told = f" ({getattr(target, '__qualname__', target)})" if target is not None else ""
        return f"{one.name}{told}"
    try:
        if kind == DESCRIPTORS:
            return os.readlink(str(one))
        told = (read_whole(f"/proc/{one}/comm") or b"").decode(errors="replace").strip()
    except OSError:
        return str(one)
    return f"{one} ({told})"


class RoundMeter:
    """The figures of one series of rounds.

    Cost of a look: a full collection, which looks only at what was made since the check began (all
    before is frozen meanwhile), then 1 to 100 µs.
    """

    def __init__(self, calls: int, rounds: int) -> None:
        self.calls = calls
        self._blocks = array("q", bytes(8 * (rounds + 1)))
        self._malloc = array("q", bytes(8 * (rounds + 1)))
        self._at = 0
        info = mallinfo()  # Also loads what asking needs, before anything is counted.
        self._has_malloc = info is not None and info.took < SLOW
        self.look()
        self._at = 0  # The first look was for what looking itself sets up.

    def look(self) -> None:
        """Collect garbage, then write down where things stand."""
        gc.collect()
        _forget()
        self._malloc[self._at] = (in_use() or 0) if self._has_malloc else 0
        self._blocks[self._at] = sys.getallocatedblocks()
        self._at += 1

    def series(self) -> Series:
        """The rounds so far: growth of live blocks, and of malloc's bytes where it can be asked."""
        blocks, malloc = (
            tuple(marks[at + 1] - marks[at] for at in range(self._at - 1))
            for marks in (self._blocks, self._malloc)
        )
        return Series(calls=self.calls, blocks=blocks, malloc=malloc if self._has_malloc else None)


_forget: Callable[[], object] = getattr(
    sys, "_clear_internal_caches", getattr(sys, "_clear_type_cache", list)
)
"""Empties the interpreter's cache of attributes, up to 4096 names that it keeps alive.

Where C code looks an attribute up under a name made for the occasion, each such name stays in
there: opening a text file "leaked" a string a call for the first hundreds of calls. refleak.py
empties it, too. The one of all caches is there from 3.13 on.
"""
