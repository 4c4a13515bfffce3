"""Requests for memory that fail amid a call: MemoryError comes, whatever the values are."""

import importlib.util
import subprocess
import sys

import pytest

from membudget._native import core

PROGRAM = """
import gc
from collections import Counter, deque
from _testcapi import remove_mem_hooks, set_nomemory
from membudget import Cache
from membudget.registry import Registry

gc.disable()  # Where the collector runs out of memory the interpreter gives up.
calls = {
    "evict": lambda cache: cache._evict(10_000, "pressure"),
    "enforce": lambda cache: cache._enforce(),
    "set": lambda cache: cache.set(2, fresh),
    "set_many": lambda cache: cache.set_many(pairs),
    "get_many": lambda cache: cache.get_many([1, 2, 3]),
    "values": lambda cache: cache.values(),
    "items": lambda cache: cache.items(),
    "some": lambda cache: cache._some_values(0, 100),
    "reweigh": lambda cache: cache._reweigh(),
    "pop": lambda cache: cache.pop(1),
    "clear": lambda cache: cache.clear(),
}
fresh, ends = deque([2] * 20), Counter()
pairs = [(number, deque([number])) for number in range(8)]
for listener in (None, lambda *_: None):
    for name, call in calls.items():
        for first in range(30):
            for width in (1, 2, 5):
                cache = Cache("starved", max_bytes=10**7, on_evict=listener, registry=Registry())
                for key in range(5):
                    cache.set(key, deque([key] * 20))
                try:
                    set_nomemory(first, first + width)
                    try:
                        call(cache)
                    finally:
                        remove_mem_hooks()
                except BaseException as error:
                    ends[f"{name}: {type(error).__name__}"] += 1
print(sum(ends.values()), *sorted(end for end in ends if not end.endswith(": MemoryError")))
"""


@pytest.mark.skipif(core is None, reason="no Python code is whole where each line may lack memory")
@pytest.mark.skipif(
    importlib.util.find_spec("_testcapi") is None, reason="this interpreter cannot make it fail"
)
def test_a_deque_let_go_amid_an_error_does_not_clear_it() -> None:
    """Where it finds no memory for its own end it clears what is under way: SystemError."""
    command = [sys.executable, "-c", PROGRAM]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # our own
    short, *others = told.split(maxsplit=1)
    assert int(short) > 100
    assert others == []
