"""What diskcache keeps for us: numbers and bytes, and nothing that it would unpickle.

diskcache's own `Disk` unpickles keys and values as the database says, and opens and removes the
files that it names. Here a database that somebody changed can only make a value unknown.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import diskcache  # type: ignore[import-untyped]  # only loaded by those who spill

from membudget.errors import ConfigError, MembudgetError
from membudget.ownership import open_own

if TYPE_CHECKING:
    from collections.abc import Callable

_FILE = re.compile(r"[0-9]{1,20}\.val")
_RAW, _BINARY = 1, 2
"""diskcache's names for values in the database and in files; they are only for other readers."""


class ByteDisk(diskcache.Disk):  # type: ignore[misc]  # it has no types
    """Whole numbers as keys, bytes as values; all files in the one folder.

    Two more folders for each file, as diskcache has it, cost three times the writing.
    """

    def put(self, key: Any) -> tuple[int, bool]:
        """A key for the database."""
        if type(key) is not int:
            raise TypeError(f"{key!r:.60} is no number of a value")
        return key, True

    def get(self, key: Any, raw: Any) -> int:
        """A key from the database.

        Raises:
            MembudgetError: It is none of ours.
        """
        if not raw or type(key) is not int:
            raise MembudgetError("the database holds what this cache did not write")
        return key

    def store(
        self, value: Any, read: Any, key: Any = None
    ) -> tuple[int, int, str | None, bytes | None]:
        """A value for the database, or in a file: size, mode, file, value."""
        if type(value) is not bytes or read:
            raise TypeError(f"{type(value).__name__} is not bytes")
        if len(value) < self.min_file_size:
            return 0, _RAW, None, value
        name = f"{key}.val"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with open(open_own(os.path.join(self._directory, name), flags), "wb") as file:
            file.write(value)
        return len(value), _BINARY, name, None

    def fetch(self, mode: Any, filename: Any, value: Any, read: Any) -> bytes:  # noqa: ARG002  # diskcache's
        """A value from the database or its file; empty where it is none of ours."""
        if filename is None:
            return value if type(value) is bytes else b""
        return self._with_file(filename, _content) or b""

    def remove(self, file_path: Any) -> None:
        """Remove a value's file."""
        self._with_file(file_path, os.unlink)

    def _with_file(self, name: Any, use: Callable[[str], bytes | None]) -> bytes | None:
        if type(name) is not str or not _FILE.fullmatch(name):
            return None
        try:
            return use(os.path.join(self._directory, name))
        except (ConfigError, OSError):  # It is not there, or not ours.
            return None


def _content(path: str) -> bytes:
    with open(open_own(path), "rb") as file:
        return file.read()
