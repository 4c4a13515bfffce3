"""Loading in a process that forks: nobody in the child waits for a thread that stayed behind."""

from __future__ import annotations

import os
import signal
import threading
import traceback
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from membudget.cache.cache import Cache
from membudget.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

load = Cache.get_or_load
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
        got: list[str] = []
        threads = [
            threading.Thread(target=lambda: got.append(load(cache, "a", lambda _: "child's")))
            for _ in range(5)
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert got == ["child's"] * 5
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
