"""What stands on the disk: sealed values by number, under a bound that holds at every moment.

diskcache keeps them, and culls only after a bound was passed; so what was written first is deleted
here before a value is written. Nothing is synchronised: nothing is believed after a crash.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import diskcache  # type: ignore[import-untyped]  # only loaded by those who spill

from membudget.cache.spilling.folder import check_in_place
from membudget.errors import ConfigError, MembudgetError
from membudget.ownership import open_own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from membudget.cache.spilling.spill import Note

FILE_FROM = 1 << 15  # A value of so many bytes has its own file: 1 MiB is written 5 times as fast.
_BLOCK, _ABOUT = 4096, 512  # Bytes of a block, and those that SQLite keeps about a value, at most.
_AT_ONCE = 64
_FILE = re.compile(r"[0-9]{1,20}\.val")
_RAW, _BINARY = 1, 2  # diskcache's names for values in the database and in files.

_SETTINGS = {
    "disk_min_file_size": FILE_FROM,
    "cull_limit": 0,
    "eviction_policy": "none",
    "sqlite_auto_vacuum": 1,
    "sqlite_cache_size": 256,  # Pages of 4 kB held in memory; diskcache's own are 32 MiB.
    "sqlite_journal_mode": "memory",
    "sqlite_mmap_size": 0,
    "sqlite_synchronous": 0,
}


class _ByteDisk(diskcache.Disk):  # type: ignore[misc]  # it has no types
    """Whole numbers as keys, bytes as values; a changed database can only make a value unknown."""

    file_bytes: int = 0  # What the files take up.

    def put(self, key: Any) -> tuple[int, bool]:
        """A key for the database."""
        return key, True

    def store(
        self, value: Any, read: Any, key: Any = None
    ) -> tuple[int, int, str | None, bytes | None]:
        """A value for the database, or in a file: size, mode, file, value."""
        del read
        if len(value) < self.min_file_size:
            return 0, _RAW, None, value
        name = f"{key}.val"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with open(open_own(os.path.join(self._directory, name), flags), "wb") as file:
            file.write(value)
        self.file_bytes += _stored(len(value))
        return len(value), _BINARY, name, None

    def fetch(self, mode: Any, filename: Any, value: Any, read: Any) -> bytes:  # noqa: ARG002  # diskcache's
        """A value from the database or its file; empty where it is none of ours."""
        if filename is None:
            return value if type(value) is bytes else b""
        if type(filename) is str and _FILE.fullmatch(filename):
            try:
                with open(open_own(os.path.join(self._directory, filename)), "rb") as file:
                    return file.read()
            except (ConfigError, OSError):  # It is not there, or not ours.
                return b""
        return b""

    def remove(self, file_path: Any) -> None:
        """Remove a value's file."""
        if type(file_path) is str and _FILE.fullmatch(file_path):
            path = os.path.join(self._directory, file_path)
            with suppress(OSError):
                self.file_bytes -= _stored(os.stat(path).st_size)
                os.unlink(path)


class Store:
    """The values of one cache, for one thread; where `is_kept`, those of an earlier process."""

    def __init__(self, path: str, max_bytes: int, *, is_kept: bool) -> None:
        check_in_place(path)
        self._path, self._database = path, os.path.join(path, "cache.db")
        self._max_bytes = max_bytes
        for name in os.listdir(path):
            is_ours = name == "cache.db" or _FILE.fullmatch(name)
            if not is_kept or not is_ours:  # SQLite believes journals, for one.
                raise MembudgetError(f"{os.path.join(path, name)} was put there by somebody else")
        self._disk = diskcache.Cache(path, timeout=1, disk=_ByteDisk, **_SETTINGS)
        self.is_open: bool = True  # Whether the database is open.
        status = os.stat(self._database)
        self._identity = status.st_dev, status.st_ino
        files = [os.lstat(one.path) for one in os.scandir(path) if _FILE.fullmatch(one.name)]
        self._disk.disk.file_bytes = sum(_stored(file.st_size) for file in files)
        self._measure()

    def write(
        self, number: int, sealed: bytes, take_oldest: Callable[[], Note | None]
    ) -> int | None:
        """Write a value, where `take_oldest` makes room; returns what it takes up, or None."""
        stored = _stored(len(sealed))
        disk = self._in_place()
        while (missing := self.bytes + stored - self._max_bytes) > 0:
            numbers: list[int] = []
            while missing > 0 and len(numbers) < _AT_ONCE and (row := take_oldest()):
                numbers.append(row.number)
                missing -= row.bytes
            if not numbers:
                return None
            self.delete(numbers)
        disk.set(number, sealed)
        self._measure()
        return stored

    def read(self, number: int) -> bytes | None:
        """A value as it stands there, to be unsealed; None where there is none."""
        found: bytes | None = self._in_place().get(number)
        return found

    def delete(self, numbers: Iterable[int]) -> None:
        """Delete values, in one transaction."""
        disk = self._in_place()
        with disk.transact():
            for number in numbers:
                disk.delete(number)
        self._measure()

    def close(self) -> None:
        """Close the database until it is next used."""
        self.is_open = False
        self._disk.close()

    def _in_place(self) -> Any:
        """The database, looked at before it is opened again."""
        if not self.is_open:
            check_in_place(self._path)
            self._measure()
            self.is_open = True
        return self._disk

    def _measure(self) -> None:
        """Note the bytes on the disk; raises OSError where the folder was removed."""
        status = os.stat(self._database)
        if (status.st_dev, status.st_ino) != self._identity:
            raise FileNotFoundError(2, "the folder was replaced while in use", self._path)
        self.bytes: int = status.st_size + self._disk.disk.file_bytes


def _stored(length: int) -> int:
    return -(-(length + _ABOUT) // _BLOCK) * _BLOCK
