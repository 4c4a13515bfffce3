"""Database connections that their owner lets be asked: how, and under which lock."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

import membudget
from membudget.errors import ConfigError
from membudget.reclaimers.adopted.connection import same_limit
from membudget.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """One that other threads may use."""
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as made:
        yield made


def test_sqlite_lets_go_of_its_pages_under_the_owners_lock(
    connection: sqlite3.Connection,
) -> None:
    """The pragma is executed on the governor's thread, while nobody else uses the connection."""
    said: list[str] = []
    connection.set_trace_callback(said.append)
    registry, lock = Registry(), threading.Lock()
    end = membudget.adopt(connection, "orders", lock=lock, registry=registry)
    (adopted,) = registry.reclaimers()
    assert (adopted.name, adopted.reclaimable()) == ("orders", None)
    thread = threading.Thread(target=adopted.reclaim, args=(1, 0.0))
    thread.start()
    thread.join()
    assert said == ["PRAGMA shrink_memory"]
    assert not lock.locked()
    assert adopted.reclaimable() == 0, "asked again after a pause"
    end()
    del adopted
    assert registry.reclaimers() == []


def test_a_connection_in_use_is_asked_later(connection: sqlite3.Connection) -> None:
    """Its lock is waited for a moment only."""
    said: list[str] = []
    connection.set_trace_callback(said.append)
    registry, lock = Registry(), threading.Lock()
    membudget.adopt(connection, lock=lock, registry=registry)
    (adopted,) = registry.reclaimers()
    with lock:
        assert adopted.reclaim(1, 0.0) == 0
    assert said == []


def test_a_sqlite_connection_without_a_lock_is_refused(connection: sqlite3.Connection) -> None:
    """Or one that should be kept to a bound; the error says what would do."""
    with pytest.raises(ConfigError, match="check_same_thread=False and give lock="):
        membudget.adopt(connection, "orders")
    with pytest.raises(ConfigError, match="orders is a Connection, which cannot be kept to a"):
        membudget.adopt(connection, "orders", lock=threading.Lock(), max_bytes="5MiB")


@pytest.mark.parametrize(
    ("told", "set_to"),
    [
        ("18.8 GiB", "18.85GiB"),
        ("953.6 MiB", "953.65MiB"),
        ("13.4GB", "13.45GB"),
        ("512 bytes", "512bytes"),
        ("16383.9 PiB", "none"),
    ],
)
def test_duckdbs_limit_is_set_to_what_it_is(told: str, set_to: str) -> None:
    """It tells one digit and cuts the rest; set to that, it would sink each time."""
    assert same_limit(told) == set_to


def test_duckdb_gives_back_beside_its_limit() -> None:
    """On another thread, and the limit is as it was."""
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    registry = Registry()
    with duckdb.connect() as database:
        database.execute("SET memory_limit = '600MB'")
        ask = "SELECT current_setting('memory_limit')"
        before = database.execute(ask).fetchall()
        end = membudget.adopt(database, "warehouse", registry=registry)
        (adopted,) = registry.reclaimers()
        for _ in range(3):
            thread = threading.Thread(target=adopted.reclaim, args=(1, 0.0))
            thread.start()
            thread.join()
        assert database.execute(ask).fetchall() == before
        end()
