"""Loading in a process that forks: nobody in the child waits for a thread that stayed behind."""

import os
import threading
from typing import Any

import pytest

from beside import PATIENCE, in_child, in_threads
from membudget.cache.cache import Cache
from membudget.registry import Registry

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

load = Cache.get_or_load


@pytest.fixture
def cache() -> Cache[Any, Any]:
    return Cache("forked", max_entries=100, registry=Registry())


def test_a_child_does_not_wait_for_a_load_of_its_parent(cache: Cache[Any, Any]) -> None:
    """It loads itself, many threads of it once; the parent's load goes on."""
    begun, go = threading.Event(), threading.Event()

    def slow(key: str) -> str:
        begun.set()
        assert go.wait(PATIENCE)
        return "parent's"

    leader = threading.Thread(target=load, args=(cache, "a", slow))
    leader.start()
    assert begun.wait(PATIENCE)

    def act() -> None:
        asks = [lambda: load(cache, "a", lambda _: "child's")] * 5
        assert in_threads(*asks) == ["child's"] * 5
        assert not cache._flights

    try:
        assert in_child(act)
    finally:
        go.set()
        leader.join()
    assert cache.get("a") == "parent's"


def test_a_loader_may_fork(cache: Cache[Any, Any]) -> None:
    """The child, still in the middle of the load, may ask for the same key."""

    def act() -> None:
        assert load(cache, "a", lambda _: "child's") == "child's"

    assert load(cache, "a", lambda _: in_child(act)) is True
    assert cache.get("a") is True
