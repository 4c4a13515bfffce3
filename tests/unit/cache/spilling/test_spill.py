"""A cache that spills: what goes to the disk, comes back, must not, or is refused at once."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes import FakeClock
from membudget.cache.spilling import spill as spill_module
from membudget.cache.spilling.folder import SpillFolder, check_own
from membudget.cache.spilling.spill import Spill, checked_spill
from membudget.errors import ConfigError, MissingExtraError
from membudget.registry import Registry
from spill_scene import KIB, MIB, Slow, full, in_memory, make, on_disk


def test_an_evicted_value_comes_back(tmp_path: Path) -> None:
    """From the disk into memory, as an equal copy, and counts as a hit."""
    cache = full(make(tmp_path))
    assert on_disk(cache) == [0, 1, 2, 3]
    assert cache.spill_stats().entries == 4
    assert cache.get(0) == [0]
    assert in_memory(cache, 0)
    assert cache.flush_spill()
    told = cache.spill_stats()
    assert (told.hits, told.spilled, told.entries, told.state) == (1, 5, 4, "on")
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.hit_rate, stats.sets) == (1, 0, 1.0, 6)


def test_all_values_can_be_had_again_and_again(tmp_path: Path) -> None:
    cache = full(make(tmp_path), 20)
    for _ in range(3):
        for number in range(20):
            assert cache[number] == [number]
    assert cache.get_many(range(25)) == {number: [number] for number in range(20)}
    assert cache.spill_stats().dropped == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda cache: cache.set(0, "new") and cache.delete(0),
        lambda cache: cache.delete(0),
        lambda cache: cache.pop(0),
        lambda cache: cache.__delitem__(0),
        lambda cache: cache.clear(),
    ],
    ids=["replaced", "deleted", "popped", "del", "cleared"],
)
@pytest.mark.parametrize("is_written", [True, False])
def test_what_was_replaced_or_removed_never_comes_back(
    tmp_path: Path, change: Callable[[Any], object], *, is_written: bool
) -> None:
    cache = make(tmp_path)
    for number in range(4):
        cache.set(number, [number])
    if is_written:
        assert cache.flush_spill()
    assert 0 in cache
    change(cache)
    assert 0 not in cache
    assert cache.get(0) is None
    assert cache.peek(0) is None
    assert cache.flush_spill()
    assert cache.get(0) is None
    cache.set(0, "newest")
    assert cache[0] == "newest"


def test_the_new_value_is_the_one_that_comes_back(tmp_path: Path) -> None:
    cache = full(make(tmp_path, policy="lru"))
    cache.set(0, "new")
    for number in range(10, 20):
        cache.set(number, number)
    assert cache.flush_spill()
    assert not in_memory(cache, 0)
    assert cache[0] == "new"


def test_pop_and_delete_reach_the_disk(tmp_path: Path) -> None:
    cache = full(make(tmp_path))
    assert cache.pop(0) == [0]
    assert cache.pop(0, None) is None
    with pytest.raises(KeyError):
        cache.pop(0)
    assert cache.delete(1)
    assert not cache.delete(1)
    with pytest.raises(KeyError):
        del cache[1]
    assert on_disk(cache) == [2, 3]
    assert cache.flush_spill()
    assert cache.spill_stats().entries == 2


@pytest.mark.parametrize("change", [lambda one: one.pop(0), lambda one: one.delete(0)])
def test_what_is_forgotten_leaves_the_disk_by_itself(
    tmp_path: Path, change: Callable[[Any], object]
) -> None:
    """Nobody need use the cache again for that."""
    cache = make(tmp_path, max_entries=1)
    for number in range(2):
        cache.set(number, bytes(50_000))
    assert cache.flush_spill()
    assert len(list(tmp_path.rglob("*.val"))) == 1
    change(cache)
    ends = time.monotonic() + 10
    while list(tmp_path.rglob("*.val")) and time.monotonic() < ends:
        time.sleep(0.01)
    assert list(tmp_path.rglob("*.val")) == []


def test_observing_changes_nothing(tmp_path: Path) -> None:
    """Peek reads from the disk and leaves all where it is; `in` and ttl_left do not even read."""
    cache = full(make(tmp_path, clock=FakeClock()))
    before = cache.spill_stats(), cache.stats(), cache.items()
    assert cache.peek(0) == [0]
    assert 0 in cache
    assert 77 not in cache
    assert cache.ttl_left(0) is None
    assert cache.peek(77, "none") == "none"
    with pytest.raises(KeyError):
        cache.ttl_left(77)
    assert (cache.spill_stats(), cache.stats(), cache.items()) == before


def test_time_goes_on_on_the_disk(tmp_path: Path) -> None:
    clock = FakeClock()
    cache = make(tmp_path, ttl=10, clock=clock)
    cache.set("long", 1, ttl=100)
    full(cache, 5)
    clock.advance(4)
    assert cache.ttl_left(0) == pytest.approx(6)
    assert cache[0] == [0]
    assert in_memory(cache, 0)
    assert cache.ttl_left(0) == pytest.approx(6)
    clock.advance(6)
    assert cache.get(0) is None
    assert cache.get(1) is None
    assert 2 not in cache
    assert cache["long"] == 1
    assert cache.ttl_left("long") == pytest.approx(90)


def test_an_expired_value_does_not_spill(tmp_path: Path) -> None:
    clock = FakeClock()
    cache = make(tmp_path, ttl=10, clock=clock)
    cache.set("a", 1)
    clock.advance(11)
    cache.set("b", 2)
    cache.set("c", 3)
    assert cache.flush_spill()
    assert cache.stats().expirations == 1
    assert cache.spill_stats().spilled == 0


def test_idle_time_goes_on_on_the_disk(tmp_path: Path) -> None:
    """A value without a hit for that long expires there too; one that comes back begins anew."""
    clock = FakeClock()
    cache = make(tmp_path, idle=10, policy="lru", clock=clock)
    cache.set("used", 1)
    cache.set("unused", 2)
    clock.advance(6)
    assert cache["used"] == 1
    cache.set("x", 1)
    cache.set("y", 2)
    assert cache.ttl_left("used") == pytest.approx(10, abs=0.1)
    assert cache.ttl_left("unused") == pytest.approx(4, abs=0.1)
    clock.advance(5)
    assert "unused" not in cache
    assert cache["used"] == 1
    clock.advance(9)
    assert cache["used"] == 1


def test_sizes_that_were_given_are_kept(tmp_path: Path) -> None:
    cache = make(tmp_path, max_bytes=10_000, max_entries=None)
    cache.set("a", "small", size=4000)
    weight = cache.held_bytes()
    cache.set("b", "small", size=9000)
    assert cache.flush_spill()
    cache.delete("b")
    assert len(cache) == 0
    assert cache["a"] == "small"
    assert cache.held_bytes() == pytest.approx(weight, abs=64)


def test_a_size_function_sees_the_values(tmp_path: Path) -> None:
    seen: list[Any] = []

    def size(value: Any) -> int:
        seen.append(value)
        return 10

    full(make(tmp_path, size=size), 3)
    assert seen == [[0], [1], [2]]


def test_a_size_beyond_all_measure_is_refused_as_any_too_large(tmp_path: Path) -> None:
    cache = make(tmp_path, max_bytes="1MiB", size=lambda _: 10**30)
    assert not cache.set("a", 1)
    assert cache.stats().refused == 1


def test_who_listens_is_told_of_values(tmp_path: Path) -> None:
    """On eviction as ever, in the values' own words; also before they are on the disk."""
    told: list[Any] = []
    cache = make(tmp_path, on_evict=lambda *gone: told.append(gone))
    full(cache, 3)
    assert told == [(0, [0], "entries")]
    assert cache[0] == [0]
    assert len(told) == 2


def test_what_a_listener_raises_loses_nothing(tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise LookupError("listener")

    cache = make(tmp_path, on_evict=fail, max_entries=1)
    cache.set("a", 1)
    with pytest.raises(LookupError):
        cache.set("b", 2)
    assert cache.flush_spill()
    assert cache.peek("a") == 1
    assert cache.peek("b") == 2


def test_a_set_that_fails_changes_nothing(tmp_path: Path) -> None:
    def size(value: Any) -> int:
        if value == "bad":
            raise LookupError("size")
        return 10

    cache = make(tmp_path, size=size)
    cache.set("a", 1)
    with pytest.raises(LookupError):
        cache.set("a", "bad")
    with pytest.raises(TypeError):
        cache.set([], 1)
    with pytest.raises(ConfigError):
        cache.set("a", 2, ttl=-1)
    assert cache["a"] == 1
    full(cache)
    assert cache["a"] == 1


def test_values_under_pressure_spill_within_what_may_wait(tmp_path: Path) -> None:
    """What is more is dropped and counted; a large one goes alone only without pressure."""
    spill = Spill(tmp_path / "spill", waiting="64KiB")
    cache = make(tmp_path, spill=spill, max_entries=100)
    Slow.may_go = threading.Event()
    cache.set("slow", Slow(), size=10)
    for number in range(10):
        cache.set(number, bytes(20 * KIB))
    assert cache.reclaim(1 << 30, float("inf")) > 200 * KIB
    assert cache.spill_stats().dropped == 7
    Slow.may_go.set()
    assert cache.flush_spill()
    assert cache.spill_stats().spilled == 4
    cache.set("large", bytes(MIB))
    cache.reclaim(1 << 30, float("inf"))
    assert "large" not in cache
    cache.set("large", bytes(MIB))
    cache.set("other", 1)
    cache.resize(max_entries=1)
    assert cache.flush_spill()
    assert "large" in cache


def test_a_value_that_cannot_be_pickled_is_counted(tmp_path: Path) -> None:
    """And told once; and of its type few are tried after three of them; of others all."""
    registry = Registry()
    cache = make(tmp_path, max_entries=1, registry=registry)
    for number in range(6):
        cache.set(number, threading.Lock())
        assert cache.flush_spill()
    cache.set("fine", 1)
    cache.set("last", 1)
    assert cache.flush_spill()
    told = cache.spill_stats()
    assert (told.unpicklable, told.spilled, told.state) == (6, 1, "on")
    assert cache.get(0) is None
    assert cache["fine"] == 1
    (said,) = registry.untold
    assert "cache 'spilling' loses what it evicts: a lock cannot be pickled (cannot pickle" in said
    assert "without spill=" in said


def test_a_type_that_could_not_be_pickled_gets_another_chance(tmp_path: Path) -> None:
    cache = make(tmp_path, max_entries=1)
    for number in range(4):
        cache.set(number, [threading.Lock()])
        assert cache.flush_spill()
    for number in range(100, 300):
        cache.set(number, [number])
        assert cache.flush_spill()
    assert cache.spill_stats().spilled > 100
    assert cache[290] == [290]


def test_loaders_run_only_for_what_the_disk_does_not_hold(tmp_path: Path) -> None:
    cache = full(make(tmp_path))
    loaded: list[Any] = []

    def load(key: Any) -> Any:
        loaded.append(key)
        return "loaded"

    async def load_async(key: Any) -> Any:
        return load(key)

    assert cache.get_or_load(0, load) == [0]
    assert asyncio.run(cache.get_or_load_async(1, load_async)) == [1]
    assert cache.get_or_load(50, load) == "loaded"
    assert loaded == [50]


@pytest.mark.parametrize("directory", ["", 7, None, "a\0b", b"bytes"])
def test_what_is_no_path_is_refused(directory: Any) -> None:
    with pytest.raises(ConfigError):
        Spill(directory)
    with pytest.raises(ConfigError):
        checked_spill(directory)


def test_bounds_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="max_bytes of the spill"):
        Spill(tmp_path, max_bytes="100KiB")
    with pytest.raises(ConfigError, match="max_bytes of the spill"):
        Spill(tmp_path, max_bytes=-1)
    with pytest.raises(ConfigError, match="waiting"):
        Spill(tmp_path, waiting="much")
    with pytest.raises(ConfigError, match="keep"):
        Spill(tmp_path, keep="yes")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="keep=True"):
        Spill(tmp_path, key=tmp_path / "key")
    with pytest.raises(ConfigError, match=r"'/\$HOME/key' has a variable"):
        Spill(tmp_path, keep=True, key="/$HOME/key")


def test_folders_that_are_not_ones_own_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "group").mkdir()
    (tmp_path / "group").chmod(0o770)
    for name, reason in (("file", "not a folder"), ("open", "by others"), ("group", "by others")):
        with pytest.raises(ConfigError, match=reason):
            make(tmp_path, spill=tmp_path / name)
    with pytest.raises(ConfigError, match=r"cannot be used, since .* is no folder"):
        make(tmp_path, spill=tmp_path / "file" / "below")
    status = list(os.stat(tmp_path))
    status[4] += 1
    with pytest.raises(ConfigError, match="belongs to user"):
        check_own(str(tmp_path), os.stat_result(status))


def test_a_link_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    """It may lead to where others write."""
    folder = SpillFolder(Spill(tmp_path / "s"), "spilling")
    folder.end()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    os.symlink(tmp_path / "elsewhere", os.path.dirname(folder.path))
    with pytest.raises(ConfigError, match="not a folder"):
        make(tmp_path, spill=tmp_path / "s")


def test_a_cache_that_cannot_be_made_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        make(tmp_path, spill=tmp_path / "s", max_entries=-1)
    assert os.listdir(tmp_path / "s") == []


def test_without_diskcache_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "diskcache", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'membudget\[spill\]'"):
        spill_module.Spill(tmp_path)
