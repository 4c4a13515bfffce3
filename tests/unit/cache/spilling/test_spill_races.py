"""A cache that spills, while its values are pickled, replaced, collected or fail."""

import gc
import itertools
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from membudget.cache.spilling.spilled import SpilledCache
from spill_scene import Slow, folder_of, full, in_memory, make


class Leaving:
    """A value that ends whatever pickles it."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        raise self.error


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
def test_a_value_that_would_end_the_thread_is_counted_and_the_others_spill(
    tmp_path: Path, error: BaseException
) -> None:
    cache = make(tmp_path, max_entries=1)
    cache.set("leaving", Leaving(error))
    full(cache)
    told = cache.spill_stats()
    assert (told.state, told.unpicklable, told.waiting, told.entries) == ("on", 1, 0, 5)
    assert cache[0] == [0]


class Broken:
    """A value that can be pickled, but not be had again."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (int, ("no number",))


def test_a_value_that_cannot_be_had_again_is_a_miss(tmp_path: Path) -> None:
    cache = make(tmp_path, max_entries=1)
    cache.set("a", Broken())
    cache.set("b", 1)
    assert cache.flush_spill()
    assert "a" in cache
    assert cache.get("a", "none") == "none"
    assert cache.spill_stats().failed == 1
    assert "a" not in cache
    assert cache.flush_spill()
    assert cache.spill_stats().state == "on"


class Curious:
    """A value whose pickling uses the cache, its own entry included."""

    cache: SpilledCache[Any, Any]

    def __reduce__(self) -> tuple[Any, ...]:
        assert Curious.cache.get("first") == "first"
        Curious.cache.set("from within", 1)
        Curious.cache.delete("curious")
        return (int, ())


def test_pickling_may_use_the_cache(tmp_path: Path) -> None:
    cache = Curious.cache = make(tmp_path, max_entries=1)
    try:
        cache.set("first", "first")
        cache.set("curious", Curious())
        assert cache.flush_spill()
        cache.set("last", 1)
        assert cache.flush_spill()
        assert cache["from within"] == 1
        assert cache.get("curious") is None
    finally:
        del Curious.cache


def test_a_finalizer_may_use_the_cache(tmp_path: Path) -> None:
    """Of a value that was replaced, evicted, dropped from what waits, or cleared."""
    cache = make(tmp_path, max_entries=1)
    seen: list[Any] = []

    class Last:
        def __reduce__(self) -> tuple[Any, ...]:
            raise TypeError("not this one")

        def __del__(self) -> None:
            cache.set("from a finalizer", 1)
            seen.append(cache.get("from a finalizer"))

    cache.set("a", Last())
    cache.set("a", Last())
    cache.set("b", Last())
    assert cache.flush_spill()
    cache.clear()
    assert seen == [1, 1, 1]


class Churn:
    """Threads that set and delete, and others that push all out and back, over one cache."""

    def __init__(self, cache: SpilledCache[Any, Any]) -> None:
        self.cache = cache
        self.newest = dict.fromkeys(range(4), 0)
        self.failures: list[str] = []
        self.is_over = threading.Event()

    def write(self, key: int) -> None:
        for version in itertools.count(1):
            if self.is_over.is_set():
                return
            if version % 3:
                self.cache.set(key, [version])
            else:
                self.cache.delete(key)
            self.newest[key] = version
            self.note(key, self.cache.get(key), [version] if version % 3 else None)

    def note(self, key: int, found: Any, right: Any) -> None:
        """Whoever changes a key alone finds nothing but what was set last."""
        if found is not None and found != right:
            self.failures.append(f"{key}: {found} is not {right}")

    def read(self) -> None:
        while not self.is_over.is_set():
            for key in range(8):
                at_least = self.newest.get(key, 0)
                found = self.cache.get(key)
                if found is not None and found[0] < at_least:
                    self.failures.append(f"{key}: {found} after {at_least}")
                self.cache.set(key + 100, [1 << 30])

    def run(self) -> None:
        """Let them all run until enough was brought back from the disk."""
        threads = [threading.Thread(target=self.write, args=(key,)) for key in self.newest]
        threads += [threading.Thread(target=self.read) for _ in range(2)]
        often, until = sys.getswitchinterval(), time.monotonic() + 20
        sys.setswitchinterval(1e-5)
        try:
            for one in threads:
                one.start()
            while self.cache.spill_stats().hits < 1000 and time.monotonic() < until:
                self.is_over.wait(0.01)
        finally:
            self.is_over.set()
            for one in threads:
                one.join()
            sys.setswitchinterval(often)


def test_values_that_change_hands_are_never_old(tmp_path: Path) -> None:
    cache = make(tmp_path, max_entries=3, policy="lru")
    churn = Churn(cache)
    churn.run()
    assert not churn.failures
    assert cache.spill_stats().failed == 0
    assert cache.spill_stats().hits >= 1000
    assert set(cache._notes) == set(cache), "a note for what is there, and no other"


def test_a_cache_that_its_values_refer_to_is_collected(tmp_path: Path) -> None:
    cache = make(tmp_path)
    for number in range(4):
        cache.set(number, [cache])
    folder, gone = folder_of(cache), weakref.ref(cache)
    assert cache.flush_spill()
    del cache
    gc.collect()
    assert gone() is None
    assert not os.path.exists(folder)


class Returning:
    """A value that comes back as an old text, in the middle of which something else is done."""

    meanwhile: Callable[[], object]

    def __reduce__(self) -> tuple[Any, ...]:
        return _old, ()


def _old() -> str:
    Returning.meanwhile()
    return "old"


def test_a_value_replaced_while_it_comes_back_is_not_seen_again(tmp_path: Path) -> None:
    """Neither by those who look in between, nor afterwards, wherever the newer one is by then."""
    seen: list[Any] = []
    looks: list[bool] = []

    def look(*_: object) -> None:
        if looks:
            looks.clear()
            seen.append(cache.get("key"))

    def replace() -> None:
        Returning.meanwhile = lambda: None
        looks.append(True)
        for key in ("key", "x", "y"):
            cache.set(key, "new")

    cache = make(tmp_path, on_evict=look, policy="lru")
    for key in ("key", "a", "b", "c"):
        cache.set(key, Returning())
    assert cache.flush_spill()
    assert not in_memory(cache, "key")
    Returning.meanwhile = replace
    cache.get("key")  # As of when it was asked for.
    assert seen == ["new"]
    assert cache.flush_spill()
    assert cache.get("key") == "new"


@pytest.mark.parametrize("is_deleted", [True, False])
def test_a_value_replaced_while_it_comes_back_is_gone_afterwards(
    tmp_path: Path, *, is_deleted: bool
) -> None:
    """Also where the newer one is gone as well, or memory would not take it."""

    def replace() -> None:
        Returning.meanwhile = lambda: None
        if is_deleted:
            cache.delete("key")
        else:
            assert not cache.set("key", "new", size="1GiB")

    cache = make(tmp_path, max_bytes=10_000)
    for key in ("key", *range(100)):
        cache.set(key, Returning())
    assert cache.flush_spill()
    assert not in_memory(cache, "key")
    Returning.meanwhile = replace
    cache.get("key")  # As of when it was asked for.
    assert cache.get("key") is None
    assert cache.peek("key") is None
    assert "key" not in cache
    assert "key" not in cache.keys()  # noqa: SIM118  # those of memory alone


class Asking:
    """A value at whose coming back the cache is asked for it once more, as by another thread."""

    ask: Callable[[], object] | None = None

    def __reduce__(self) -> Any:
        return _asking, ()


def _asking() -> Asking:
    ask, Asking.ask = Asking.ask, None
    if ask is not None:
        ask()
    return Asking()


def test_what_is_popped_while_another_brings_it_back_is_gone(tmp_path: Path) -> None:
    cache = make(tmp_path, max_entries=1)
    cache.set("a", Asking())
    cache.set("b", 1)
    assert cache.flush_spill()
    Asking.ask = lambda: cache.get("a")
    assert isinstance(cache.pop("a"), Asking)
    assert cache.get("a") is None
    assert "a" not in cache


def test_a_value_that_waits_is_found_at_once(tmp_path: Path) -> None:
    """Also while its neighbour is being pickled: no flush in between."""
    held = threading.Event()
    Slow.may_go = held
    cache = make(tmp_path, max_entries=1)
    cache.set("slow", Slow())
    cache.set("a", [1])
    cache.set("b", [2])
    try:
        assert cache.spill_stats().spilled == 0
        assert cache.peek("a") == [1]
        assert cache.get("a") == [1]
    finally:
        held.set()
    assert cache.flush_spill()
    assert cache["b"] == [2]
