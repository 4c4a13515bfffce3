"""The folder of one spilling cache in one process: numbered, locked, the user's own.

A process holds the lock of its number while it lives, so the next one sees which numbers are free,
and removes what killed processes left there. Each value carries a seal, an HMAC over the cache's
name, its generation, the value's number and its bytes (ADR 23). With what is kept for the next
process goes the shape of the database: diskcache does what its settings say and SQLite what its
triggers do, so one of another shape is not opened.
"""

from __future__ import annotations

import contextlib
import errno
import hmac
import os
import pickle
import shutil
import stat
import struct
import time
import zlib
from collections import OrderedDict
from typing import TYPE_CHECKING

from membudget.cache.spilling.spill import Note
from membudget.errors import ConfigError, MembudgetError
from membudget.ownership import (
    OTHERS,
    check_owner,
    default_folder,
    open_locked,
    open_own,
    read_own,
    safe_way,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from membudget.cache.spilling.spill import Spill

SEAL_BYTES = KEY_BYTES = 32
_GENERATION_BYTES = 16
_KEY_BEGINS = b"membudget key 1\n"
_FRAME, _NUMBER = struct.Struct(">I"), struct.Struct(">Q")
_MOST = 1000  # Processes at a time, far beyond what one host runs of a program.
_ATTEMPTS = 10  # Tries while other processes make or remove what is looked at.
_INDEX = "index.pickle"
_LONGEST = 256 << 20
_MOST_ROWS = 100
_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
_SETTINGS = (
    "SELECT key, value FROM Settings WHERE key NOT IN ('count', 'size', 'hits', 'misses')"
    " ORDER BY key"
)

_BROKEN = (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE)
"""What is the disk's or the system's fault, not the caller's who named the folder."""


class Seal:
    """The seal of one cache's values by a key, in one generation: no other set of them has that."""

    def __init__(self, key: bytes, name: str, generation: bytes | None = None) -> None:
        self.generation: bytes = os.urandom(_GENERATION_BYTES) if generation is None else generation
        space = name.encode("utf-8", "surrogatepass")
        begin = b"membudget spill 1\0" + _FRAME.pack(len(space)) + space + self.generation
        self._mac = hmac.new(key, begin, "sha256")

    def seal(self, number: int, text: bytes) -> bytes:
        """A value's bytes with its seal before them."""
        return self._of(number, text) + text

    def unseal(self, number: int, sealed: bytes) -> bytes | None:
        """The bytes that were sealed under this number, or None where they are any others."""
        text = sealed[SEAL_BYTES:]
        is_ours = hmac.compare_digest(sealed[:SEAL_BYTES], self._of(number, text))
        return text if is_ours else None

    def _of(self, number: int, text: bytes) -> bytes:
        mac = self._mac.copy()
        mac.update(_NUMBER.pack(number))
        mac.update(text)
        return mac.digest()


def user_key(path: str | None = None) -> bytes:
    """The key of this user, made where there is none; a ConfigError where it is not theirs."""
    path = safe_way(path or f"{default_folder()}.key")
    length = len(_KEY_BEGINS) + KEY_BYTES
    for _ in range(_ATTEMPTS):
        found = read_own(path, length, begins=_KEY_BEGINS, others=OTHERS)
        if found is None:  # Made whole at once, unless another process was first.
            part = f"{path}.{os.getpid()}.{os.urandom(4).hex()}"
            try:
                with open(open_own(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
                    file.write(_KEY_BEGINS + os.urandom(KEY_BYTES))
                with contextlib.suppress(FileExistsError):
                    os.link(part, path)
            finally:
                with contextlib.suppress(OSError):
                    os.unlink(part)
        elif len(found) == length:
            return found[len(_KEY_BEGINS) :]
        else:
            break
    raise ConfigError(f"{path} holds no key: remove it, and a new one is made")


class SpillFolder:
    """A folder that is this process's alone while it is held; else a ConfigError, or OSError."""

    def __init__(self, spill: Spill, name: str) -> None:
        if os.name == "nt":
            raise ConfigError(
                "spilling needs locks on files (flock), which this system lacks: leave it out"
            )
        self._keep = spill.keep
        try:
            directory = safe_way(spill.directory)
            _make(directory)
            readable = "".join(letter if letter.isalnum() else "_" for letter in name[:40])
            base = os.path.join(directory, f"{readable}-{zlib.crc32(name.encode()):08x}")
            self._descriptor, self._lock_path = _locked(base)
            self.path: str = self._lock_path.removesuffix(".lock")
            try:
                if self._keep:
                    _make(self.path)
                else:
                    self.empty()
                _remove_left_over(base, self.path)
            except BaseException:
                self.leave()
                raise
        except OSError as error:
            if error.errno in _BROKEN:
                raise
            raise ConfigError(
                f"spill directory {spill.directory} cannot be used ({error.strerror}): "
                "name a folder that this user may write to"
            ) from error

    def empty(self) -> None:
        """Remove what stands there; raises OSError where the disk does."""
        if os.path.lexists(self.path):
            shutil.rmtree(self.path)
        _make(self.path)

    def leave(self) -> None:
        """Let go of it without touching it: in a child, it is the parent's."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)

    def end(self, *, keep: bool | None = None) -> None:
        """Remove it, unless it is kept, and let go of it."""
        if not (self._keep if keep is None else keep):
            shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.unlink(self._lock_path)
        self.leave()
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(self.path))

    def save(
        self, rows: Mapping[Hashable, Note], seal: Seal, highest: int, now: float
    ) -> list[int]:
        """Write down what stands there, for the next process; the numbers of what cannot be."""
        since, known, lost = time.time() - now, [], []
        for key, row in rows.items():
            noted = (row.number, row.ends + since, row.dies + since, row.size, row.bytes)
            try:
                known.append(pickle.dumps((key, noted)))
            except Exception:  # noqa: BLE001  # a key of the program's own
                lost.append(row.number)
        text = pickle.dumps((_shape_of(self.path), highest, known))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with open(open_own(os.path.join(self.path, _INDEX), flags), "wb") as file:
            file.write(seal.generation + seal.seal(0, text))
        return lost

    def load(
        self, key: bytes, name: str, now: float
    ) -> tuple[OrderedDict[Hashable, Note], Seal, int] | None:
        """What an earlier process saved: rows, seal, highest number. Or None: it is there once.

        Raises MembudgetError where another user wrote or changed it, OSError for the disk.
        """
        index = os.path.join(self.path, _INDEX)
        written = read_own(index, _LONGEST)
        if written is None:
            return None
        os.unlink(index)
        seal = Seal(key, name, written[:_GENERATION_BYTES])
        text = seal.unseal(0, written[_GENERATION_BYTES:])
        if text is None:
            raise MembudgetError(f"{index} was not written with this user's key")
        since = time.time() - now
        rows: OrderedDict[Hashable, Note] = OrderedDict()
        try:
            shape, highest, known = pickle.loads(text)  # noqa: S301  # sealed by this user
            for one in known:
                row_key, (number, ends, dies, size, stored) = pickle.loads(one)  # noqa: S301
                rows[row_key] = Note(
                    None, ends - since, dies - since, size, weight=stored, number=number
                )
        except Exception:  # noqa: BLE001  # whatever a changed program's keys raise: begin empty
            return None
        if _shape_of(self.path) != shape:
            raise MembudgetError(f"the database in {self.path} was changed since it was kept")
        return (rows, seal, highest) if rows else None


def _make(path: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    check_own(path, os.lstat(path))


def check_in_place(path: str) -> None:
    """Raise ConfigError where a folder was exchanged, or may be; OSError where it is gone."""
    if safe_way(path) != path:
        raise ConfigError(f"spill directory {path} is another folder now: make the cache anew")
    check_own(path, os.lstat(path))


def check_own(path: str, status: os.stat_result) -> None:
    """Raise ConfigError for another user's folder, one that others may write to, or none at all."""
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigError(f"spill directory {path} is not a folder: name one, or a path for one")
    advice = (
        "values come back through pickle, so name a folder of the program's own user, closed to "
        "others"
    )
    check_owner(f"spill directory {path}", status, advice=advice)


def _locked(base: str) -> tuple[int, str]:
    """The descriptor and path of the first lock that is free."""
    for attempt in range(_ATTEMPTS):
        _make(base)
        try:
            for number in range(_MOST):
                path = os.path.join(base, f"{number}.lock")
                descriptor = open_locked(path)
                if descriptor is not None:
                    return descriptor, path
        except FileNotFoundError:  # A process that ended just now removed the folder.
            if attempt == _ATTEMPTS - 1:
                raise
    raise OSError(errno.EBUSY, f"{_MOST} processes spill there already", base)


def _remove_left_over(base: str, own: str) -> None:
    """Remove what processes left there that were killed; what was kept in good order stays."""
    for name in os.listdir(base):
        number = name.removesuffix(".lock")
        path = os.path.join(base, number)
        if path == own or not number.isdigit():
            continue
        # Others may do the same; or it is not ours.
        with contextlib.suppress(ConfigError, OSError):
            descriptor = open_locked(f"{path}.lock")
            if descriptor is None:
                continue
            try:
                if not os.path.exists(os.path.join(path, _INDEX)):
                    shutil.rmtree(path, ignore_errors=True)
                os.unlink(f"{path}.lock")
            finally:
                os.close(descriptor)


def _shape_of(path: str) -> str:
    """The schema and the settings of the database; raises MembudgetError where it is not ours."""
    import sqlite3  # loaded by diskcache

    database = os.path.join(path, "cache.db")
    os.close(open_own(database))
    try:
        with contextlib.closing(sqlite3.connect(database, timeout=1)) as opened:
            opened.execute("PRAGMA query_only = ON")
            opened.execute("PRAGMA trusted_schema = OFF")
            schema = opened.execute(_SCHEMA).fetchmany(_MOST_ROWS)
            if any(kind == "view" for kind, *_ in schema):
                raise MembudgetError(f"{database} has views, which this cache did not make")
            return repr((schema, opened.execute(_SETTINGS).fetchmany(_MOST_ROWS)))
    except sqlite3.Error as error:
        raise MembudgetError(f"{database} is broken ({error})") from error
