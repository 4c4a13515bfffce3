"""The order of eviction: what is asked for once leaves early, what returns is kept."""

from __future__ import annotations

from typing import Any

from membudget.bounded.plain.table import Table
from membudget.registry import Registry


def table(**options: Any) -> Table[Any, int]:
    """A table of ten entries."""
    defaults: dict[str, Any] = {
        "max_bytes": None,
        "max_entries": 10,
        "ttl": None,
        "idle": None,
        "policy": "s3fifo",
        "size": lambda _: 0,
        "listens": False,
        "registry": Registry(),
        "now": None,
    }
    return Table(**{**defaults, **options})


def asked(one: Table[Any, int], keys: Any, times: int = 1) -> None:
    """Look keys up, several times."""
    for _ in range(times):
        for key in keys:
            one.get(key)


def test_a_scan_does_not_displace_what_is_used() -> None:
    """As it would in an LRU cache."""
    for policy, survivors in (("s3fifo", 5), ("lru", 0)):
        one = table(policy=policy)
        for key in range(5):
            one.set(key, key)
        asked(one, range(5), 2)
        for key in range(1000, 1100):
            one.set(key, key)
        assert sum(key in one for key in range(5)) == survivors


def test_a_single_hit_does_not_promote() -> None:
    """Two do: many things are looked at once right after they were set."""
    one = table()
    one.set("once", 1)
    one.set("twice", 2)
    asked(one, ["once", "twice", "twice"])
    for key in range(20):
        one.set(key, key)
    assert "once" not in one
    assert "twice" in one


def test_a_key_that_returns_soon_goes_to_the_main_queue() -> None:
    """And outlives those that are new."""
    one = table()
    for key in range(11):
        one.set(key, key)
    assert 0 not in one
    one.set(0, 0)
    assert one._counts()["ghost_hits"] == 1
    for key in range(100, 115):
        one.set(key, key)
    assert 0 in one


def test_the_main_queue_passes_over_what_was_hit() -> None:
    """Once for each hit, three at most."""
    one = table()
    for key in range(10):
        one.set(key, key)
    asked(one, range(10), 2)
    one.set("new", 1)
    assert one.keys() == ["new", *range(1, 10)]
    asked(one, [1], 5)
    one._evict(1, "pressure")
    assert 1 in one
    assert 2 not in one


def test_the_small_queue_is_a_tenth_of_what_binds() -> None:
    """Of the bytes; of the entries where only they are bounded."""
    light, heavy = table(max_entries=100), table(max_entries=100, max_bytes=1 << 20)
    for one in (light, heavy):
        for key in range(90):
            one.set(key, key, size=10)
        asked(one, range(90), 2)
        for key in range(100, 110):
            one.set(key, key, size=5_000)
        one.set("new", 1)
    assert [0 in one for one in (light, heavy)] == [True, True]
    for one in (light, heavy):
        for key in range(100, 109):
            one.delete(key)
        for _ in range(5):
            one._evict(1, "pressure")
    # One heavy entry is left beside the new one: few entries, but most of the bytes.
    assert 109 in light
    assert 109 not in heavy


def test_the_last_used_goes_last_in_lru_order() -> None:
    """By a read, or by a value set again."""
    one = table(policy="lru", max_entries=4)
    for key in range(4):
        one.set(key, key)
    one.get(0)
    one.set(1, 5)
    assert one.keys() == [2, 3, 0, 1]
    one.set(9, 9)
    assert one.keys() == [3, 0, 1, 9]


def test_the_entry_just_set_is_evicted_last() -> None:
    """Whatever its queue and the hits of the others."""
    for policy in ("s3fifo", "lru"):
        one = table(policy=policy)
        for key in range(10):
            one.set(key, key)
        asked(one, range(10), 3)
        one.set(3, 3)
        while len(one) > 1:
            one._evict(1, "pressure")
        assert one.keys() == [3]
        assert one._evict(1, "pressure")[0] > 0
        assert len(one) == 0
