"""Loads of a cache that go on when they are let, and who waits for them."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from beside import PATIENCE
from membudget.cache.cache import Cache


def followers(cache: Cache[Any, Any], key: object = "a") -> int:
    """How many wait for the load of a key."""
    flight = cache._flights.get(key)
    return 0 if flight is None else len(flight.followers)


async def until(look: Callable[[], object]) -> None:
    """Let the other tasks run until something is so."""
    async with asyncio.timeout(PATIENCE):
        while not look():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0)


class Held:
    """A loader that says when it has begun and goes on when it is let."""

    def __init__(self, result: object = "value") -> None:
        self.calls = 0
        self.begun, self.go = threading.Event(), threading.Event()
        self.result = result

    def __call__(self, key: object) -> Any:
        self.calls += 1
        self.begun.set()
        assert self.go.wait(PATIENCE)
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result
