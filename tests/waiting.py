"""Waiting for something that another process does: until it is so, or a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(look: Callable[[], T], seconds: float = 100.0) -> T:
    """What `look` returns, once that is true; fails where it never was within so many seconds."""
    until = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < until, f"not so within {seconds} s"
        time.sleep(0.02)
    return seen
