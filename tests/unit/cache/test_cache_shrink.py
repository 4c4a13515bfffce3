"""Shrinking by hand, and giving memory back to the system."""

import gc
import time
from typing import Any

import pytest

from cache_oracle import check
from commands import lines_of
from fakes import FakeClock, Ticking
from membudget.cache.cache import Cache
from membudget.cache.table import IS_COMPILED
from membudget.cache.upkeep import GiveBack
from membudget.core import Meter, Reclaimer, Rung
from membudget.errors import ConfigError
from membudget.registry import Registry

MIB = 1 << 20


def filled(name: str, registry: Registry, count: int, **options: Any) -> Cache[int, bytes]:
    cache: Cache[int, bytes] = Cache(name, max_bytes="1GiB", registry=registry, **options)
    for number in range(count):
        cache.set(number, bytes(1000))
    return cache


@pytest.mark.parametrize("gives_back", [False, True])
def test_a_shrink_tells_what_came_of_it(gives_back: bool) -> None:  # noqa: FBT001  # a parameter
    """At least so many bytes, by the weights; and what the process shrank by, as it measures."""
    registry = Registry()
    registry.meter = Meter()
    cache = filled("shrunk", registry, 2_000)
    before = cache.held_bytes()
    shrunk = cache.shrink("1MiB", give_back=gives_back)
    assert MIB <= shrunk.freed == before - cache.held_bytes()
    assert shrunk.entries == 2_000 - len(cache)
    assert shrunk.measured == 0
    assert 0 <= shrunk.took < 60
    assert cache.stats().evictions["pressure"] == shrunk.entries
    check(cache)


def test_without_a_budget_the_process_itself_is_measured() -> None:
    """Blocks so large leave a fresh process at once, whatever malloc is set to."""
    (line,) = lines_of(
        "from membudget.cache.cache import Cache\n"
        "cache = Cache('large', max_bytes='1GiB')\n"
        "for number in range(3): cache.set(number, b'x' * ((40 << 20) + number))\n"
        "shrunk = cache.shrink(30 << 20)\n"
        "print(shrunk.freed, shrunk.measured)\n"
    )
    freed, measured = map(int, line.split())
    assert 40 * MIB <= freed < 41 * MIB
    assert measured > 30 * MIB


def test_a_size_that_is_none_is_refused() -> None:
    cache = filled("kept", Registry(), 10)
    for size in (0, -5, "5", None):
        with pytest.raises(ConfigError):
            cache.shrink(size)  # type: ignore[arg-type]  # what is tested
    assert len(cache) == 10


def test_memory_is_given_back_by_the_caches_that_serve_least() -> None:
    registry = Registry()
    used, idle = filled("used", registry, 3_000), filled("idle", registry, 5_000)
    for key in (*range(3_000), *range(3_000)):
        used.get(key)
    reclaimer = GiveBack(registry)
    assert isinstance(reclaimer, Reclaimer)
    assert reclaimer.rung is Rung.AGGRESSIVE
    before = reclaimer.reclaimable()
    assert before == used.held_bytes() + idle.held_bytes()
    freed = reclaimer.reclaim(MIB, time.monotonic() + 60)
    assert freed >= MIB
    assert reclaimer.reclaimable() == before - freed
    if IS_COMPILED:
        assert len(used) > 2_000


FILLED = """
import time
from membudget.cache.cache import Cache
from membudget.cache.upkeep import GiveBack
from membudget.probes.process import process_probe
from membudget.registry import Registry

registry = Registry()
caches = [Cache(name, max_bytes="1GiB", registry=registry) for name in NAMES]
for number in range(15_000):
    for cache in caches:
        cache.set(number, [f"{number:0>{50 + part}}" for part in range(16)])
probe = process_probe()
before = probe().used
print(GiveBack(registry).reclaim(WANTED, time.monotonic() + 60), before - probe().used)
"""
"""In a process of its own: what other tests left lies in the same arenas."""


def given_back(wanted: int, *names: str) -> tuple[int, int]:
    """The bytes that caches of these names, filled together, let go of, and those that went."""
    program = FILLED.replace("NAMES", repr(names)).replace("WANTED", str(wanted))
    (line,) = lines_of(program)
    freed, fell = map(int, line.split())
    return freed, fell


@pytest.mark.skipif(not IS_COMPILED, reason="the plain table looks through nothing")
def test_caches_filled_at_the_same_time_give_back_what_they_share() -> None:
    """In one arena lie entries of both; what one lets go of alone gives nothing back."""
    wanted = 16 * MIB
    freed, fell = given_back(wanted, "one", "other")
    assert wanted <= freed < 2 * wanted
    assert fell > wanted // 2


@pytest.mark.skipif(not IS_COMPILED, reason="the plain table looks through nothing")
def test_an_arena_goes_whole_however_little_is_asked_for() -> None:
    """What is left in it would keep all of it."""
    freed, _ = given_back(1000, "small")
    assert MIB // 4 < freed < 2 * MIB


@pytest.mark.skipif(not IS_COMPILED, reason="the plain table looks through nothing")
@pytest.mark.parametrize("policy", ["gdsf", "s3fifo"])
def test_what_is_asked_for_is_spared_though_it_lies_in_front(policy: Any) -> None:
    """The arenas that go are those whose entries serve least."""
    cache: Cache[int, list[str]] = Cache(
        "small", max_bytes="1GiB", policy=policy, registry=Registry()
    )
    for number in range(12_000):
        cache.set(number, [f"{number:0>{50 + part}}" for part in range(16)])
    asked = range(6000)
    for key in (*asked, *asked, *asked):
        cache.get(key)
    assert cache.shrink("3MiB", give_back=True).freed >= 3 * MIB
    assert sum(key in cache for key in asked) > 5_200


def test_all_caches_give_back_where_one_is_not_enough() -> None:
    registry = Registry()
    caches = [filled(str(number), registry, 100 * number) for number in (1, 2, 3)]
    reclaimer = GiveBack(registry)
    held = reclaimer.reclaimable()
    assert reclaimer.reclaim(1 << 40, time.monotonic() + 60) == held
    assert [len(cache) for cache in caches] == [0, 0, 0]
    assert reclaimer.reclaimable() == reclaimer.reclaim(1, time.monotonic() + 60) == 0


def test_giving_back_goes_on_where_time_ran_out() -> None:
    registry = Registry()
    cache = filled("sliced", registry, 20_000)
    reclaimer = GiveBack(registry)
    target, slices = cache.held_bytes() // 2, 0
    assert reclaimer.reclaim(target, time.monotonic() - 1) == 0
    while target > 0 and slices < 10_000:
        target -= reclaimer.reclaim(target, time.monotonic() + 0.002)
        slices += 1
    assert target <= 0
    assert 0 < len(cache) < 12_000
    check(cache)


@pytest.mark.skipif(not IS_COMPILED, reason="the plain table looks through nothing")
def test_a_cache_that_is_still_looked_through_is_under_way() -> None:
    """Or whoever asks would take it for one that has nothing; and the newest target counts."""
    registry = Registry()
    cache = filled("looked through", registry, 20_000)
    clock = Ticking(time.monotonic())
    reclaimer = GiveBack(registry, clock)
    told = [reclaimer.is_under_way]
    assert reclaimer.reclaim(10 * MIB, clock.time + 0.01) == 0
    told.append(reclaimer.is_under_way)
    freed = reclaimer.reclaim(MIB, clock.time + 60)
    assert MIB <= freed < 5 * MIB
    told.append(reclaimer.is_under_way)
    assert told == [False, True, False]
    check(cache)


def test_what_was_chosen_for_more_is_not_all_let_go() -> None:
    """Others have let go meanwhile, or the pressure has gone and come again: little is wanted."""
    registry, clock = Registry(), Ticking()
    cache = filled("chosen", registry, 60_000, clock=clock)
    reclaimer = GiveBack(registry, clock)
    before, wanted = cache.held_bytes(), cache.held_bytes() * 3 // 4
    while not reclaimer.reclaim(wanted, clock.time + 0.02):
        pass
    told = [reclaimer.is_under_way]
    assert reclaimer.has_chosen is IS_COMPILED
    held = cache.held_bytes()
    assert before - held < before // 4
    freed = reclaimer.reclaim(100_000, clock.time + 60)
    assert 100_000 <= freed < 5 * MIB
    told.append(reclaimer.is_under_way)
    assert told == [True, False]
    assert not reclaimer.has_chosen
    check(cache)


def test_giving_back_knows_however_many_places_values_lie_in() -> None:
    cache: Cache[int, bytes] = Cache("scattered", max_bytes="1GiB", registry=Registry())
    for number in range(3_000):
        cache.set(number, bytes(300_000))  # Never written to, so that they take no memory.
    before = cache.held_bytes()
    freed = cache.shrink(before // 2, give_back=True).freed
    assert before // 2 <= freed < before * 3 // 4
    check(cache)


def test_what_took_the_place_of_what_was_chosen_leaves_in_the_order_of_the_cache() -> None:
    registry, clock = Registry(), Ticking()
    cache = filled("renewed", registry, 60_000, policy="lru", clock=clock)
    reclaimer = GiveBack(registry, clock)
    while not reclaimer.reclaim(cache.held_bytes() * 3 // 4, clock.time + 0.02):
        pass
    for number in list(cache):
        cache.delete(number)
        cache.set(number + 60_000, bytes(1000))
    before = cache.keys()
    assert reclaimer.reclaim(100_000, clock.time + 60) >= 100_000
    assert cache.keys() == before[-len(cache) :]
    assert len(before) - 300 < len(cache) < len(before)


def test_giving_back_keeps_no_cache_alive() -> None:
    registry = Registry()
    cache = filled("dropped", registry, 20_000)
    reclaimer = GiveBack(registry)
    reclaimer.reclaim(10 * MIB, time.monotonic() + 0.001)
    del cache
    gc.collect()
    assert registry.holders() == []
    assert reclaimer.reclaim(MIB, time.monotonic() + 1) == 0


class Lying(Cache[int, bytes]):
    """A cache that knows where its entries lie: half of what is asked for lies together."""

    __slots__ = ("looked", "together")

    looked: list[int]
    together: int

    def _plan_arenas(self, start: int, count: int) -> int | None:
        self.looked.append(start)
        return start + count if start < 2 * count else None

    def _choose_arenas(self, target: int, *_: object) -> int:
        self.together = 0
        return target // 2

    def _evict_arenas(self, most: int) -> Any:
        freed, gone = self._evict(most, "pressure")
        self.together += freed
        return freed, gone


def lying(registry: Registry, clock: FakeClock | None = None) -> Lying:
    cache = Lying("lying", max_bytes="1GiB", registry=registry, clock=clock)
    cache.looked = []
    for number in range(20_000):
        cache.set(number, bytes(1000))
    return cache


def test_what_lies_together_is_let_go_together() -> None:
    """After a look at where everything lies; the rest goes in the cache's own order."""
    cache = lying(Registry())
    shrunk = cache.shrink("4MiB", give_back=True)
    assert len(cache.looked) == 3
    assert 2 * MIB <= cache.together < 3 * MIB
    assert 4 * MIB <= shrunk.freed < 5 * MIB


def test_a_look_at_where_all_lies_goes_on_where_time_ran_out() -> None:
    """It is not begun anew in each slice, and nothing is let go before its end."""
    clock = Ticking()
    registry = Registry()
    cache = lying(registry, clock)
    reclaimer = GiveBack(registry, clock)
    assert reclaimer.reclaim(4 * MIB, clock.time + 0.004) == 0
    freed = slices = 0
    while freed < 4 * MIB and slices < 1_000:
        freed += reclaimer.reclaim(4 * MIB - freed, clock.time + 0.004)
        slices += 1
    assert freed >= 4 * MIB
    assert slices > 1
    assert len(set(cache.looked)) == len(cache.looked) == 3


def test_what_is_given_back_is_at_least_what_was_asked_however_it_lies() -> None:
    """Values lie scattered among others: what is missing goes in the order of the cache."""
    others = [bytes(1000) for _ in range(20_000)]
    del others[::2]
    for turn in range(60):
        cache = filled("scattered", Registry(), 2_000)
        assert cache.shrink("1MiB", give_back=True).freed >= MIB
        others += [bytes(1000) for _ in range(turn * 37)][::3]
