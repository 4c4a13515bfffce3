"""Loops around one statement: over keys for reads, over keys and values for writes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_READS = "def run(keys, values):\n    for key in keys:\n        {}"
_WRITES = "def run(keys, values):\n    for key, value in zip(keys, values):\n        {}"


def reading(statement: str, names: dict[str, Any]) -> Callable[..., None]:
    """A loop of lookups; the second argument is not used."""
    return _made(_READS, statement, names)


def writing(statement: str, names: dict[str, Any]) -> Callable[..., None]:
    """A loop of sets."""
    return _made(_WRITES, statement, names)


def _made(shape: str, statement: str, names: dict[str, Any]) -> Callable[..., None]:
    space = dict(names)
    exec(shape.format(statement), space)  # noqa: S102  # Our own statements.
    run: Callable[..., None] = space["run"]
    return run


def each(run: Callable[..., None], keys: Sequence[Any], values: Sequence[Any] = ()) -> float:
    """Nanoseconds of processor time of the whole process, a turn of the loop."""
    began = time.process_time_ns()
    run(keys, values)
    return (time.process_time_ns() - began) / len(keys)


def together(
    run: Callable[..., None], parts: Sequence[tuple[Sequence[Any], Sequence[Any]]]
) -> float:
    """Nanoseconds by the clock on the wall, a turn of all loops, one thread for each part."""
    start = threading.Barrier(len(parts) + 1)

    def work(keys: Sequence[Any], values: Sequence[Any]) -> None:
        start.wait()
        run(keys, values)

    threads = [threading.Thread(target=work, args=part) for part in parts]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter_ns()
    for thread in threads:
        thread.join()
    return (time.perf_counter_ns() - began) / sum(len(keys) for keys, _ in parts)
