"""`membudget.adopt`: a cache is managed, its keys go on working; a connection is asked."""

import functools
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import cachetools
import pytest

import membudget
from beside import in_threads
from fakes import MIB, FakeClock, FakeMemory
from membudget.core import Marks
from membudget.errors import ConfigError
from membudget.governor import Governor
from membudget.reclaimers.adopted import LOOK_EVERY, AdoptedCache, same_limit
from membudget.registry import Registry
from membudget.sizing.foreign import BATCH
from watched_scene import LONG, VALUE, filled, pairs


def adopted(cache: Any, **options: Any) -> tuple[Any, Registry]:
    registry = Registry()
    membudget.adopt(cache, "cache", registry=registry, **options)
    (one,) = registry.reclaimers()
    return one, registry


@pytest.mark.parametrize(
    "make", [pairs, lambda: OrderedDict(pairs()), lambda: filled(cachetools.LRUCache(100_000))]
)
def test_a_bound_is_kept_and_the_oldest_go(make: Callable[[], Any]) -> None:
    cache = make()
    one, registry = adopted(cache, max_items=400)
    assert registry.chores() == [one]
    freed = one.run(LONG)
    assert set(cache) == set(range(600, 1000))
    assert cache[999] == VALUE + "999"
    assert one.dropped == 600
    assert 600_000 < freed < 800_000
    cache["new"] = 1
    one.run(LONG)
    assert len(cache) == 400
    assert 600 not in cache
    assert "new" in cache


@pytest.mark.parametrize(
    "make",
    [
        pairs,
        lambda: filled(cachetools.LRUCache(100_000)),
        lambda: filled(cachetools.TTLCache(100_000, ttl=60)),
    ],
)
def test_a_bound_in_bytes_is_kept_as_estimated(make: Callable[[], Any]) -> None:
    cache = make()
    one, _ = adopted(cache, max_bytes="500KiB")
    one.run(LONG)
    assert one.held <= 512_000
    assert 350 < len(cache) < 480
    assert sum(map(membudget.size_of, cache.values())) == pytest.approx(one.held, rel=0.2)


def test_looking_at_a_cache_within_its_bound_expires_nothing() -> None:
    """A TTLCache's own length changes it, and nothing is taken out yet."""
    clock = FakeClock()
    cache: Any = cachetools.TTLCache(100, ttl=10, timer=clock.now)
    cache["old"] = 1
    one, _ = adopted(cache, max_items=5, max_bytes="1MiB")
    clock.advance(20)
    one.run(LONG)
    assert cachetools.Cache.__len__(cache) == 1


def test_below_its_bound_nothing_goes() -> None:
    cache = pairs()
    one, _ = adopted(cache, max_items=1000, max_bytes="10MiB")
    assert one.run(LONG) == 0
    assert len(cache) == 1000


def test_with_a_bound_it_is_still_asked_under_pressure() -> None:
    cache = pairs()
    one, _ = adopted(cache, max_items=5000)
    assert one.reclaim(500_000, LONG) >= 500_000
    assert len(cache) < 600
    assert 999 in cache


def test_without_a_bound_there_is_no_upkeep() -> None:
    cache = pairs()
    one, _ = adopted(cache)
    assert not one.due(0.0)
    assert one.run(LONG) == 0
    assert len(cache) == 1000


def test_it_is_no_holder() -> None:
    """Inserting threads are not made to give up what nobody inserts through us."""
    _, registry = adopted(pairs(), max_items=5)
    assert registry.holders() == []


def test_a_look_that_runs_out_of_time_goes_on_at_the_next_step() -> None:
    clock, cache = FakeClock(), pairs(10 * BATCH)
    one = AdoptedCache("it", lambda: cache, max_items=10, max_bytes=None, now=clock.now)
    one.run(clock.now())
    assert len(cache) == 9 * BATCH
    assert one.due(clock.now())
    while one.due(clock.now()):
        one.run(clock.now())
    assert len(cache) == 10
    clock.advance(LOOK_EVERY)
    assert one.due(clock.now())


def test_a_lock_in_use_is_waited_for_a_moment_only() -> None:
    """Then the bound is kept a second later, and finalizers run without the lock."""
    lock, cache = threading.Lock(), {}

    class Value:
        were_locked: list[bool] = []  # noqa: RUF012  # filled by instances

        def __del__(self) -> None:
            self.were_locked.append(lock.locked())

    for number in range(10):
        cache[number] = Value()
    one, _ = adopted(cache, max_items=5, lock=lock)
    with lock:
        one.run(LONG)
        assert len(cache) == 10
    one.run(LONG)
    assert len(cache) == 5
    assert Value.were_locked == [False] * 5
    assert not lock.locked()


def test_an_unbounded_functools_cache_can_be_kept_to_a_bound() -> None:
    """What went is computed anew; a bounded one keeps its own maxsize."""

    @functools.cache
    def text(number: int) -> str:
        return VALUE + str(number)

    @functools.lru_cache(maxsize=100)
    def bounded(number: int) -> str:
        return str(number)

    for number in range(100):
        text(number)
    one, _ = adopted(text, max_items=30)
    one.run(LONG)
    assert text.cache_info().currsize == 30
    assert text(0) == VALUE + "0"
    with pytest.raises(ConfigError, match="can only be cleared as a whole"):
        membudget.adopt(bounded, max_items=30)


@pytest.mark.parametrize(
    ("bounds", "why"),
    [
        ({"max_items": 0}, "max_items 0 of dict is not a count: give a whole number >= 1"),
        ({"max_items": True}, "max_items True of dict is not a count"),
        ({"max_bytes": "20"}, "max_bytes '20' has no unit"),
        ({"max_bytes": -1}, "max_bytes -1"),
    ],
)
def test_a_bound_that_is_none_is_refused(bounds: Any, why: str) -> None:
    registry = Registry()
    with pytest.raises(ConfigError, match=why):
        membudget.adopt({}, registry=registry, **bounds)
    assert registry.reclaimers() == []


def test_while_a_budget_runs_the_program_finds_its_bound_kept() -> None:
    clock, registry = FakeClock(), Registry()
    governor = Governor(FakeMemory(clock, used=MIB), Marks(), registry=registry, clock=clock)
    cache: dict[int, str] = {}
    end = membudget.adopt(cache, max_items=10, registry=registry)
    governor.start(thread=False)
    try:
        cache.update(pairs(20))
        governor.maintain()
        assert list(cache) == list(range(10, 20))
        end()
        cache.update(pairs(20))
        governor.maintain()
        assert len(cache) == 20
    finally:
        governor.stop()


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
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
    in_threads(functools.partial(adopted.reclaim, 1, 0.0))
    assert said == ["PRAGMA shrink_memory"]
    assert not lock.locked()
    assert adopted.reclaimable() == 0, "asked again after a pause"
    end()
    del adopted
    assert registry.reclaimers() == []


def test_a_connection_in_use_is_asked_later(connection: sqlite3.Connection) -> None:
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
            in_threads(lambda: adopted.reclaim(1, 0.0))
        assert database.execute(ask).fetchall() == before
        end()
