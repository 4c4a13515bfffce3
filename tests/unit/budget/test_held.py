"""What the library's own caches and containers hold, as roots of a census."""

import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import membudget
from fakes import FakeClock
from membudget.cache import cache as cache_module
from membudget.cache.cache import PIECE, pieces_of
from membudget.cache.fallback import Table as PlainTable
from membudget.cache.table import IS_COMPILED
from membudget.core.native import in_one_go
from membudget.heap import Census
from membudget.heap.taker import CensusTaker
from membudget.inspection.roots import held_values
from membudget.leaks.culprit import ranking
from membudget.registry import Registry


def cached(registry: Registry, **settings: Any) -> membudget.Cache[int, Any]:
    """A cache that lets nothing go."""
    return membudget.Cache("sessions", max_entries=10_000, registry=registry, **settings)


def seen(registry: Registry) -> list[tuple[str, Any]]:
    return [(label, one) for label, some in held_values(registry) for one in some]


def looks(registry: Registry, grow: Callable[[], object], times: int = 4) -> list[Census]:
    """Censuses an hour apart of what the registry holds, with growth in between."""
    found: list[Census] = []
    for hour in range(times):
        before = found[-1] if found else None
        census = CensusTaker(before, only=[], extra=held_values(registry)).take()
        found.append(census.replace(at=hour * 3600.0))
        grow()
    return found


def test_a_list_in_a_cache_that_grows_is_named_by_the_cache(registry: Registry) -> None:
    """The cache has one entry for ever, and what lies in it is the leak."""
    cache = cached(registry)
    cache.set(1, rows := [bytes(1000) for _ in range(100)])

    def grow() -> None:
        rows.extend(bytes(1000) for _ in range(1000))

    found = in_one_go(ranking(looks(registry, grow), growth=1_000_000.0))
    assert (found[0].kind, found[0].name) == ("list", 'cache "sessions"')
    assert found[0].share == pytest.approx(1.0, abs=0.1)


class Session:
    def __init__(self) -> None:
        self.seen = list(range(100))


def test_an_attribute_of_a_cached_object_is_named_by_its_class(registry: Registry) -> None:
    cache = cached(registry)
    cache.set(1, session := Session())
    grown = looks(registry, lambda: session.seen.extend(range(1000, 2000)))
    found = in_one_go(ranking(grown))
    assert found[0].name == f"{__name__}.Session.seen"
    assert len(cache) == 1


def _orders(kind: type[Any], registry: Registry) -> tuple[Any, list[Any]]:
    one = kind("orders", registry=registry)
    items: list[Any] = [(number, (number, "order")) for number in range(600)]
    if kind is membudget.BoundedDict:
        one.update(dict(enumerate(items)))
    else:
        put = one.add if kind is membudget.BoundedSet else one.append
        for item in items:
            put(item)
    return one, items


@pytest.mark.parametrize("name", ["BoundedList", "BoundedDeque", "BoundedDict", "BoundedSet"])
def test_the_items_of_a_bounded_container_are_roots_and_the_container_is_none(
    registry: Registry, name: str
) -> None:
    """It fills up to its bound, and has told where that is."""
    one, items = _orders(getattr(membudget, name), registry)
    assert {label for label, _ in seen(registry)} == {f'{name} "orders"'}
    assert {id(item) for item in items} <= {id(value) for _, value in seen(registry)}
    census = CensusTaker(only=[], extra=held_values(registry)).take()
    assert not [
        found
        for kind, counts in census.counts.items()
        for found, count in counts.items()
        if kind != "type" and count >= 600
    ]
    assert vars(one)  # Whatever asked for its `__dict__`, which was not there before.
    assert {id(item) for item in items} <= {id(value) for _, value in seen(registry)}


def test_to_look_counts_as_no_hit_and_moves_nothing(registry: Registry) -> None:
    """Neither the figures nor the order of eviction tell that somebody looked."""
    cache = cached(registry, policy="lru", clock=FakeClock())
    for number in range(1000):
        cache.set(number, [number])
    figures, order = cache.stats(), cache.keys()
    assert len(seen(registry)) >= 1000
    assert cache.stats() == figures
    assert cache.keys() == order


def test_values_that_have_expired_and_are_still_held_are_looked_at(registry: Registry) -> None:
    clock = FakeClock()
    cache = cached(registry, ttl=10.0, clock=clock)
    cache.set(1, rows := [1])
    clock.time += 60.0
    assert cache.peek(1) is None
    assert any(value is rows for _, value in seen(registry))


def test_looking_goes_on_while_entries_come_and_go(registry: Registry) -> None:
    cache = cached(registry)
    stays = [[number] for number in range(500)]
    for number, one in enumerate(stays):
        cache.set(number, one)
    found: set[int] = set()
    number = 10_000
    for values in pieces_of(cache):
        found |= set(map(id, values))
        for _ in range(50):
            number += 1
            cache.set(number, [number])
            cache.delete(number - 25)
        assert number < 100_000
    assert {id(one) for one in stays} <= found


def _plain_pieces(count: int) -> Iterator[list[Any]]:
    table: Any = PlainTable(
        max_bytes=None,
        max_entries=10_000,
        ttl=None,
        idle=None,
        policy="gdsf",
        size=None,
        listens=False,
        registry=Registry(),
        now=None,
    )
    for number in range(count):
        table.set(number, [number])
    return pieces_of(table)


def test_the_plain_table_is_looked_at_in_pieces_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """No piece is longer than what may be looked at in one go."""
    monkeypatch.setattr(cache_module, "IS_COMPILED", False)
    pieces = list(_plain_pieces(1000))
    assert sorted(value[0] for piece in pieces for value in piece) == list(range(1000))
    assert max(map(len, pieces)) <= PIECE


@pytest.mark.skipif(not IS_COMPILED, reason="the table is not compiled here")
def test_a_piece_takes_its_references_and_gives_them_back(registry: Registry) -> None:
    cache: Any = cached(registry)
    cache.set(1, value := [1])
    before = sys.getrefcount(value)
    for _ in range(100):
        assert cache._some_values(0, 256) == ([[1]], None)
    assert sys.getrefcount(value) == before
    assert cache._some_values(5, 1) == ([], None)
    for start, count in ((-1, 5), (0, 0), (0, 1 << 20), (1 << 40, 5)):
        with pytest.raises(ValueError, match="_some_values takes"):
            cache._some_values(start, count)
    with pytest.raises(TypeError):
        cache._some_values(1)


class Stand:
    """Stands where a cache does, and says that it is one: a proxy."""

    name = "stand"

    def held_bytes(self) -> int:
        return 0

    @property  # type: ignore[misc]  # nobody is to set it
    def __class__(self) -> Any:
        return membudget.Cache


def test_a_holder_that_says_it_is_a_cache_is_not_looked_into(registry: Registry) -> None:
    """It is the program's own; those behind it are looked at all the same."""
    stand: Any = Stand()
    registry.add(stand)
    cache = cached(registry)
    cache.set(1, "one")
    assert seen(registry) == [('cache "sessions"', "one")]


def test_a_cache_that_waits_to_be_looked_at_may_go(registry: Registry) -> None:
    """A look takes minutes, and the program may have dropped it for its memory."""
    first, second = (
        membudget.Cache[int, Any](name, max_entries=10_000, registry=registry)
        for name in ("first", "second")
    )
    first.set(1, "one")
    second.set(1, "two")
    values = held_values(registry)
    label, _ = next(values)
    assert label == 'cache "first"'
    gone = weakref.ref(second)
    del second
    gc.collect()  # The plain table is part of a cycle.
    assert gone() is None
    assert "two" not in [one for _, some in values for one in some]
