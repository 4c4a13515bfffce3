"""Caches named by their owner, or found with their lock, and the search for them."""

import asyncio
import functools
import threading
import types
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import cachetools
import pytest

import membudget
from fakes import MIB, FakeClock
from membudget.errors import ConfigError
from membudget.reclaimers.adopted import AdoptedCache
from membudget.reclaimers.found import FoundCaches, Search, _matcher
from membudget.reclaimers.names import FIRST, NamedCaches
from membudget.registry import Registry
from watched_scene import LONG, VALUE, filled, pairs


@pytest.mark.parametrize(
    "make",
    [
        pairs,
        lambda: OrderedDict(pairs()),
        lambda: filled(cachetools.LRUCache(10_000)),
        lambda: filled(cachetools.TTLCache(10_000, ttl=60)),
    ],
)
def test_the_oldest_entries_of_a_mapping_go(make: Any) -> None:
    cache = make()
    freed = AdoptedCache("cache", lambda: cache).reclaim(500_000, LONG)
    assert 500_000 <= freed <= 600_000
    assert 400 <= len(cache) <= 600
    assert 999 in cache
    assert 0 not in cache


def test_entries_that_weigh_nothing_take_their_place() -> None:
    cache = dict.fromkeys(range(250))
    freed = AdoptedCache("cache", lambda: cache).reclaim(2000, LONG)
    assert freed >= 2000
    assert len(cache) > 180


def test_a_mapping_of_the_programs_own_is_weighed_by_what_it_gives() -> None:
    """Entries that are linked to each other tell little from outside."""

    class Linked:
        def __init__(self) -> None:
            self.last: Any = None
            self.length = 1000
            for pair in pairs().items():
                self.last = [self.last, *pair]

        def __len__(self) -> int:
            return self.length

        def popitem(self) -> tuple[int, str]:
            self.last, key, value = self.last
            self.length -= 1
            return key, value

    cache = Linked()
    freed = AdoptedCache("cache", lambda: cache).reclaim(500_000, LONG)
    assert 500_000 <= freed <= 600_000
    assert 400 <= len(cache) <= 600


def test_what_could_be_had_is_told_only_where_it_is_known() -> None:
    there: list[Any] = [None]
    adopted = AdoptedCache("cache", lambda: there[0])
    assert adopted.reclaimable() == 0
    there[0] = {}
    assert adopted.reclaimable() == 0
    there[0] = functools.partial(print)  # It does not say how many it has.
    assert adopted.reclaimable() is None
    there[0] = pairs()
    assert adopted.reclaimable() is None
    adopted.reclaim(10_000, LONG)
    left: Any = adopted.reclaimable()
    assert 900_000 < left < 1_500_000


def test_a_lock_in_use_keeps_the_cache_whole() -> None:
    cache, lock = pairs(), threading.Lock()
    adopted = AdoptedCache("cache", lambda: cache, lock)
    with lock:
        assert adopted.reclaim(MIB, LONG) == 0
    assert len(cache) == 1000
    assert adopted.reclaim(MIB, LONG) > 0
    assert not lock.locked()


def test_the_lock_is_given_back_when_the_cache_raises() -> None:
    class Broken(dict[int, str]):
        def pop(self, *_: Any) -> Any:
            raise RuntimeError("broken")

    lock = threading.Lock()
    cache = Broken(pairs())
    with pytest.raises(RuntimeError):
        AdoptedCache("cache", lambda: cache, lock).reclaim(MIB, LONG)
    assert not lock.locked()


def test_adopting_by_hand_lasts_until_it_is_ended() -> None:
    registry, cache = Registry(), pairs()
    end = membudget.adopt(cache, "prices", registry=registry)
    (adopted,) = registry.reclaimers()
    assert adopted.name == "prices"
    assert adopted.reclaim(MIB // 2, LONG) > 0
    end()
    del adopted
    assert registry.reclaimers() == []


def test_an_asyncio_lock_is_refused() -> None:
    """It cannot be had from the governor's thread."""
    with pytest.raises(ConfigError, match="give a threading"):
        membudget.adopt({}, "it", lock=asyncio.Lock())


@pytest.mark.parametrize("value", [[1], {1}, "text", 7])
def test_what_is_no_cache_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="cannot be shrunk as a cache: adopt a dict"):
        membudget.adopt(value, "it")


def test_a_lock_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="give a threading"):
        membudget.adopt({}, "it", lock=object())


@pytest.fixture
def program() -> Iterator[types.ModuleType]:
    import sys

    module = types.ModuleType("adopted_program")
    lock = threading.RLock()
    module.LOCK = lock  # type: ignore[attr-defined]
    module.BARE = filled(cachetools.LRUCache(10_000))  # type: ignore[attr-defined]
    module.PLAIN = pairs()  # type: ignore[attr-defined]

    @cachetools.cached(cachetools.LRUCache(10_000), lock=lock)
    def locked(number: int) -> str:
        return VALUE + str(number)

    @cachetools.cached(cachetools.LRUCache(10_000))
    def unlocked(number: int) -> str:
        return VALUE + str(number)

    @functools.cache
    def early(number: int) -> str:
        return VALUE + str(number)

    class Service:
        @staticmethod
        @functools.cache
        def inside(number: int) -> str:
            return VALUE + str(number)

    Service.__module__ = module.__name__
    for number in range(1000):
        for one in (locked, unlocked, early, Service.inside):
            one(number)
    module.locked, module.unlocked, module.early = locked, unlocked, early  # type: ignore[attr-defined]
    module.Service = Service  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def searched(**options: Any) -> tuple[Search, FoundCaches, Registry]:
    clock, registry = FakeClock(), Registry()
    found = FoundCaches(lambda: None, now=clock.now)
    search = Search(found, registry, clock, **options)
    clock.advance(FIRST)
    search.run(LONG)
    return search, found, registry


def test_earlier_functools_caches_are_found_from_modules_and_classes(
    program: types.ModuleType,
) -> None:
    _, found, _ = searched()
    names = {one.name for one in found.contents() if "program" in one.name}
    assert {name.rpartition(".")[2] for name in names} >= {"early", "inside"}
    before = program.early.cache_info().currsize
    found.reclaim(10 * MIB, LONG)
    assert program.early.cache_info().currsize < before


def test_a_cachetools_cache_is_shrunk_under_its_own_lock_only(program: types.ModuleType) -> None:
    """The decorated one tells its lock; the others are listed with the reason and left alone."""
    search, _, registry = searched()
    (adopted,) = [one for one in registry.reclaimers() if "locked" in one.name]
    assert adopted.name == "adopted_program:locked"
    assert adopted.reclaim(MIB // 2, LONG) > 0
    assert len(program.locked.cache) < 700
    untouched = {one.name: one for one in search.untouched if "adopted_program" in one.name}
    assert set(untouched) == {"adopted_program:BARE", "adopted_program:unlocked"}
    assert "--adopt adopted_program:BARE" in untouched["adopted_program:BARE"].why
    assert len(program.BARE) == len(program.unlocked.cache) == 1000


def test_what_the_owner_names_is_shrunk(program: types.ModuleType) -> None:
    search, _, registry = searched(named=("adopted_program:BARE", "adopted_program:PLAIN"))
    for one in registry.reclaimers():
        if one.name in ("adopted_program:BARE", "adopted_program:PLAIN"):
            one.reclaim(MIB // 2, LONG)
    assert len(program.BARE) < 700
    assert len(program.PLAIN) < 700
    assert "adopted_program:BARE" not in {one.name for one in search.untouched}


def test_looking_at_a_cache_expires_nothing(program: types.ModuleType) -> None:
    """A TTLCache's own length changes it, and we may be without its lock."""
    clock = FakeClock()
    cache: Any = cachetools.TTLCache(100, ttl=10, timer=clock.now)
    cache["old"] = 1
    vars(program)["BARE"] = cache
    clock.advance(20)
    search, _, _ = searched(named=("adopted_program:PLAIN",))
    (bare,) = [one for one in search.untouched if one.name == "adopted_program:BARE"]
    assert bare.entries == 1
    assert AdoptedCache("bare", lambda: cache).entries == 1
    assert cachetools.Cache.__len__(cache) == 1


def test_a_dead_cache_leaves_nothing_in_the_register() -> None:
    registry = Registry()
    for _ in range(100):
        membudget.adopt(filled(cachetools.LRUCache(10_000)), "it", registry=registry)
    assert registry.reclaimers() == []


def test_sparing_by_name_holds_for_both_kinds_of_names() -> None:
    """Functions are told as module.NAME, caches as module:NAME; one pattern is meant for both."""
    spares = _matcher(("app.*",))
    assert spares("app.load")
    assert spares("app:PRICES")
    assert not spares("other:PRICES")


def test_a_name_that_is_not_there_yet_waits() -> None:
    """Nothing is imported for it, nothing fails, and it can be told apart."""
    search, _, _ = searched(named=("not_yet:CACHE",))
    assert search.named[0].reclaimable() == 0
    assert search.named[0].entries is None


def told_of(*names: str, seconds: float = FIRST) -> list[str]:
    """What was said of these names after so many seconds, looked at as often as is due."""
    clock, registry = FakeClock(), Registry()
    named = NamedCaches(names, registry.note, clock.now)
    assert not named.due(clock.now())
    for _ in range(int(seconds // FIRST)):
        clock.advance(FIRST)
        if named.due(clock.now()):
            named.run(LONG)
    return list(registry.untold)


def test_names_that_cannot_be_caches_are_told_once(program: types.ModuleType) -> None:
    """With the reason, and with what is there instead."""
    program.NUMBER = 5  # type: ignore[attr-defined]
    names = ("adopted_program:NUMBER", "adopted_program:BAER", "adopted_program:Service.other")
    number, bare, other = told_of(*names, seconds=10 * FIRST)
    assert "adopted_program:NUMBER" in number
    assert "it is of type int: name a dict" in number
    assert "adopted_program has no BAER so far: it has " in bare
    assert "BARE" in bare
    assert "has no Service.other so far" in other


def test_of_names_that_are_caches_nothing_is_told(program: types.ModuleType) -> None:
    names = ("BARE", "PLAIN", "locked", "early", "Service.inside")
    assert not told_of(*(f"adopted_program:{name}" for name in names), seconds=100.0)


def test_names_that_may_yet_come_are_waited_for(program: types.ModuleType) -> None:
    """What is None so far, in a module that is being loaded, or in none yet; for a minute."""
    program.LATER = None  # type: ignore[attr-defined]
    program.__spec__ = types.SimpleNamespace(_initializing=True)  # type: ignore[assignment]
    names = ("adopted_program:LATER", "adopted_program:NEXT", "not_yet:CACHE", "__main__:none")
    assert not told_of(*names)
    late = told_of(*names, seconds=100.0)
    assert [one.split()[1] for one in late] == list(names[1:])
    assert "no module not_yet is loaded" in late[1]


def test_a_search_goes_on_where_its_slice_ended() -> None:
    """A slice of no time at all makes some way each time, and the search ends."""
    clock = FakeClock()
    search = Search(FoundCaches(lambda: None), Registry(), clock)
    assert not search.due(clock.now())
    clock.advance(FIRST)
    slices = 0
    while search.due(clock.now()):
        search.run(clock.now())
        slices += 1
    assert slices > 10


def test_a_name_in_the_caches_place_is_told() -> None:
    with pytest.raises(ConfigError, match="prices is a text: give the cache, then its name"):
        membudget.adopt("prices", {})  # type: ignore[arg-type]
