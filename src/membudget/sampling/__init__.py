"""Taking one sample: everything that may explain memory later, in at most 2 ms.

Nothing is imported and no lock of the program waited for; why something is missing is told once.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from _thread import _count as _threads_started
from typing import TYPE_CHECKING, Any

from membudget.core.nouns import PartSample, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from membudget.core import Reading
    from membudget.registry import Registry

QUICK = 0.002  # Its thread's seconds that asking malloc may take; a slower one is asked hourly
MOST_PARTS = 32  # Those kept of a sample, the largest; what bounded ones hold counts for all
MOST_LOOKS = 256  # Files that counting children may take: each costs about 8 µs
_FULL = 2  # The generation of full collections
_FOREIGN = (Exception, SystemExit, GeneratorExit)


class Taker:
    """Takes samples of this process, on one thread. A forked child needs one of its own.

    `sources` are asked beside the process itself, by name: `malloc`, `system`, `parts`, `governed`,
    `gc`, `requests`, `transient`. `failed` takes the place and the error of one that raised, the
    first time; `spent` is the thread's own processor time.
    """

    def __init__(
        self,
        failed: Callable[[str, BaseException], object],
        wall: Callable[[], float] = time.time,
        spent: Callable[[], float] = time.thread_time,
        **sources: Callable[[], Any],
    ) -> None:
        self._sources = {"tasks": _tasks, "children": children, **sources}
        self._failed = failed
        self._wall = wall
        self._spent = spent
        self._told: set[str] = set()
        self._malloc_at = float("-inf")
        self._pid = os.getpid()
        self._began = began()

    def take(self, reading: Reading) -> Sample:
        """A sample, beside a reading just taken. Cost: 0.2 to 0.5 ms, most of it for the parts."""
        ask, parts_of = self._ask, reading.parts.get
        share, available = ask("system") or (None, None)
        parts, explained = ask("parts") or ((), 0)
        requests = ask("requests")
        # A history file takes nothing else back.
        is_count = isinstance(requests, int) and requests >= 0 and not isinstance(requests, bool)
        stats: list[Any] = gc.get_stats()
        return Sample(
            at=reading.at,
            wall=self._wall(),
            used=reading.used,
            rss=parts_of("rss", reading.used),
            limit=reading.limit,
            file=parts_of("cgroup_file", parts_of("file")),
            system_share=share,
            system_available=available,
            cpu=time.process_time(),
            blocks=sys.getallocatedblocks(),
            malloc=self._malloc(reading.at),
            gc_runs=tuple(one["collections"] for one in stats),
            gc_thresholds=gc.get_threshold(),
            gc_enabled=gc.isenabled(),
            gc_efficiency=ask("gc"),
            uncollectable=len(gc.garbage),
            threads=int(_threads_started()) + 1,  # The main one, and ours is among them.
            tasks=ask("tasks"),
            fds=_open_files(),
            children=ask("children"),
            governed=ask("governed") or 0,
            explained=explained,
            parts=parts,
            requests=requests if is_count else None,
            pid=self._pid,
            began=self._began,
            transient=ask("transient"),
        )

    def _malloc(self, now: float) -> int | None:
        """Bytes in use by the C allocator, where it is time to ask."""
        if now < self._malloc_at:
            return None
        began = self._spent()
        in_use: int | None = self._ask("malloc")
        if self._spent() - began >= QUICK:
            self._malloc_at = now + 3600.0
        return in_use

    def _ask(self, name: str) -> Any:
        if (source := self._sources.get(name)) is None:
            return None
        try:
            return source()
        except _FOREIGN as error:  # foreign code, or a system that is not as expected
            if name not in self._told:
                self._told.add(name)
                self._failed(f"sample {name}", error)
            return None


def began(pid: str = "self") -> float:
    """Unix seconds when a process began, to a hundredth; now where that cannot be told."""
    now = time.time()
    try:
        fields = (_text(f"/proc/{pid}/stat") or b"").rpartition(b")")[2].split()
        # The 22nd figure of stat is the 20th after the name in brackets.
        age = time.clock_gettime(time.CLOCK_BOOTTIME)
        age -= int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (AttributeError, ValueError, IndexError):
        return now
    return round(now - age, 2) if age >= 0 else now


def _open_files() -> int | None:
    # 2 µs; before Linux 6.2, which tells their number, 0.3 µs more for each of them.
    try:
        count = os.stat("/proc/self/fd").st_size
        # One of them is that of the listing itself.
        return count or len(os.listdir("/proc/self/fd")) - 1
    except OSError:
        return None


def _tasks() -> int | None:
    """Asyncio's tasks of all loops, done ones that are still held included. None is touched."""
    module: Any = sys.modules.get("asyncio.tasks")
    if module is None or sys.version_info >= (3, 14):
        return None  # It keeps them where only the loop's own thread may look.
    sets = [getattr(module, name, None) for name in ("_scheduled_tasks", "_eager_tasks")]
    if sets[0] is None:  # Before 3.12 there was one.
        sets = [getattr(module, "_all_tasks", None)]
    counts = [len(one) for one in sets if one is not None]
    return sum(counts) if counts else None


def children() -> int | None:
    """Resident bytes of this process's children, and theirs; pages they share count in each.

    None where they cannot be listed, or are too many. Cost: 8 µs a thread, 30 µs a process.
    """
    own = str(os.getpid())
    waiting, looks, pages, seen = [own], 0, 0, {own}
    while waiting:
        pid = waiting.pop()
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:
            threads = []  # It ended while we looked, or there is no /proc.
        looks += len(threads) + 1
        if looks > MOST_LOOKS:
            return None
        lists = [_text(f"/proc/{pid}/task/{one}/children") for one in threads]
        if pid == own and not any(one is not None for one in lists):
            return None
        below = {one for text in lists for one in (text or b"").decode().split()} - seen
        seen |= below
        waiting += below
        for child in below:
            pages += int((_text(f"/proc/{child}/statm") or b"0 0").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _text(path: str) -> bytes | None:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError:  # Who it was of has just ended, or this is not Linux.
        return None


class Parts:
    """Asks the holders of a register, and the containers watched, how they stand.

    Ours answer by `as_part` or `as_parts`, without a lock; a holder of the program's own by name
    and bytes. One that raises is left out, and `failed` told where, once.
    """

    def __init__(self, registry: Registry, failed: Callable[[str, BaseException], object]) -> None:
        self._registry = registry
        self._failed = failed
        self._told: set[str] = set()

    def take(self) -> tuple[tuple[PartSample, ...], int]:
        """The largest parts, and the bytes of all that have a bound. Cost: 2 µs a part."""
        found: list[PartSample] = []
        # Some are both, and containers may not be hashed; watched ones are chores alone.
        members: dict[int, Any] = {id(one): one for one in self._registry.holders()}
        members |= {id(one): one for one in self._registry.chores() if hasattr(one, "as_part")}
        for member in members.values():
            try:
                if (several := getattr(member, "as_parts", None)) is not None:
                    found += list(several())
                elif (ask := getattr(member, "as_part", None)) is not None:
                    found.append(ask())
                else:
                    held, kind = int(member.held_bytes()), type(member).__name__
                    found.append(PartSample(name=str(member.name), kind=kind, bytes=held))
            except _FOREIGN as error:  # a holder may be foreign code
                where = f"part {type(member).__name__}"
                if where not in self._told and len(self._told) < MOST_PARTS:
                    self._told.add(where)
                    self._failed(where, error)
        explained = sum(_explained(part) for part in found if part.is_bounded)
        if len(found) > MOST_PARTS:
            found.sort(key=lambda part: -(part.bytes or 0))
        return tuple(found[:MOST_PARTS]), explained


def _explained(part: PartSample) -> int:
    """What it holds within its bounds: beyond them its growth has no end that it told."""
    held = part.bytes or 0
    if part.most_bytes is not None:
        held = min(held, part.most_bytes)
    if part.most_items is not None and part.items is not None and part.items > part.most_items:
        held = held * part.most_items // part.items
    return held


class Efficiency:
    """What full collections are worth: listens to the collector between `begin` and `end`.

    CPython tells how many objects it looked at from 3.15 on (GH-140638); until then the share is
    how far live blocks fell. `learn` is told of each full one: seconds of its thread, and blocks
    before.
    """

    def __init__(self, learn: Callable[[float, int], object] | None = None) -> None:
        self._learn = learn
        self._began = 0.0
        self._before: int | None = None
        self._freed = self._looked = 0

    def begin(self) -> None:
        """Listen; a second call does nothing."""
        if self._note not in gc.callbacks:
            gc.callbacks.append(self._note)

    def end(self) -> None:
        """Listen no longer; a second call does nothing."""
        while self._note in gc.callbacks:
            gc.callbacks.remove(self._note)

    def forget(self) -> None:
        """Know nothing, as in a forked child."""
        self._before = None
        self._freed = self._looked = 0

    def take(self) -> float | None:
        """The share freed since the last call, 0 to 1; None where no full collection ran."""
        freed, looked = self._freed, self._looked
        self._freed = self._looked = 0
        return min(1.0, freed / looked) if looked else None

    def _note(self, phase: str, told: Mapping[str, Any]) -> None:
        if told["generation"] != _FULL:
            return
        if phase == "start":
            self._before, self._began = sys.getallocatedblocks(), time.thread_time()
        elif self._before is not None:
            before, self._before = self._before, None
            if self._learn is not None:
                self._learn(time.thread_time() - self._began, before)
            collected = told["collected"]
            if (candidates := told.get("candidates")) is not None:
                self._freed, self._looked = self._freed + collected, self._looked + candidates
                return
            # Each was a block at least, whatever others have allocated meanwhile; blocks that fell
            # without an object collected were free lists.
            fell = max(before - sys.getallocatedblocks(), collected) if collected else 0
            self._freed += fell
            self._looked += max(before, fell, 1)
