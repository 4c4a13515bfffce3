"""Many values at once: as one after the other."""

import sys
from threading import Event, Thread
from typing import Any

import pytest

from fakes import FakeClock
from membudget.cache.cache import Cache
from membudget.cache.table import IS_COMPILED
from membudget.errors import ConfigError
from membudget.registry import Registry
from membudget.sizing import register, unregister


@pytest.fixture
def cache() -> Cache[Any, Any]:
    return Cache("many", max_bytes="10KiB", registry=Registry())


def test_many_are_set_from_a_mapping_or_from_pairs(cache: Cache[Any, Any]) -> None:
    assert cache.set_many({"a": 1, "b": 2}) == 2
    assert cache.set_many([("c", 3), ("a", 9)]) == 2
    assert cache.set_many([]) == 0
    assert cache.get_many(["a", "x", "c", "y"]) == {"a": 9, "c": 3}
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.sets) == (2, 2, 4)


def test_what_is_too_heavy_is_left_out(cache: Cache[Any, Any]) -> None:
    assert cache.set_many({"light": b"", "heavy": bytes(20_000)}) == 1
    assert cache.keys() == ["light"]


def test_many_may_expire_together() -> None:
    clock = FakeClock()
    cache: Cache[int, int] = Cache("timed", registry=Registry(), clock=clock)
    cache.set_many({1: 1, 2: 2}, ttl="5s")
    cache.set(3, 3)
    clock.advance(5)
    assert cache.get_many([1, 2, 3]) == {3: 3}
    with pytest.raises(ConfigError, match="ttl"):
        cache.set_many({4: 4}, ttl="5")


def test_an_error_in_the_middle_keeps_what_came_before(cache: Cache[Any, Any]) -> None:
    with pytest.raises(TypeError, match="unhashable"):
        cache.set_many([("a", 1), ([], 2), ("b", 3)])
    assert cache.items() == [("a", 1)]
    with pytest.raises(TypeError, match="unhashable"):
        cache.get_many(["a", []])


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

    register(Odd, answer)
    try:
        cache: Cache[int, Any] = Cache("few", max_entries=9, registry=Registry())
        cache.set(1, Odd())
        cache.set(2, Odd())
        asked.clear()
        cache._reweigh()
    finally:
        unregister(Odd)
    assert len(asked) == 2
