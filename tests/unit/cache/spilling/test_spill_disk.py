"""The disk of a cache that spills: its folder, its bound, what breaks it, and what outlives it."""

import contextlib
import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beside import in_child
from fakes import FakeClock
from membudget.cache.spilling.folder import SpillFolder
from membudget.cache.spilling.spill import Spill
from membudget.cache.spilling.spilled import SpilledCache
from membudget.cache.upkeep import Sweeper
from membudget.core import Meter
from membudget.errors import MembudgetError
from membudget.registry import Registry
from spill_scene import MIB, folder_of

NO_THREAD = """
import os, resource, sys, threading, time
import diskcache
from membudget import Cache

with open("/proc/self/statm") as file:
    size = int(file.read().split()[0]) * resource.getpagesize()
threading.stack_size(256 << 20)
resource.setrlimit(resource.RLIMIT_AS, (size + (64 << 20), -1))  # Less than a thread's stack.
try:
    threading.Thread(target=print).start()
except RuntimeError:
    print("no thread")

class Curious:
    def __reduce__(self):
        cache.get(0)  # Uses the cache while it is pickled.
        return Curious, ()

cache = Cache("alone", max_entries=5, spill=sys.argv[1])
for number in range(40):
    cache.set(number, Curious() if number % 10 == 9 else bytes(number))
print(sum(cache.get(number) is not None for number in range(40)), cache.spill_stats().state)
if (child := os.fork()) == 0:
    cache.set("a", 1)
    cache.set_many((number, 1) for number in range(40, 50))
    os._exit(cache.get("a") != 1)
print(os.waitpid(child, 0)[1], cache.get(1) == b"\\0")
"""


def make(where: Path | Spill, name: str = "spilling", **given: Any) -> SpilledCache[Any, Any]:
    """A cache of one entry in memory, unless told otherwise."""
    usual: dict[str, Any] = {"max_entries": 1, "registry": Registry()}
    return SpilledCache(name, spill=where, **usual | given)


def stored(folder: str) -> int:
    """Bytes of all files, in whole blocks, as `du` counts them."""
    return sum(
        os.stat(os.path.join(parent, file)).st_blocks * 512
        for parent, _, files in os.walk(folder)
        for file in files
    )


@contextlib.contextmanager
def ended(cache: SpilledCache[Any, Any]) -> Iterator[None]:
    """The end of a cache, as when its process ends in good order."""
    yield
    cache._disk.close()


@pytest.mark.parametrize("size", [100, 3_000, 10_000, 200_000])
def test_the_bound_holds_at_every_moment(tmp_path: Path, size: int) -> None:
    cache = make(Spill(tmp_path / "s", max_bytes="2MiB", waiting="64MiB"))
    count = max(40, 4 * MIB // max(size, 4000))
    most = 0
    for number in range(count):
        cache.set(number, os.urandom(size))
        if not number % 8:
            assert cache.flush_spill()
            most = max(most, stored(str(tmp_path / "s")))
    assert cache.flush_spill()
    told = cache.spill_stats()
    assert told.bytes <= most <= 2 * MIB
    assert told.dropped == 0
    assert count - 2 in cache
    assert cache.get(count - 2) is not None
    if size > 1000:
        assert told.entries < count - 1
        assert told.entries * size > MIB
        assert 0 not in cache


def test_small_values_make_room_for_large_ones(tmp_path: Path) -> None:
    """Room in the database that nothing uses any more is given back."""
    cache = make(Spill(tmp_path / "s", max_bytes="2MiB", waiting="64MiB"))
    for number in range(300):
        cache.set(number, os.urandom(8_000))
    for number in range(300, 330):
        cache.set(number, os.urandom(100_000))
    assert cache.flush_spill()
    assert stored(str(tmp_path / "s")) <= 2 * MIB
    assert cache.spill_stats().entries >= 15


def test_a_value_beyond_the_bound_is_dropped(tmp_path: Path) -> None:
    cache = make(Spill(tmp_path / "s", max_bytes="1MiB"))
    cache.set("small", 1)
    cache.set("large", os.urandom(2 * MIB))
    cache.set("last", 1)
    assert cache.flush_spill()
    assert "large" not in cache
    assert cache.spill_stats().dropped == 1


def test_the_folder_is_the_users_alone_and_goes_with_the_cache(tmp_path: Path) -> None:
    """Made with mode 0700 all the way down; nothing is left but the directory given."""
    cache = make(tmp_path / "a" / "s", "a name/with.all: sorts")
    cache.set(1, 1)
    cache.set(2, 2)
    assert cache.flush_spill()
    folder = folder_of(cache)
    assert os.path.exists(os.path.join(folder, "cache.db"))
    while folder != str(tmp_path / "a"):
        assert os.stat(folder).st_mode & 0o777 == 0o700
        folder = os.path.dirname(folder)
    del cache
    gc.collect()
    assert os.listdir(tmp_path / "a" / "s") == []


def test_two_at_a_time_have_folders_of_their_own(tmp_path: Path) -> None:
    first, second = make(tmp_path), make(tmp_path)
    assert first.spill_stats().directory != second.spill_stats().directory
    first.set("a", 1)
    first.set("b", 2)
    assert first.flush_spill()
    assert "a" not in second
    assert second.get("a") is None
    assert first.get("a") == 1


def test_what_a_killed_process_left_is_not_served(tmp_path: Path) -> None:
    cache = make(tmp_path)
    folder = folder_of(cache)
    del cache
    gc.collect()
    os.makedirs(folder, mode=0o700)
    with open(os.path.join(folder, "cache.db"), "wb") as file:
        file.write(b"left behind")
    cache = make(tmp_path)
    assert cache.spill_stats().directory == folder
    cache.set("a", 1)
    cache.set("b", 2)
    assert cache.flush_spill()
    assert cache["a"] == 1
    assert cache.spill_stats().state == "on"


def test_what_several_killed_processes_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """Not only under the number that it takes itself; what lives or was kept stays."""
    folders = [SpillFolder(Spill(tmp_path / "s"), "one") for _ in range(4)]
    kept = SpillFolder(Spill(tmp_path / "s", keep=True), "one")
    (Path(kept.path) / "index.pickle").write_bytes(b"")
    for folder in [*folders, kept]:
        (Path(folder.path) / "1.val").write_bytes(b"x" * 5000)
    kept.end()
    for folder in folders[:3]:
        folder.leave()  # As the end of a process does.
    made = SpillFolder(Spill(tmp_path / "s"), "one")
    assert made.path == folders[0].path
    left = sorted(path.name for path in Path(made.path).parent.iterdir())
    assert left == ["0", "0.lock", "3", "3.lock", "4"]
    assert (Path(kept.path) / "1.val").exists()
    made.end()
    folders[3].end()


@pytest.mark.parametrize("size", [10, 100_000])
def test_what_is_kept_is_there_for_the_next_process(tmp_path: Path, size: int) -> None:
    """With what is left of its time; what was evicted, and what still waited to be written."""
    clock, spill = FakeClock(), Spill(tmp_path, keep=True, key=tmp_path / "key", max_bytes="1MiB")
    value = os.urandom(size)
    first = make(spill, clock=clock, ttl=100)
    for key in ("a", ("b", 1), "c"):
        first.set(key, value)
    with ended(first):
        first.delete("a")
    second = make(spill, clock=clock, ttl=100)
    assert second.spill_stats().directory is not None
    assert "a" not in second
    assert "c" not in second
    assert second.ttl_left(("b", 1)) == pytest.approx(100, abs=5)
    assert second[("b", 1)] == value
    second.set("x", value)
    with ended(second):
        second.set(("b", 1), "new")
    third = make(spill, clock=clock, ttl=100)
    assert ("b", 1) not in third
    assert third["x"] == value
    assert third.spill_stats().failed == 0
    for number in range(40):
        third.set(number, os.urandom(100_000))
    assert third.flush_spill()
    assert stored(str(tmp_path)) <= MIB


class Unkept:
    """A key that cannot be pickled, so that no later process can know it."""

    def __reduce__(self) -> Any:
        raise TypeError


@pytest.mark.parametrize("size", [3_000, 100_000])
def test_what_is_kept_under_keys_that_cannot_be_takes_no_room_from_later_ones(
    tmp_path: Path, size: int
) -> None:
    """Process after process would leave some more, until nothing is spilled."""
    spill = Spill(tmp_path, keep=True, key=tmp_path / "key", max_bytes="1MiB")
    for _ in range(6):
        cache = make(spill)
        for _ in range(300_000 // size):
            cache.set(Unkept(), os.urandom(size))
        cache.set("kept", 1)
        cache.set("in memory", 2)
        with ended(cache):
            assert cache.flush_spill()
            assert cache.spill_stats().dropped == 0
            assert stored(str(tmp_path)) < 600_000
    cache = make(spill)
    assert cache["kept"] == 1
    cache._disk.close()


def test_what_is_kept_is_not_believed_after_a_crash(tmp_path: Path) -> None:
    """Nobody knows which of it had been replaced."""
    spill = Spill(tmp_path, keep=True, key=tmp_path / "key")
    first = make(spill)
    first.set("a", 1)
    first.set("b", 2)
    assert first.flush_spill()
    folder = folder_of(first)
    shutil.copytree(folder, tmp_path / "copy")
    with ended(first):
        pass
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "copy", folder)
    second = make(spill)
    assert second.spill_stats().directory == folder
    assert "a" not in second
    assert second.spill_stats().entries == 0


def test_a_value_that_was_changed_on_the_disk_is_a_miss(tmp_path: Path) -> None:
    cache = make(tmp_path)
    cache.set("a", bytes(100_000))
    cache.set("b", 1)
    assert cache.flush_spill()
    folder = folder_of(cache)
    (name,) = [one for one in os.listdir(folder) if one.endswith(".val")]
    with open(os.path.join(folder, name), "r+b") as file:
        file.seek(50_000)
        file.write(b"changed")
    assert cache.get("a") is None
    assert cache.spill_stats().failed == 1
    assert cache.spill_stats().state == "on"


def test_a_folder_that_is_removed_turns_spilling_off(tmp_path: Path) -> None:
    registry = Registry()
    cache = make(tmp_path / "s", registry=registry)
    cache.set("a", 1)
    cache.set("b", 2)
    assert cache.flush_spill()
    shutil.rmtree(tmp_path / "s")
    for number in range(5):
        cache.set(number, number)
        assert cache[number] == number
    assert cache.flush_spill()
    assert cache.spill_stats().state.startswith("off: FileNotFoundError")
    assert cache.get("a") is None
    assert cache.pop("a", None) is None
    cache.clear()
    (chore,) = registry.chores()
    assert chore.name == "spill of spilling"
    assert chore.due(0.0)
    with pytest.raises(MembudgetError, match=r"cache 'spilling' spills no more.*make the cache"):
        chore.run(0.0)
    assert not chore.due(0.0)
    assert not os.path.exists(tmp_path / "s")


def test_a_database_that_is_spoilt_turns_spilling_off(tmp_path: Path) -> None:
    cache = make(tmp_path)
    for number in range(30):
        cache.set(number, os.urandom(5_000))
    assert cache.flush_spill()
    folder = folder_of(cache)
    with open(os.path.join(folder, "cache.db"), "r+b") as file:
        file.write(os.urandom(200_000))
    for number in range(30):
        cache.get(number)
        cache.set(-number, os.urandom(5_000))
    assert cache.flush_spill()
    assert cache.spill_stats().state.startswith("off: ")
    cache.set("a", 1)
    assert cache["a"] == 1


def test_what_waits_is_counted_as_memory(tmp_path: Path) -> None:
    registry = Registry()
    cache = make(tmp_path, registry=registry)
    _, holder = registry.holders()
    assert holder.name == "spill of spilling"
    assert holder.held_bytes() == 0
    for number in range(50):
        cache.set(number, number)
    assert cache.flush_spill()
    assert 49 * 100 < holder.held_bytes() < 51 * 1000


def test_notes_of_the_disk_are_let_go_under_pressure(tmp_path: Path) -> None:
    """What was put there first goes first, with its notes: else they would leave no room."""
    registry = Registry()
    cache = make(tmp_path, registry=registry)
    for number in range(500):
        cache.set(number, number)
        assert number % 100 or cache.flush_spill()
    assert cache.flush_spill()
    writer: Any = next(one for one in registry.reclaimers() if one.name == "spill of spilling")
    before = writer.reclaimable()
    assert before == writer.held_bytes() - cache.noted_bytes() > 0
    assert writer.reclaim(before // 2, 0.0) == 0
    assert writer.reclaim(before // 2, float("inf")) >= before // 2
    assert writer.reclaimable() <= before // 2
    assert cache.flush_spill()
    assert 0 < cache.spill_stats().entries < 300
    assert 0 not in cache
    assert cache[498] == 498
    writer.reclaim(before, float("inf"))
    assert (writer.reclaimable(), cache.spill_stats().entries) == (0, 0)


def test_what_expires_on_the_disk_is_swept(tmp_path: Path) -> None:
    """As in memory, about a second later: neither disk nor memory fills with what is dead."""
    clock, registry = FakeClock(), Registry()
    cache = make(tmp_path, registry=registry, clock=clock, ttl=100)
    sweeper = Sweeper(registry, clock=clock)
    for number in range(300):
        cache.set(number, number)
    assert cache.flush_spill()
    clock.advance(50)
    cache.set("later", 1)
    cache.set("last", 2)
    assert cache.flush_spill()
    assert cache.spill_stats().entries == 301
    assert not sweeper.due(clock.now())
    clock.advance(50)
    assert sweeper.due(clock.now())
    assert sweeper.run(float("inf")) > 300 * 100
    assert cache.flush_spill()
    assert cache.spill_stats().entries == 1
    assert cache["later"] == 1
    clock.advance(10)
    assert not sweeper.due(clock.now())


def test_who_inserts_pays_with_notes_too(tmp_path: Path) -> None:
    """Where memory is short, notes of many small values do not push all values out."""
    registry = Registry()
    cache = make(tmp_path, registry=registry, max_entries=10)
    for number in range(1000):
        cache.set(number, number)
        assert number % 100 or cache.flush_spill()
    assert cache.flush_spill()
    notes = cache.spill_stats().entries
    meter = Meter(lambda: 101 * MIB, registry.held_bytes)
    meter.rebase(100 * MIB, 120 * MIB, mark=100 * MIB, brim=105 * MIB, ceiling=110 * MIB, own=0)
    registry.meter = meter
    meter.allowance = 0.0
    for number in range(2000, 4000):
        cache.set(number, lambda: None, size=1000)  # What cannot be pickled brings no notes.
    assert cache.spill_stats().entries < notes


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("is_busy", [True, False])
def test_a_child_spills_into_a_folder_of_its_own(tmp_path: Path, *, is_busy: bool) -> None:
    """It finds what memory held, nothing of the parent's disk, and leaves that alone."""
    cache = make(tmp_path)
    for number in range(50):
        cache.set(number, [number])
    if not is_busy:
        assert cache.flush_spill()
    parents = folder_of(cache)

    def act() -> None:
        assert cache[49] == [49]
        assert 0 not in cache
        cache.set(0, "child's")
        cache.set(1, "child's")
        assert cache.flush_spill()
        assert cache[49] == [49]
        told = cache.spill_stats()
        own = folder_of(cache)
        assert told.state == "on"
        assert own != parents
        cache._disk.close()
        assert not os.path.exists(own)

    for _ in range(3):
        assert cache[49] == [49]
        assert in_child(act)
        cache.set(100, 100)
    assert cache.flush_spill()
    for number in range(50):
        assert cache[number] == [number]
    assert cache.spill_stats().directory == parents
    assert cache.spill_stats().state == "on"


@pytest.mark.skipif(sys.platform != "linux", reason="a limit on address space as Linux keeps it")
def test_without_a_thread_who_evicts_writes_and_who_looks_up_reads(tmp_path: Path) -> None:
    """Where none can be had nothing is lost, also with a value that uses the cache meanwhile."""
    command = [sys.executable, "-c", NO_THREAD, str(tmp_path / "spill")]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # our own
    assert told.splitlines() == ["no thread", "40 on", "0 True"]
    assert not any((tmp_path / "spill").glob("*/cache.db"))
