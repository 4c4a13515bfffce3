"""What types are said to hold while a test runs, and what the allocator gave for values."""

import contextlib
import gc
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

from membudget.sizing import allocated, register, unregister


@contextlib.contextmanager
def registered(kind: type[Any], answer: Callable[[Any], Any]) -> Iterator[None]:
    register(kind, answer)
    try:
        yield
    finally:
        unregister(kind)


def truly_allocated(make: Callable[[int], Any], count: int) -> tuple[int, list[Any]]:
    """The bytes that so many objects take from the allocator, and the objects."""
    kept = [make(number) for number in range(50)]  # What is made once for all is made now.
    held: list[Any] = [None] * count
    gc.collect()
    tracemalloc.start()
    for number in range(count):
        held[number] = make(number + 1000)
    gc.collect()
    snapshot = tracemalloc.take_snapshot()
    tracemalloc.stop()
    del kept
    return sum(allocated(trace.size) for trace in snapshot.traces), held
