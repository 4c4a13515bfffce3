"""One process's figures of one contestant: what its operations take, what an entry takes.

Lookups ask with keys that are equal to those set and other objects, as a request brings them.
Values are bytes of 64. What the bench itself holds is out of the collector's sight.
"""

from __future__ import annotations

import gc
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contestants import CONTESTANTS
from loops import each, reading, together, writing
from memory import settled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from contestants import Made

_TTL = 600.0
_SEGMENTS = 8
_THREADS = 4
_SEED = 7


@dataclass(frozen=True)
class Scale:
    """How many operations make a figure.

    Attributes:
        entries: The bound.
        segment: Reads in one of eight segments.
        writes: Overwrites, and new entries.
        shared: Operations of each of four threads, in one of several repetitions.
    """

    entries: int
    segment: int
    writes: int
    shared: int
    repetitions: int


SCALES = {
    10_000: Scale(10_000, 20_000, 30_000, 10_000, 3),
    1_000_000: Scale(1_000_000, 20_000, 100_000, 20_000, 2),
}


def measure(contestant: str, entries: int, kind: str) -> dict[str, float]:
    """Nanoseconds an operation, bytes an entry, milliseconds of a collection.

    Args:
        contestant: Its name.
        entries: How many it holds.
        kind: Of the keys, "str" or "int".
    """
    chosen, scale = CONTESTANTS[contestant], SCALES[entries]
    fresh = scale.writes + _THREADS * scale.shared * scale.repetitions
    keys, absent = _keys(kind, 0, entries), _keys(kind, entries, entries + fresh)
    values = [bytes(64) + b"%d" % (number % 10) for number in range(entries)]
    asked, some = _shuffled(_keys(kind, 0, entries)), _so_many(values, scale.writes)
    gc.collect()
    gc.freeze()
    before = settled()
    made = chosen.make(entries, keys[0], values[0], _TTL)
    put = _put(chosen.write, made)
    put(keys, values)
    found = {"bytes an entry": (settled() - before) / entries, "gc ms": _collection()}
    asked = [key for key in asked if made.has(key)]
    get = reading(chosen.read, made.names)
    found["loop"] = min(each(reading("pass", {}), asked[: scale.segment]) for _ in range(5))
    found["hit"] = _reads(get, asked, scale.segment)
    if chosen.write is not None:
        # A function's cache makes what it misses, so it has neither misses nor overwrites.
        found["miss"] = _reads(get, absent, scale.segment)
        found["overwrite"] = each(put, _so_many(asked, scale.writes), some)
    found["hit 4"], found["overwrite 4"] = _shared(get, put, asked, values, scale)
    found["new"] = each(put, absent[: scale.writes], some)
    found["new 4"] = _shared_new(put, absent[scale.writes :], values, scale)
    found["churned bytes an entry"] = (settled() - before) / entries
    if chosen.write is None:
        del found["overwrite 4"]
    return found


def _keys(kind: str, first: int, last: int) -> list[Any]:
    """New objects each time, all of one size."""
    if kind == "int":
        return [number + 1_000_000 for number in range(first, last)]
    return [f"session:{number:010}" for number in range(first, last)]


def _shuffled(keys: list[Any]) -> list[Any]:
    random.Random(_SEED).shuffle(keys)  # noqa: S311  # no secret
    return keys


def _so_many(some: Sequence[Any], count: int) -> list[Any]:
    return (list(some) * (count // len(some) + 1))[:count]


def _put(write: str | None, made: Made) -> Callable[..., None]:
    if write is None:
        return reading("get(key)", made.names)
    return writing(write, made.names)


def _reads(get: Callable[..., None], keys: list[Any], length: int) -> float:
    """The best of several segments, each of other keys where there are enough.

    No order comes twice: where one repeats, a list in the order of use has the next key's entry
    beside the last one's, and fetches it ahead.
    """
    order, many = random.Random(_SEED), list[Any]()  # noqa: S311  # no secret
    while len(many) < _SEGMENTS * length:
        many += order.sample(keys, len(keys))
    parts = [many[at : at + length] for at in range(0, _SEGMENTS * length, length)]
    return min(each(get, part) for part in parts)


def _shared(
    get: Callable[..., None],
    put: Callable[..., None],
    asked: list[Any],
    values: list[Any],
    scale: Scale,
) -> tuple[float, float]:
    """Hits and overwrites by four threads, each in an order of its own; the best repetition."""
    parts = []
    for number in range(_THREADS):
        at = number * len(asked) // _THREADS
        keys = _so_many(asked[at:] + asked[:at], scale.shared)
        parts.append((keys, _so_many(values, scale.shared)))
    hits = min(together(get, parts) for _ in range(scale.repetitions))
    return hits, min(together(put, parts) for _ in range(scale.repetitions))


def _shared_new(
    put: Callable[..., None], keys: list[Any], values: list[Any], scale: Scale
) -> float:
    some, figures = _so_many(values, scale.shared), []
    for _ in range(scale.repetitions):
        parts = []
        for _ in range(_THREADS):
            parts.append((keys[: scale.shared], some))
            keys = keys[scale.shared :]
        figures.append(together(put, parts))
    return min(figures)


def _collection() -> float:
    """Milliseconds of one full collection, while nothing but the cache is in sight."""
    figures = []
    for _ in range(3):
        began = time.thread_time_ns()
        gc.collect()
        figures.append((time.thread_time_ns() - began) / 1e6)
    return min(figures)
