"""The cache in a process that forks: the child's works, and is in order or empty."""

import os
import time
from typing import Any

import pytest

from beside import held_elsewhere, in_child, in_threads, meanwhile
from cache_oracle import check
from membudget.cache.cache import Cache
from membudget.cache.table import IS_COMPILED
from membudget.registry import Registry

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@pytest.fixture
def cache() -> Cache[Any, int]:
    made: Cache[Any, int] = Cache("forked", max_entries=100, registry=Registry())
    for number in range(10):
        made.set(number, number)
    return made


def test_a_child_goes_on_with_what_was_there(cache: Cache[Any, int]) -> None:
    def act() -> None:
        assert cache.keys() == list(range(10))
        cache.set("child", 1)
        assert cache.pop(0) == 0
        check(cache)

    assert in_child(act)
    assert cache.keys() == list(range(10))
    cache.set("parent", 1)


@pytest.mark.skipif(IS_COMPILED, reason="the compiled table has no lock")
def test_a_fork_in_the_middle_of_a_change_by_the_same_thread(cache: Any) -> None:
    """As a key's `__eq__` may do: neither process waits for itself."""

    def act() -> None:
        with cache._lock:
            assert cache.get(1) == 1
            assert in_child(lambda: check(cache))
        cache.set("child", 1)
        check(cache)

    with cache._lock:
        assert in_child(act)
    assert cache.get(1) == 1
    assert in_threads(lambda: cache.get(1)) == [1]


@pytest.mark.skipif(IS_COMPILED, reason="the compiled table has no lock")
def test_a_child_of_a_parent_in_the_middle_of_a_change_forgets(cache: Any) -> None:
    """What another thread was changing may be half done: a cache may forget, it may not lie."""

    def act() -> None:
        assert cache.get(1) is None
        assert len(cache) == cache.held_bytes() == 0
        cache.set("child", 1)
        assert cache.get("child") == 1

    with held_elsewhere(cache._lock):
        assert in_child(act)
    assert cache.keys() == list(range(10))


@pytest.mark.skipif(IS_COMPILED, reason="the compiled table has no lock")
def test_hooks_around_hooks_give_back_every_lock(cache: Any) -> None:
    """A program's own at-fork hook may fork again."""
    until = time.monotonic() + 1
    cache.before_fork(until)
    cache.before_fork(until)
    cache.after_fork_in_parent()
    cache.after_fork_in_parent()
    cache.after_fork_in_parent()  # One too many does nothing.
    assert in_threads(lambda: cache.set("a", 1)) == [True]


def test_forks_beside_a_busy_thread(cache: Cache[Any, int]) -> None:

    def hammer(number: int) -> None:
        cache.set(number % 300, number)
        cache.get((number * 7) % 300)

    def act() -> None:
        check(cache)
        cache.set("child", 1)
        assert cache.get("child") == 1
        check(cache)

    with meanwhile(hammer):
        assert all(in_child(act) for _ in range(50))
    check(cache)
