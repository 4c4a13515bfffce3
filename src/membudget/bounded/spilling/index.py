"""What a process leaves of its spilled values for the next: a sealed list of what stands there.

The database is diskcache's, which does what its settings say and what triggers are in it. So its
shape is written down under the seal as well, and one of another shape is not opened.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from membudget.bounded.spilling.ledger import Copy
from membudget.bounded.spilling.seal import GENERATION_BYTES, Seal
from membudget.errors import MembudgetError
from membudget.ownership import open_own, read_own

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

INDEX = "index.pickle"

_LONGEST = 256 << 20
_MOST_ROWS = 100
_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
_SETTINGS = (
    "SELECT key, value FROM Settings WHERE key NOT IN ('count', 'size', 'hits', 'misses')"
    " ORDER BY key"
)


def save_index(
    path: str, rows: Mapping[Hashable, Copy], seal: Seal, highest: int, now: float
) -> None:
    """Write down what stands on the disk, for the next process.

    Args:
        path: The folder.
        rows: What stands there, by key.
        seal: The seal of these values.
        highest: The highest number ever given in this generation.
        now: Monotonic seconds.

    Raises:
        OSError: The disk.
        sqlite3.Error: The database.
    """
    since = time.time() - now
    known = []
    for key, row in rows.items():
        noted = (row.number, row.ends + since, row.dies + since, row.size, row.bytes)
        try:
            known.append(pickle.dumps((key, noted)))
        except Exception:  # noqa: BLE001, S112  # a key of the program's own that cannot be kept
            continue
    text = pickle.dumps((_shape_of(path), highest, known))
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with open(open_own(os.path.join(path, INDEX), flags), "wb") as file:
        file.write(seal.generation + seal.seal(0, text))


def load_index(
    path: str, key: bytes, name: str, now: float
) -> tuple[OrderedDict[Hashable, Copy], Seal, int] | None:
    """What an earlier process left on the disk, or None; it is believed only once.

    Args:
        path: The folder.
        key: The user's secret.
        name: The cache's.
        now: Monotonic seconds.

    Returns:
        As `save_index` was given them: the rows, the seal and the highest number.

    Raises:
        MembudgetError: It was not written by this user's processes, or changed since.
        OSError: The disk.
    """
    index = os.path.join(path, INDEX)
    written = read_own(index, _LONGEST)
    if written is None:
        return None
    os.unlink(index)
    seal = Seal(key, name, written[:GENERATION_BYTES])
    text = seal.unseal(0, written[GENERATION_BYTES:])
    if text is None:
        raise MembudgetError(f"{index} was not written with this user's key")
    since = time.time() - now
    rows: OrderedDict[Hashable, Copy] = OrderedDict()
    try:
        shape, highest, known = pickle.loads(text)  # noqa: S301  # sealed by this user
        for one in known:
            value_key, (number, ends, dies, size, stored) = pickle.loads(one)  # noqa: S301
            rows[value_key] = Copy(
                ends=ends - since, dies=dies - since, size=size, bytes=stored, number=number
            )
    except Exception:  # noqa: BLE001  # whatever a changed program's keys raise: begin empty
        return None
    if _shape_of(path) != shape:
        raise MembudgetError(f"the database in {path} was changed since it was kept")
    return (rows, seal, highest) if rows else None


def _shape_of(path: str) -> str:
    """The schema and the settings of the database, in one form.

    Raises:
        MembudgetError: It is not ours, or no database.
        OSError: It cannot be read.
    """
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
