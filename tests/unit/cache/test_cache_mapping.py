"""The cache as a mapping, one value at a time and many: what is put in comes out."""

import gc
import sys
import weakref
from threading import Event, Thread
from typing import Any

import pytest

from fakes import FakeClock
from membudget.cache.cache import Cache
from membudget.cache.table import IS_COMPILED
from membudget.errors import ConfigError
from membudget.registry import REGISTRY, Registry
from membudget.sizing import size_of
from sizing_scene import registered


@pytest.fixture
def cache(registry: Registry, clock: FakeClock) -> Cache[str, Any]:
    """A cache of three values, "a" the longest unused."""
    made: Cache[str, Any] = Cache(
        "three", max_entries=3, policy="lru", registry=registry, clock=clock
    )
    for name, value in (("a", 1), ("b", 2), ("c", None)):
        made.set(name, value, size=50)
    return made


def test_what_is_set_is_found(cache: Cache[str, Any]) -> None:
    assert cache.get("a") == cache["a"] == cache.peek("a") == 1
    assert cache["c"] is None
    assert cache.get("c", "default") is None
    assert "c" in cache


def test_what_is_not_there_is_told_by_default_or_error(cache: Cache[str, Any]) -> None:
    assert cache.get("x") is None
    assert cache.get("x", 5) == cache.peek("x", 5) == cache.pop("x", 5) == 5
    assert "x" not in cache
    assert not cache.delete("x")
    for asking in (cache.__getitem__, cache.__delitem__, cache.pop):
        with pytest.raises(KeyError, match="x"):
            asking("x")


def test_arguments_may_be_named(cache: Cache[str, Any]) -> None:
    assert cache.get(key="a") == cache.get(default=5, key="a") == 1
    assert cache.get("x", default=5) == cache.get(default=5, key="x") == 5
    assert cache.peek("x", default=5) == cache.pop("x", default=5) == 5
    assert cache.peek(key="a") == cache.pop(key="a") == 1
    assert cache.set(value=2, key="a", size=50, ttl=None)
    assert cache.get("a") == 2
    wrong: list[dict[str, Any]] = [{}, {"default": 5}, {"key": "a", "none": 1}]
    for named in wrong:
        with pytest.raises(TypeError):
            cache.get(**named)


def test_what_is_taken_out_is_gone(cache: Cache[str, Any]) -> None:
    assert cache.pop("a") == 1
    assert cache.delete("b")
    del cache["c"]
    assert len(cache) == cache.held_bytes() == 0
    assert list(cache) == []


def test_a_value_set_again_replaces_the_old_one(cache: Cache[str, Any]) -> None:
    before = cache.held_bytes()
    cache["a"] = "x" * 1000
    assert cache.keys() == ["b", "c", "a"]
    assert before + 950 <= cache.held_bytes() < before + 1100


def test_a_read_makes_a_value_the_last_used(cache: Cache[str, Any]) -> None:
    cache.get("a")
    cache.set("d", 4)
    assert cache.keys() == ["c", "a", "d"]


def test_looking_changes_nothing(cache: Cache[str, Any], clock: FakeClock) -> None:
    timed: Cache[str, int] = Cache("timed", ttl=10, registry=Registry(), clock=clock)
    timed.set("old", 1)
    clock.advance(20)
    for one, key in ((cache, "a"), (timed, "old")):
        before = (one.stats(), one.keys())
        assert one.peek(key) == one.peek(key)
        assert (key in one) == (key in one.keys())  # noqa: SIM118  # both ways of asking
        assert (len(list(one)), len(one.values()), len(one.items())) == (len(one.keys()),) * 3
        assert one.reclaimable() == one.held_bytes()
        assert repr(one)
        assert (one.stats(), one.keys()) == before
    assert len(timed) == 1


def test_iteration_is_over_a_snapshot(cache: Cache[str, Any]) -> None:
    for key in cache:
        cache.delete(key)
    assert len(cache) == 0
    assert cache.keys() == cache.values() == cache.items() == []


def test_clear_forgets_everything(cache: Cache[str, Any]) -> None:
    cache.clear()
    assert len(cache) == cache.held_bytes() == 0
    cache.set("a", 7)
    assert cache.items() == [("a", 7)]


@pytest.mark.usefixtures("uncollected")
def test_a_cleared_cache_lets_go_of_its_values() -> None:
    """At once, not at the next garbage collection, and so does one that is dropped."""

    class Value:
        pass

    cache: Cache[int, Value] = Cache("held", max_entries=5_000, registry=Registry())
    seen = []
    for again in range(2):
        for number in range(3_000):
            value = Value()
            seen.append(weakref.ref(value))
            cache.set(number, value, ttl=60 + again)
        del value
        if not again:
            cache.clear()
    assert sum(ref() is not None for ref in seen) == 3_000
    del cache
    assert not any(ref() is not None for ref in seen)


def test_a_cache_in_a_circle_is_collected() -> None:
    cache: Cache[str, Any] = Cache("circle", registry=Registry())
    cache.set("self", cache)
    ref = weakref.ref(cache)
    del cache
    gc.collect()
    assert ref() is None


def test_a_cache_registers_itself() -> None:
    cache: Cache[str, int] = Cache("mine")
    assert cache in REGISTRY.holders()
    assert cache in REGISTRY.reclaimers()
    cache.set("a", 1)
    assert REGISTRY.held_bytes() == cache.held_bytes() > 0


def test_the_statistics_count_what_happened(cache: Cache[str, Any], clock: FakeClock) -> None:
    cache.get("a")
    cache.get("x")
    assert "a" in cache
    cache.peek("a")
    cache.pop("b")
    cache.set("d", 4)
    cache.set("e", 5)
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.hit_rate, stats.sets) == (1, 1, 0.5, 5)
    assert dict(stats.evictions) == {"bytes": 0, "entries": 1, "pressure": 0, "share": 0}
    assert (stats.entries, stats.bytes, stats.max_entries) == (3, cache.held_bytes(), 3)
    assert stats.bytes_evicted == 50 + size_of("c") + Cache.ENTRY_BYTES
    assert stats.name == "three"


def test_the_oldest_age_is_that_of_the_longest_unused(registry: Registry, clock: FakeClock) -> None:
    cache: Cache[str, int] = Cache("ages", policy="lru", registry=registry, clock=clock)
    assert cache.stats().oldest_age is None
    cache.set("a", 1)
    clock.advance(5)
    cache.set("b", 1)
    assert cache.stats().oldest_age == 5
    cache.get("a")
    assert cache.stats().oldest_age == 0


def test_a_byte_of_a_used_cache_is_worth_more(registry: Registry) -> None:
    """By recent hits: those of long ago fade with every thousand sets."""
    used: Cache[int, int] = Cache("used", registry=registry)
    idle: Cache[int, int] = Cache("idle", registry=registry)
    for cache in (used, idle):
        cache.set(1, 1)
    for _ in range(1000):
        used.get(1)
    assert used.hits_per_byte() > idle.hits_per_byte() == 0.0
    before = used.hits_per_byte()
    for _ in range(5 * 1024):
        used.set(1, 1)
    assert 0 < used.hits_per_byte() < before / 20
    assert used.stats().hits == 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_bytes": 0}, "max_bytes 0 is not above zero"),
        ({"max_bytes": -5}, "max_bytes -5"),
        ({"max_bytes": "50"}, "has no unit"),
        ({"max_bytes": True}, "max_bytes True"),
        ({"max_bytes": 1.5}, "max_bytes 1.5"),
        ({"max_entries": 0}, "max_entries 0"),
        ({"max_entries": True}, "max_entries True"),
        ({"max_entries": "5"}, "max_entries '5'"),
        ({"ttl": 0}, "ttl 0"),
        ({"ttl": "5"}, "ttl '5' has no unit"),
        ({"ttl": float("inf")}, "ttl inf"),
        ({"idle": 0}, "idle 0"),
        ({"idle": "5"}, "idle '5' has no unit"),
        ({"policy": "lfu"}, "policy 'lfu' is not known: use one of gdsf, s3fifo, lru"),
        ({"name": ""}, "name ''"),
        ({"name": 5}, "name 5"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(options: dict[str, Any], message: str) -> None:
    registry = Registry()
    with pytest.raises(ConfigError, match=message):
        Cache(**{"name": "wrong", "registry": registry, **options})
    assert registry.holders() == []


@pytest.mark.parametrize(
    "options", [{"ttl": "5"}, {"ttl": -1}, {"size": -1}, {"size": "10"}, {"size": True}]
)
def test_a_set_with_wrong_arguments_changes_nothing(
    cache: Cache[str, Any], options: dict[str, Any]
) -> None:
    before = (cache.items(), cache.stats())
    with pytest.raises(ConfigError):
        cache.set("a", 5, **options)
    with pytest.raises(TypeError, match="unhashable"):
        cache.set([], 5)  # type: ignore[arg-type]  # what is tested
    assert (cache.items(), cache.stats()) == before


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ((), {}),
        (("a",), {}),
        ((), {"value": 1}),
        (("a",), {"ttl": 1}),
        (("a", 1), {"value": 1}),
        (("a", 1), {"none": 1}),
        (("a", 1, 2), {}),
    ],
)
def test_a_set_needs_a_key_and_a_value_once(
    cache: Cache[str, Any], given: tuple[Any, ...], named: dict[str, Any]
) -> None:
    with pytest.raises(TypeError):
        cache.set(*given, **named)
    assert cache.items() == [("a", 1), ("b", 2), ("c", None)]


@pytest.fixture
def many() -> Cache[Any, Any]:
    return Cache("many", max_bytes="10KiB", registry=Registry())


def test_many_are_set_from_a_mapping_or_from_pairs(many: Cache[Any, Any]) -> None:
    assert many.set_many({"a": 1, "b": 2}) == 2
    assert many.set_many([("c", 3), ("a", 9)]) == 2
    assert many.set_many([]) == 0
    assert many.get_many(["a", "x", "c", "y"]) == {"a": 9, "c": 3}
    stats = many.stats()
    assert (stats.hits, stats.misses, stats.sets) == (2, 2, 4)


def test_what_is_too_heavy_is_left_out(many: Cache[Any, Any]) -> None:
    assert many.set_many({"light": b"", "heavy": bytes(20_000)}) == 1
    assert many.keys() == ["light"]


def test_many_may_expire_together() -> None:
    clock = FakeClock()
    cache: Cache[int, int] = Cache("timed", registry=Registry(), clock=clock)
    cache.set_many({1: 1, 2: 2}, ttl="5s")
    cache.set(3, 3)
    clock.advance(5)
    assert cache.get_many([1, 2, 3]) == {3: 3}
    with pytest.raises(ConfigError, match="ttl"):
        cache.set_many({4: 4}, ttl="5")


def test_an_error_in_the_middle_keeps_what_came_before(many: Cache[Any, Any]) -> None:
    with pytest.raises(TypeError, match="unhashable"):
        many.set_many([("a", 1), ([], 2), ("b", 3)])
    assert many.items() == [("a", 1)]
    with pytest.raises(TypeError, match="unhashable"):
        many.get_many(["a", []])


@pytest.mark.skipif(not IS_COMPILED, reason="Python code is interrupted by itself")
@pytest.mark.parametrize("what", ["get", "set", "reweigh", "drop"])
def test_others_run_while_much_is_done_in_one_call(what: str) -> None:
    """Though no bytecode is run in it: the interpreter would not interrupt it by itself."""
    cache: Cache[int, Any] = Cache("m", max_bytes="1GiB", registry=Registry())
    cache.claim_quantum = 1 << 40  # No code of ours in between.
    pairs = [(number, number * 1.5) for number in range(100_000)]
    if what == "get":
        cache.set_many(pairs)
    elif what == "drop":
        cache.set_many((number, [number]) for number in range(300_000))
    elif what == "reweigh":
        for key in range(16):
            cache.set(key, [[float(key)] for _ in range(9000)])
    turns, is_over = [0], Event()

    def take_turns() -> None:
        while not is_over.wait(0.0001):
            turns[0] += 1

    other = Thread(target=take_turns)
    before = sys.getswitchinterval()
    sys.setswitchinterval(30)
    try:
        other.start()
        begun = turns[0]
        if what == "get":
            cache.get_many(range(100_000))
        elif what == "set":
            cache.set_many(pairs)
        elif what == "drop":
            del cache
        else:
            cache._reweigh()
        ended = turns[0]
    finally:
        is_over.set()
        sys.setswitchinterval(before)
        other.join()
    assert ended > begun


def test_of_a_few_entries_none_is_weighed_again_twice_in_a_step() -> None:
    """A step takes sixteen at most, and no more than there are."""
    asked = []

    class Odd:
        """Weighed by a function of the program."""

    def answer(_: Odd) -> int:
        asked.append(1)
        return 1

    with registered(Odd, answer):
        cache: Cache[int, Any] = Cache("few", max_entries=9, registry=Registry())
        cache.set(1, Odd())
        cache.set(2, Odd())
        asked.clear()
        cache._reweigh()
    assert len(asked) == 2
