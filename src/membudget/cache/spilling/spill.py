"""Where a cache puts what it evicts, how much may stand there, and what it tells about that."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from membudget.core import Record
from membudget.errors import ConfigError, MissingExtraError
from membudget.units import as_bytes, human_bytes

if TYPE_CHECKING:
    from os import PathLike

MAX_BYTES = 1 << 30
"""Bytes on disk where no bound is given."""

LEAST_BYTES = 1 << 20
"""The smallest bound: an empty store takes some 50 kB, and a bound should hold a few values."""

WAITING_BYTES = 4 << 20
"""Bytes that may wait for the disk, for they are memory that was to be free already."""


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
        self.directory = _path(directory, "directory", "/var/cache/app")
        self.max_bytes = as_bytes(max_bytes, name="max_bytes of the spill")
        self.waiting = as_bytes(waiting, name="waiting")
        if not isinstance(keep, bool):
            raise ConfigError(f"keep {keep!r} is not a bool: write keep=True to keep what stands")
        if key is not None and not keep:
            raise ConfigError("a key is for values that are kept: leave it out, or say keep=True")
        self.keep = keep
        self.key = None if key is None else _path(key, "key", "/var/lib/app/spill.key")
        if self.max_bytes < LEAST_BYTES:
            raise ConfigError(
                f"max_bytes of the spill {human_bytes(self.max_bytes)} is below "
                f"{human_bytes(LEAST_BYTES)}: give the disk more, or use no spill"
            )
        _import_diskcache()

    def __repr__(self) -> str:
        return f"Spill({self.directory!r}, max_bytes={self.max_bytes}, keep={self.keep})"


class SpillStats(Record):
    """A spilling cache's figures about its disk (bytes).

    Attributes:
        directory: The folder of this cache and this process; None where there is none now.
        state: "on", or "off: " and why.
        entries: Values on the disk.
        bytes: What they take up there, with all that is about them.
        max_bytes: The bound of that.
        waiting: Bytes in memory that wait to be written.
        spilled: Values ever written.
        hits: Lookups that memory missed and the disk, or what waits for it, served.
        dropped: Values evicted and not written: too many at once, too large, too late, or under
            pressure of the level EMERGENCY.
        unpicklable: Values evicted that pickle could not, or would not again, take.
        failed: Values that were written and could not be had again.
    """

    directory: str | None
    state: str
    entries: int
    bytes: int
    max_bytes: int
    waiting: int
    spilled: int
    hits: int
    dropped: int
    unpicklable: int
    failed: int


def checked_spill(spill: object) -> Spill:
    """A spill as an argument: a `Spill`, or only its folder.

    Raises:
        ConfigError: It is neither.
        MissingExtraError: diskcache is not installed.
    """
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


def _import_diskcache() -> None:
    """Load what does the writing now: later, memory may be short, or a fork be under way.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import diskcache  # type: ignore[import-untyped]  # noqa: F401  # only for those who spill
    except ImportError as error:
        raise MissingExtraError(
            "spilling to disk needs diskcache, which is not installed: "
            "pip install 'membudget[spill]'"
        ) from error
