"""Database connections whose owner lets a budget ask them for what they hold free.

DuckDB flushes its allocator when its limit is set, be it to what it is: 490 of 680 MiB came back
after a query, in 21 ms, on any thread and beside a query under way. SQLite lets go of its page
cache by a pragma, on the one thread that may use the connection, or under its owner's lock.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from membudget.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

LOCK_PATIENCE = 0.02
"""Seconds to wait for the owner's lock; a connection in use is asked again later."""


def release_of(connection: Any, name: str, lock: Any) -> Callable[[Any], object] | None:
    """What has a connection give back, given itself; None for what is no connection.

    Args:
        connection: Perhaps one.
        name: What it is called.
        lock: What its owner holds while using it, or None.

    Raises:
        ConfigError: A SQLite connection that another thread cannot use.
    """
    duckdb, sqlite = (sys.modules.get(module) for module in ("duckdb", "sqlite3"))
    if duckdb is not None and isinstance(connection, duckdb.DuckDBPyConnection):
        release = _flush_duckdb
    elif sqlite is not None and isinstance(connection, sqlite.Connection):
        if lock is None:
            raise ConfigError(
                f"{name} is a SQLite connection, which another thread may use only under a lock: "
                "connect with check_same_thread=False and give lock=, or have a callback of yours "
                "execute PRAGMA shrink_memory on its thread"
            )
        release = _shrink_sqlite
    else:
        return None

    def locked(connection: Any) -> None:
        if lock is None:
            release(connection)
        elif lock.acquire(timeout=LOCK_PATIENCE):
            try:
                release(connection)
            finally:
                lock.release()

    return locked


def _shrink_sqlite(connection: Any) -> None:
    connection.execute("PRAGMA shrink_memory")


def _flush_duckdb(connection: Any) -> None:
    cursor = connection.cursor()  # Of its own for this thread.
    try:
        ((told,),) = cursor.execute("SELECT current_setting('memory_limit')").fetchall()
        cursor.execute(f"SET memory_limit = '{same_limit(told)}'")
    finally:
        cursor.close()


def same_limit(told: str) -> str:
    """The limit that DuckDB tells as this: it cuts after a digit, and set so it would sink."""
    unit = told.lstrip("0123456789.")
    number, unit = told.removesuffix(unit), unit.strip()
    if unit[:1] in {"P", "E"}:
        return "none"
    return f"{number}5{unit}" if "." in number else f"{number}{unit}"
