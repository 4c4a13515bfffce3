"""What stands on the disk: pickled values by number, under a bound that holds at every moment.

diskcache keeps them: small ones in one SQLite file, those from 32 kB on in files of their own. It
bounds itself only roughly, so the bound is kept here: before a value is written, what was written
first is deleted until the database as it stands, the files and the new value are within it. Nothing
is synchronised and the journal is in memory, since nothing here is believed after a crash.

One thread only may use a store: SQLite's connection is bound to it.
"""

from __future__ import annotations

import os
import pickle
import struct
import time
import zlib
from typing import TYPE_CHECKING, Any

from membudget.bounded.spilling.rows import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from membudget.bounded.spilling.ledger import Ledger

FILE_FROM = 1 << 15
"""Bytes from which a value has a file of its own: written at 3 ms a MiB, read at 0.2 ms, where
SQLite takes 2 to 7 ms and 1.4 ms."""

_BLOCK = 4096
_ABOUT = 512
"""Bytes that SQLite keeps about a value, at most."""

_PAGES_CACHED = 256
"""Pages of 4 kB that SQLite holds in memory; its own default for diskcache is 32 MiB."""

_HEAD = struct.Struct("<QI")
_AT_ONCE = 64
INDEX = "index.pickle"
"""The file that tells what stands in a folder that was kept."""


class Store:
    """The values of one cache on the disk.

    Args:
        path: The folder.
        max_bytes: The bound.

    Raises:
        OSError: The disk.
        sqlite3.Error: The database.
        diskcache.Timeout: Another process holds the database.
    """

    def __init__(self, path: str, max_bytes: int) -> None:
        self._path = path
        self._database = os.path.join(path, "cache.db")
        self._max_bytes = max_bytes
        self._files: dict[int, int] = {}
        self._file_bytes = 0
        self._disk = _opened(path)
        status = os.stat(self._database)
        self._identity = status.st_dev, status.st_ino
        self.bytes = status.st_size

    def write(self, number: int, pickled: bytes, ledger: Ledger) -> int | None:
        """Write a value; returns about what it takes up, or None where it is beyond the bound."""
        head = _HEAD.pack(number, zlib.crc32(pickled))
        stored = -(-(len(pickled) + _ABOUT) // _BLOCK) * _BLOCK
        if not self._make_room(stored, ledger):
            return None
        self._disk.set(number, head + pickled)
        if len(head) + len(pickled) >= FILE_FROM:
            self._files[number] = stored
            self._file_bytes += stored
        self.bytes = self._measured()
        return stored

    def read(self, number: int) -> bytes | None:
        """A value, pickled; None where there is none, or not as it was written."""
        found: bytes | None = self._disk.get(number)
        if found is None or len(found) < _HEAD.size:
            return None
        pickled = found[_HEAD.size :]
        return pickled if _HEAD.unpack_from(found) == (number, zlib.crc32(pickled)) else None

    def delete(self, numbers: Iterable[int]) -> None:
        """Delete values, in one transaction."""
        with self._disk.transact():
            for number in numbers:
                self._disk.delete(number)
                self._file_bytes -= self._files.pop(number, 0)
        self.bytes = self._measured()

    def close(self) -> None:
        """Close the database until it is next used."""
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
    import diskcache  # type: ignore[import-untyped]  # only for those who spill

    class Flat(diskcache.Disk):  # type: ignore[misc]  # it has no types
        """All files in the one folder: making two more for each costs three times the writing."""

        def filename(self, key: Any = None, value: Any = None) -> tuple[str, str]:  # noqa: ARG002
            name = f"{key}.val"
            return name, os.path.join(self._directory, name)

    return diskcache.Cache(
        path,
        timeout=1,
        disk=Flat,
        disk_min_file_size=FILE_FROM,
        cull_limit=0,
        eviction_policy="none",
        sqlite_auto_vacuum=1,
        sqlite_cache_size=_PAGES_CACHED,
        sqlite_journal_mode="memory",
        sqlite_mmap_size=0,
        sqlite_synchronous=0,
    )


def save_index(path: str, rows: dict[Hashable, Row], now: float) -> None:
    """Write down what stands on the disk, for the next process.

    Raises:
        OSError: The disk.
    """
    wall = time.time()
    kept = []
    for key, row in rows.items():
        known = (row.number, row.ends - now + wall, row.dies - now + wall, row.size, row.bytes)
        try:
            kept.append(pickle.dumps((key, known)))
        except Exception:  # noqa: BLE001, S112  # a key of the program's own that cannot be kept
            continue
    with open(os.path.join(path, INDEX), "xb") as file:
        pickle.dump(kept, file)


def load_index(path: str, now: float, new_stamp: Callable[[], int]) -> dict[Hashable, Row]:
    """What an earlier process left on the disk; it is believed only once.

    Raises:
        OSError: The disk.
    """
    path = os.path.join(path, INDEX)
    try:
        with open(path, "rb") as file:
            written = file.read()
    except FileNotFoundError:
        return {}
    os.unlink(path)
    wall, rows = time.time(), {}
    try:
        for one in pickle.loads(written):  # noqa: S301  # from a folder that is checked to be ours
            key, (number, ends, dies, size, stored) = pickle.loads(one)  # noqa: S301
            cell = (None, ends - wall + now, new_stamp(), size, None)
            rows[key] = Row(number, cell, dies - wall + now, stored)
    except Exception:  # noqa: BLE001  # whatever a changed program's keys raise: begin empty
        return {}
    return rows
