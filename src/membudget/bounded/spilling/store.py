"""What stands on the disk: sealed values by number, under a bound that holds at every moment.

diskcache keeps them: small ones in one SQLite file, those from 32 kB on in files of their own. It
bounds itself only roughly, so the bound is kept here: before a value is written, what was written
first is deleted until the database as it stands, the files and the new value are within it. Nothing
is synchronised and the journal is in memory, since nothing here is believed after a crash.

One thread only may use a store: SQLite's connection is bound to it.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from membudget.bounded.spilling.folder import check_in_place
from membudget.errors import MembudgetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from membudget.bounded.spilling.ledger import Ledger
    from membudget.bounded.spilling.rows import Row

FILE_FROM = 1 << 15
"""Bytes from which a value has a file of its own: written at 3 ms a MiB, read at 0.2 ms, where
SQLite takes 2 to 7 ms and 1.4 ms."""

_BLOCK = 4096
_ABOUT = 512
"""Bytes that SQLite keeps about a value, at most."""

_PAGES_CACHED = 256
"""Pages of 4 kB that SQLite holds in memory; its own default for diskcache is 32 MiB."""

_AT_ONCE = 64
_OURS = re.compile(r"cache\.db|[0-9]+\.val")


class Store:
    """The values of one cache on the disk.

    Args:
        path: The folder.
        max_bytes: The bound.
        is_kept: Whether a database that was checked stands there already.

    Raises:
        MembudgetError: The folder is not ours any more, or something stands in it.
        OSError: The disk.
        sqlite3.Error: The database.
        diskcache.Timeout: Another process holds the database.
    """

    def __init__(self, path: str, max_bytes: int, *, is_kept: bool = False) -> None:
        check_in_place(path)
        self._path = path
        self._database = os.path.join(path, "cache.db")
        self._max_bytes = max_bytes
        self._files: dict[int, int] = {}
        self._file_bytes = 0
        for name in os.listdir(path):
            if not is_kept or not _OURS.fullmatch(name):  # SQLite believes journals, for one.
                raise MembudgetError(f"{os.path.join(path, name)} was put there by somebody else")
        self._disk = _opened(path)
        self._is_open = True
        status = os.stat(self._database)
        self._identity = status.st_dev, status.st_ino
        self.bytes = status.st_size

    def write(self, number: int, sealed: bytes, ledger: Ledger) -> int | None:
        """Write a value; returns about what it takes up, or None where it is beyond the bound."""
        stored = -(-(len(sealed) + _ABOUT) // _BLOCK) * _BLOCK
        if not self._make_room(stored, ledger):
            return None
        self._in_place().set(number, sealed)
        if len(sealed) >= FILE_FROM:
            self._files[number] = stored
            self._file_bytes += stored
        self.bytes = self._measured()
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
                self._file_bytes -= self._files.pop(number, 0)
        self.bytes = self._measured()

    def close(self) -> None:
        """Close the database until it is next used."""
        self._is_open = False
        self._disk.close()

    def take_over(self, rows: Sequence[Row]) -> None:
        """Count what an earlier process wrote, and delete what nobody knows of."""
        known = {row.number for row in rows}
        unknown = [number for number in self._disk if number not in known]
        if unknown:  # Its key could not be pickled: it would take up the room for good.
            self.delete(unknown)
        self._files = {row.number: row.bytes for row in rows if row.bytes >= FILE_FROM}
        self._file_bytes = sum(self._files.values())
        self.bytes = self._measured()

    def _in_place(self) -> Any:
        """The database, looked at before it is opened again."""
        if not self._is_open:
            check_in_place(self._path)
            self._measured()
            self._is_open = True
        return self._disk

    def _make_room(self, stored: int, ledger: Ledger) -> bool:
        self.bytes = self._measured()
        while self.bytes + stored > self._max_bytes:
            numbers: list[int] = []
            missing = self.bytes + stored - self._max_bytes
            while missing > 0 and len(numbers) < _AT_ONCE:
                row = ledger.take_oldest()
                if row is None:
                    break
                numbers.append(row.number)
                missing -= row.bytes
            if not numbers:
                return False
            self.delete(numbers)
        return True

    def _measured(self) -> int:
        """Bytes on the disk now.

        Raises:
            OSError: The folder was removed.
        """
        status = os.stat(self._database)
        if (status.st_dev, status.st_ino) != self._identity:
            raise FileNotFoundError(2, "the folder was replaced while in use", self._path)
        return status.st_size + self._file_bytes


def _opened(path: str) -> Any:
    from diskcache import Cache  # type: ignore[import-untyped]  # only for those who spill

    from membudget.bounded.spilling.byte_disk import ByteDisk

    return Cache(
        path,
        timeout=1,
        disk=ByteDisk,
        disk_min_file_size=FILE_FROM,
        cull_limit=0,
        eviction_policy="none",
        sqlite_auto_vacuum=1,
        sqlite_cache_size=_PAGES_CACHED,
        sqlite_journal_mode="memory",
        sqlite_mmap_size=0,
        sqlite_synchronous=0,
    )
