"""Where a cache puts what it evicts, how much may stand there, and what is known of that.

Each key of a spilling cache has one note: with its value in memory, waiting, or as a row of the
disk. Whoever sets or forgets a key first takes the old note out; whoever reads, writes or brings
back a value looks afterwards, under the lock, whether its note still stands. So no old value comes
back. What methods return is dropped by the caller, outside the lock.
"""

from __future__ import annotations

import itertools
import os
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

from membudget.core import Record
from membudget.core.native import RLock
from membudget.errors import ConfigError, MissingExtraError
from membudget.units import as_bytes, human_bytes

if TYPE_CHECKING:
    from collections.abc import Hashable
    from os import PathLike

MAX_BYTES, LEAST_BYTES = 1 << 30, 1 << 20  # Bytes on disk: unless given, and at least.
WAITING_BYTES = 4 << 20  # That wait for the disk: they are memory that was to be free already.
ROW_BYTES = 265  # Memory that a value on the disk costs besides its key, by tracemalloc.


class Spill:
    """A folder for what a cache evicts: values go there and come back at the next lookup.

    Values come back through `pickle`, which runs whatever a file tells it to. So the folder must be
    one that only the program's own user may write to: it is made with mode 0700, and one that
    belongs to another user, that others may write to, or that lies where another user may put
    another in its place, is refused. And each value is sealed: one that this cache did not write is
    a miss, and told.

    Each cache has a folder of its own within it, and so has each process: two never serve each
    other's values. It is made empty, and removed when the cache ends, by the next process where
    this one is killed. With `keep` it outlives an orderly end (not a crash, after which it is
    not known what is still right), and the next process takes it over.

    One `Spill` may serve several caches; each has `max_bytes` of its own.

    Args:
        directory: The folder; made where there is none.
        max_bytes: What one cache's values may take up on the disk, in bytes or text such as
            "2GiB"; what was put there first goes first. At least 1 MiB.
        keep: Whether values stay for the next process. They must still be right by then, and the
            key be there that they are sealed with.
        key: The file with that key, made where it is missing, for this user alone. By default it
            is /run/membudget.key for root and /tmp/membudget-UID.key for others, which do not
            outlive a reboot, nor a container: where the directory does, name a file that does,
            too, but not within it.
        waiting: Bytes, or text, that may wait in memory to be written. What is evicted beyond that
            is dropped; a larger value is taken alone, while nothing else waits.

    Raises:
        ConfigError: An argument that cannot be used as given.
        MissingExtraError: diskcache is not installed.
    """

    __slots__ = ("directory", "keep", "key", "max_bytes", "waiting")

    def __init__(
        self,
        directory: str | PathLike[str],
        *,
        max_bytes: int | str = MAX_BYTES,
        keep: bool = False,
        key: str | PathLike[str] | None = None,
        waiting: int | str = WAITING_BYTES,
    ) -> None:
        self.directory: str = _path(directory, "directory", "/var/cache/app")
        self.max_bytes: int = as_bytes(max_bytes, name="max_bytes of the spill")
        self.waiting: int = as_bytes(waiting, name="waiting")
        if not isinstance(keep, bool):
            raise ConfigError(f"keep {keep!r} is not a bool: write keep=True to keep what stands")
        if key is not None and not keep:
            raise ConfigError("a key is for values that are kept: leave it out, or say keep=True")
        self.keep: bool = keep
        self.key: str | None = None if key is None else _path(key, "key", "/var/lib/app/spill.key")
        if self.max_bytes < LEAST_BYTES:
            raise ConfigError(
                f"max_bytes of the spill {human_bytes(self.max_bytes)} is below "
                f"{human_bytes(LEAST_BYTES)}: give the disk more, or use no spill"
            )
        try:  # Now: later, memory may be short, or a fork be under way.
            import diskcache  # type: ignore[import-untyped]  # noqa: F401  # only for those who spill
        except ImportError as error:
            raise MissingExtraError(
                "spilling to disk needs diskcache, which is not installed: "
                "pip install 'membudget[spill]'"
            ) from error

    def __repr__(self) -> str:
        return f"Spill({self.directory!r}, max_bytes={self.max_bytes}, keep={self.keep})"


class SpillStats(Record):
    """A spilling cache's figures about its disk (bytes)."""

    directory: str | None  # Of this cache and this process; None where there is none now.
    state: str  # "on", or "off: " and why.
    entries: int  # Values on the disk.
    bytes: int  # What they take up there, with all that is about them.
    max_bytes: int  # The bound of that.
    waiting: int  # Bytes in memory that wait to be written.
    spilled: int  # Values ever written.
    hits: int  # Lookups that memory missed and the disk, or what waits for it, served.
    dropped: int  # Values not written: too many at once, too large, too late, or at EMERGENCY.
    unpicklable: int  # Values evicted that pickle could not, or would not again, take.
    failed: int  # Values that were written and could not be had again.


def checked_spill(spill: object) -> Spill:
    """A spill as an argument: a `Spill`, or only its folder; else raises ConfigError."""
    if isinstance(spill, Spill):
        return spill
    if isinstance(spill, (str, os.PathLike)):
        return Spill(spill)
    raise ConfigError(
        f'spill {spill!r} is no folder: give its path, or membudget.Spill(path, max_bytes="2GiB")'
    )


def _path(given: object, name: str, example: str) -> str:
    path = os.fspath(given) if isinstance(given, os.PathLike) else given
    if not isinstance(path, str) or not path or "\0" in path:
        raise ConfigError(
            f'{name} {given!r} is not a path: name one of the program\'s own, such as "{example}"'
        )
    path = os.path.abspath(os.path.expanduser(path))
    if os.path.expandvars(path) != path:  # diskcache would, after all was checked.
        raise ConfigError(
            f"{name} {given!r} has a variable in it: give the path that it stands for"
        )
    return path


class Note:
    """What is known of a value, in memory, waiting for the disk, or standing there.

    It expires at `ends` (monotonic seconds), and at `dies` if it is not used. `bytes` is what it
    weighs while it waits, then about what it takes up on the disk, which knows it by `number`: 0
    while it is not there.
    """

    __slots__ = ("bytes", "dies", "ends", "number", "size", "value")

    def __init__(
        self, value: Any, ends: float, dies: float, size: Any, *, weight: int = 0, number: int = 0
    ) -> None:
        self.value: Any = value
        self.ends: float = ends
        self.dies: float = dies
        self.size: int | None = size
        self.bytes: int = weight
        self.number: int = number


class Ledger:
    """The waiting values and the rows of one cache, under one lock. Any thread may call it."""

    def __init__(self, most_waiting: int) -> None:
        self._most_waiting = most_waiting
        self.counts: dict[str, int] = dict.fromkeys(
            ("spilled", "hits", "dropped", "unpicklable", "failed"), 0
        )
        self.numbers: itertools.count[int] = itertools.count(1)
        self.renew()

    def renew(self) -> None:
        """Begin anew, also in a forked child, with nothing on the disk and nothing under way."""
        self.lock: Any = RLock()
        self.waiting: dict[Hashable, Note] = {}
        self.rows: OrderedDict[Hashable, Note] = OrderedDict()  # On the disk, the oldest first.
        self.doomed: deque[int] = deque()  # Numbers to be deleted from the disk.
        self.waiting_bytes: int = 0

    def count(self, what: str) -> None:
        """Count something more."""
        with self.lock:
            self.counts[what] += 1

    def offer(self, key: Hashable, note: Note, *, is_alone: bool) -> object:
        """Have a value wait, or count it as dropped where too much does; returns what was there."""
        with self.lock:
            before = self.take(key)
            is_much = self.waiting_bytes + note.bytes > self._most_waiting
            if is_much and (self.waiting or not is_alone):  # A large one is taken alone.
                self.count("dropped")
            else:
                self.waiting[key] = note
                self.waiting_bytes += note.bytes
            return before

    def find(self, key: Hashable) -> Note | None:
        """What waits or stands on the disk under a key."""
        if not self.rows and not self.waiting:
            return None
        with self.lock:
            return self.waiting.get(key) or self.rows.get(key)

    def take(self, key: Hashable) -> Note | None:
        """Take out what waits or stands on the disk under a key; there, it is deleted."""
        with self.lock:
            note = self.waiting.pop(key, None)
            if note is not None:
                self.waiting_bytes -= note.bytes
                return note
            note = self.rows.pop(key, None)
            if note is not None:
                self.doomed.append(note.number)
            return note

    def done(self, key: Hashable, waiting: Note, what: str | None, row: Note | None = None) -> None:
        """Count what waited; it stands as a row now, or nowhere, unless taken out meanwhile."""
        with self.lock:
            if what is not None:
                self.count(what)
            if self.waiting.get(key) is waiting:
                self.take(key)
                if row is not None:
                    self.rows[key] = row
            elif row is not None:
                self.doomed.append(row.number)

    def oldest(self) -> Note | None:
        """What was written first."""
        with self.lock:
            return next(iter(self.rows.values()), None)

    def take_oldest(self, dead_at: float = float("inf")) -> Note | None:
        """Take out what was written first, if it is dead by then."""
        with self.lock:
            row = self.oldest()
            if row is None or row.dies > dead_at:
                return None
            return self.rows.popitem(last=False)[1]

    def empty(self) -> object:
        """Forget everything; returns what is to be dropped."""
        with self.lock:
            self.doomed.extend(row.number for row in self.rows.values())
            gone = self.waiting, self.rows
            self.waiting, self.rows, self.waiting_bytes = {}, OrderedDict(), 0
            return gone
