"""The cache in a process that forks: the child's works, and is in order or empty."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from cache_oracle import check
from membudget.cache.cache import Cache
from membudget.cache.table import IS_COMPILED
from membudget.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

PATIENCE = 20
"""Seconds after which a child that hangs is ended."""


def in_child(act: Callable[[], None]) -> bool:
    """Fork, do something in the child, and tell whether it went well."""
    with warnings.catch_warnings():
        # From 3.12 on a fork beside threads warns; that it goes well is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(PATIENCE)
            act()
        except BaseException:  # noqa: BLE001  # a child must end here, whatever happens
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


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
    threads = [threading.Thread(target=cache.get, args=(1,))]
    threads[0].start()
    threads[0].join(PATIENCE)
    assert not threads[0].is_alive(), "the lock was not given back"


@pytest.mark.skipif(IS_COMPILED, reason="the compiled table has no lock")
def test_a_child_of_a_parent_in_the_middle_of_a_change_forgets(cache: Any) -> None:
    """What another thread was changing may be half done: a cache may forget, it may not lie."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with cache._lock:
            held.set()
            done.wait(PATIENCE)

    def act() -> None:
        assert cache.get(1) is None
        assert len(cache) == cache.held_bytes() == 0
        cache.set("child", 1)
        assert cache.get("child") == 1

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(PATIENCE)
    went_well = in_child(act)
    done.set()
    thread.join()
    assert went_well
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
    thread = threading.Thread(target=cache.set, args=("a", 1))
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "the lock was not given back"


def test_forks_beside_a_busy_thread(cache: Cache[Any, int]) -> None:
    ended = threading.Event()

    def hammer() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            cache.set(number % 300, number)
            cache.get((number * 7) % 300)

    def act() -> None:
        check(cache)
        cache.set("child", 1)
        assert cache.get("child") == 1
        check(cache)

    thread = threading.Thread(target=hammer)
    thread.start()
    try:
        assert all(in_child(act) for _ in range(50))
    finally:
        ended.set()
        thread.join()
    check(cache)
