"""Loading in threads and forks: one load for all who ask, one outcome, and no wait for ever."""

import contextvars
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beside import PATIENCE, in_child, in_threads
from fakes import FakeClock
from loading_scene import Held, followers
from membudget.cache.cache import Cache
from membudget.cache.loading.load import Loading, fly
from membudget.errors import ConfigError
from membudget.registry import Registry
from waiting import eventually

load = Cache.get_or_load


@pytest.fixture
def cache() -> Cache[Any, Any]:
    return Cache("loaded", max_entries=100, registry=Registry())


class Asking:
    """Threads that each ask once, and what they got."""

    def __init__(self, ask: Callable[[], object], threads: int) -> None:
        self.got: list[object] = []
        self._ask = ask
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]
        for one in self._threads:
            one.start()

    def _run(self) -> None:
        try:
            self.got.append(self._ask())
        except BaseException as error:  # noqa: BLE001  # told to the test
            self.got.append(error)

    def end(self) -> list[object]:
        """What they got, once all have it."""
        for one in self._threads:
            one.join(PATIENCE)
            assert not one.is_alive(), "a caller waits for ever"
        return self.got


def test_what_is_there_is_not_loaded(cache: Cache[Any, Any]) -> None:
    cache.set("a", None)
    assert load(cache, "a", lambda key: pytest.fail("loaded")) is None


def test_what_is_missing_is_loaded_with_its_key_and_kept(cache: Cache[Any, Any]) -> None:
    assert load(cache, "a", str.upper) == "A"
    assert load(cache, "a", lambda key: pytest.fail("loaded")) == "A"
    assert not cache._flights


def test_the_time_given_is_the_entrys(cache: Cache[Any, Any]) -> None:
    clock = FakeClock()
    timed: Cache[str, str] = Cache("timed", ttl=10, registry=Registry(), clock=clock)
    load(timed, "a", str.upper, ttl="1m")
    load(timed, "b", str.upper)
    clock.advance(30)
    assert timed.keys() == ["a"]
    with pytest.raises(ConfigError, match="ttl"):
        load(timed, "c", lambda key: pytest.fail("loaded"), ttl="soon")


def test_200_threads_that_miss_load_once(cache: Cache[Any, Any]) -> None:
    loader = Held(object())
    asking = Asking(lambda: load(cache, "a", loader), 200)
    eventually(lambda: followers(cache) == 199)
    loader.go.set()
    got = asking.end()
    assert loader.calls == 1
    assert len(got) == 200
    assert all(one is loader.result for one in got)


def test_followers_get_a_value_that_the_cache_refused(cache: Cache[Any, Any]) -> None:
    """The bound is the cache's business; those who waited have waited for the value."""
    small: Cache[str, bytes] = Cache("small", max_bytes=1000, registry=Registry())
    loader = Held(bytes(5000))
    asking = Asking(lambda: load(small, "a", loader), 5)
    eventually(lambda: followers(small) == 4)
    loader.go.set()
    assert asking.end() == [bytes(5000)] * 5
    assert loader.calls == 1
    assert len(small) == 0


def test_the_exception_is_that_of_all_who_waited_and_is_not_kept(cache: Cache[Any, Any]) -> None:
    loader = Held(OSError("down"))
    asking = Asking(lambda: load(cache, "a", loader), 5)
    eventually(lambda: followers(cache) == 4)
    loader.go.set()
    assert all(one is loader.result for one in asking.end())
    assert loader.calls == 1
    assert load(cache, "a", str.upper) == "A"


@pytest.mark.usefixtures("uncollected")
def test_an_exception_is_free_once_nobody_holds_it(cache: Cache[Any, Any]) -> None:
    """No frame of ours in its traceback refers back to it, a leader's nor a follower's."""

    class DownError(Exception):
        pass

    loader = Held(DownError())
    error = weakref.ref(loader.result)
    asking = Asking(lambda: load(cache, "a", loader), 3)
    eventually(lambda: followers(cache) == 2)
    loader.go.set()
    asking.end().clear()
    loader.result = None
    assert error() is None


def test_an_interrupted_leader_hands_over_to_a_follower(cache: Cache[Any, Any]) -> None:
    first, second = Held(KeyboardInterrupt()), Held("value")
    leading = Asking(lambda: load(cache, "a", first), 1)
    assert first.begun.wait(PATIENCE)
    following = Asking(lambda: load(cache, "a", second), 3)
    eventually(lambda: followers(cache) == 3)
    first.go.set()
    second.go.set()
    assert isinstance(leading.end()[0], KeyboardInterrupt)
    assert following.end() == ["value"] * 3
    assert second.calls == 1


def test_a_load_that_asks_for_its_own_key_runs_the_loader_again(cache: Cache[Any, Any]) -> None:
    depths = iter([1, 2, 3])

    def loader(key: str) -> int:
        depth = next(depths)
        return depth if depth == 3 else load(cache, key, loader) * 10

    assert load(cache, "a", loader) == 300
    assert cache.get("a") == 300


def test_also_in_a_context_of_its_own(cache: Cache[Any, Any]) -> None:
    """A thread cannot wait for itself, whatever its context says."""

    def loader(key: str) -> str:
        got: str = contextvars.Context().run(load, cache, key, str.upper)
        return got

    assert load(cache, "a", loader) == "A"


def test_loads_that_wait_for_each_other_end(cache: Cache[Any, Any]) -> None:
    """Three threads hold a key each and ask for the next one's: one of them loads it itself."""
    all_begun = threading.Barrier(3)
    inner: list[str] = []

    def outer(key: int) -> str:
        all_begun.wait(PATIENCE)
        return f"{key}<{load(cache, (key + 1) % 3, own)}>"

    def own(key: int) -> str:
        inner.append("loaded")
        return f"own {key}"

    keys = iter(range(3))
    got = Asking(lambda: load(cache, next(keys), outer), 3).end()
    assert not [one for one in got if isinstance(one, BaseException)]
    assert 1 <= len(inner) <= 3
    assert not cache._flights


def test_loads_of_two_caches_that_wait_for_each_other_end(cache: Cache[Any, Any]) -> None:
    other: Cache[Any, Any] = Cache("other", registry=Registry())
    both = threading.Barrier(2)

    def from_here(key: str) -> object:
        both.wait(PATIENCE)
        return load(other, key, lambda _: "own")

    def from_there(key: str) -> object:
        both.wait(PATIENCE)
        return load(cache, key, lambda _: "own")

    asks = iter([(cache, from_here), (other, from_there)])

    def ask() -> object:
        where, loader = next(asks)
        return load(where, "a", loader)

    assert set(Asking(ask, 2).end()) <= {"own"}


def test_what_was_forgotten_while_it_was_loaded_is_not_kept(cache: Cache[Any, Any]) -> None:
    """Those who waited get it; who asks after the forgetting loads anew."""
    for key in ["a", None]:
        loader = Held("old")
        asking = Asking(lambda loader=loader: load(cache, "a", loader), 2)  # type: ignore[misc]
        eventually(lambda: followers(cache) == 1)
        if key is None:
            cache._abandon()
        else:
            cache._abandon(key)
        assert load(cache, "a", lambda _: "new") == "new"
        loader.go.set()
        assert asking.end() == ["old", "old"]
        assert cache.pop("a") == "new"


@pytest.mark.parametrize(
    "change",
    [
        lambda cache: cache.set("a", "new"),
        lambda cache: cache.set_many({"a": "new"}),
        lambda cache: cache.pop("a", None),
        lambda cache: cache.delete("a"),
        lambda cache: (cache.set("a", 1), cache.__delitem__("a")),
        lambda cache: cache.clear(),
    ],
    ids=["set", "set_many", "pop", "delete", "del", "clear"],
)
@pytest.mark.parametrize("spills", [False, True])
def test_a_change_through_the_cache_makes_a_load_under_way_old(
    tmp_path: Path,
    change: Callable[[Any], object],
    spills: bool,  # noqa: FBT001  # a parameter
) -> None:
    """Its value goes to those who wait for it, and is not kept in the place of the newer one."""
    if spills:
        pytest.importorskip("diskcache")
    where = tmp_path / "spill" if spills else None
    made: Any = Cache("changed", max_entries=100, registry=Registry(), spill=where)
    made.set("b", 1)
    loader = Held("old")
    asking = Asking(lambda: load(made, "a", loader), 2)
    eventually(lambda: followers(made) == 1)
    change(made)
    after = made.get("a")
    loader.go.set()
    assert asking.end() == ["old", "old"]
    assert made.get("a") == after
    assert after in (None, "new")
    assert load(made, "a", lambda _: "next") == (after or "next")
    assert not made._flights


def loading_of(cache: Cache[Any, Any], function: Any, keep: Any) -> Loading:
    """How values come into a cache that is looked at and forgotten in as usual."""
    loading = Loading(function, cache)
    loading.keep = keep
    return loading


def test_what_is_forgotten_in_the_moment_of_keeping_is_gone(cache: Cache[Any, Any]) -> None:
    def keep(key: object, value: object) -> None:
        cache.pop(key, None)
        cache.set(key, value)

    loading = loading_of(cache, lambda _: "old", keep)
    assert fly(loading, "a", ("a",), {}) == "old"
    assert "a" not in cache


def test_where_keeping_fails_those_who_waited_have_the_value(cache: Cache[Any, Any]) -> None:
    def size(value: object) -> int:
        raise OSError("no size")

    broken: Cache[Any, Any] = Cache("broken", size=size, registry=Registry())
    loader = Held("value")
    asking = Asking(lambda: load(broken, "a", loader), 4)
    eventually(lambda: followers(broken) == 3)
    loader.go.set()
    got = asking.end()
    assert got.count("value") == 3
    assert sum(isinstance(one, OSError) for one in got) == 1


def test_a_coroutine_or_a_generator_is_no_value(cache: Cache[Any, Any]) -> None:
    """Only its first user could use it; nothing of it is kept, nor a warning given."""

    async def coroutine(key: str) -> str:
        return key

    def generator(key: str) -> Any:
        yield key

    for loader, kind in [(coroutine, "a coroutine"), (generator, "a generator")]:
        with pytest.raises(ConfigError, match=kind):
            load(cache, "a", loader)
    assert len(cache) == 0


LOADING_IN_AN_IMPORT = """
import sys
from membudget.cache.cache import Cache

cache, got = Cache("early", max_entries=10), []

class Finalizing:
    "Asks in the middle of an import, as a finalizer may."

    def find_spec(self, name, *_):
        if name == "contextvars":
            got.append(cache.get_or_load("a", lambda key: key + "!"))
            got.append(cache.get_or_load("a", lambda key: "not again"))

sys.meta_path.insert(0, Finalizing())
print(cache.get_or_load("b", lambda key: key + "!"), *got)
"""


def test_a_finalizer_may_load_while_loading_is_imported() -> None:
    """The import is under way in its own thread, below it: it loads for itself alone."""
    command = [sys.executable, "-c", LOADING_IN_AN_IMPORT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("b! a! a!\n", "")


def test_hammered_by_threads_every_value_is_right(cache: Cache[Any, Any]) -> None:
    small: Cache[Any, Any] = Cache("small", max_entries=10, registry=Registry())
    wrong: list[object] = []

    def loader(key: int) -> int:
        if key % 7 == 0:
            raise LookupError(key)
        return key if key < 30 else load(small, key - 30, loader) + 30

    def work(seed: int) -> None:
        for step in range(2000):
            key = (seed * 31 + step * 17) % 60
            try:
                got = load(small, key, loader)
                if got != key:
                    wrong.append((key, got))
            except LookupError as error:
                if error.args[0] not in (key, key - 30):
                    wrong.append(error)
            if step % 50 == 0:
                small._abandon()

    seeds = iter(range(8))
    assert Asking(lambda: work(next(seeds)), 8).end() == [None] * 8
    assert not wrong
    assert not small._flights


def test_who_missed_just_before_another_load_ended_does_not_load_again(
    cache: Cache[Any, Any],
) -> None:
    """The leader looks once more before it calls; the figures count one lookup."""
    loader = Held("value")
    asking = Asking(lambda: load(cache, "a", loader), 1)
    assert loader.begun.wait(PATIENCE)
    assert cache.get("a") is None
    loader.go.set()
    asking.end()
    lookups = cache.stats().hits, cache.stats().misses
    loading = loading_of(cache, lambda key: pytest.fail("loaded"), cache.set)
    assert fly(loading, "a", ("a",), {}) == "value"
    assert (cache.stats().hits, cache.stats().misses) == lookups


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@forks
def test_a_child_does_not_wait_for_a_load_of_its_parent(cache: Cache[Any, Any]) -> None:
    """It loads itself, many threads of it once; the parent's load goes on."""
    slow = Held("parent's")
    leader = Asking(lambda: load(cache, "a", slow), 1)
    assert slow.begun.wait(PATIENCE)

    def act() -> None:
        asks = [lambda: load(cache, "a", lambda _: "child's")] * 5
        assert in_threads(*asks) == ["child's"] * 5
        assert not cache._flights

    try:
        assert in_child(act)
    finally:
        slow.go.set()
        leader.end()
    assert cache.get("a") == "parent's"


@forks
def test_a_loader_may_fork(cache: Cache[Any, Any]) -> None:
    """The child, still in the middle of the load, may ask for the same key."""

    def act() -> None:
        assert load(cache, "a", lambda _: "child's") == "child's"

    assert load(cache, "a", lambda _: in_child(act)) is True
    assert cache.get("a") is True
