"""Fixed splits of a room: the largest equal one that lives, and the best one, found by search.

A bound of a cache is what others know of it, so its hits follow from its own keys alone: they are
counted on the same cache, asked for the same keys, with values that weigh as much and take none.
"""

from __future__ import annotations

import functools
import json
import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from loads import BATCH, ROLES, VALUE, batches
from scenes import LEAK

from membudget.cache.cache import Cache
from membudget.registry import Registry
from membudget.sizing import size_of

if TYPE_CHECKING:
    from scenes import Scene

_SPARE = 0.97
"""Part of the limit that may be held: the kernel counts page tables and files as well."""

_TRIED = 2 << 20
"""Bytes between two sizes that are tried."""

_ALIKE = 0.1
"""Points of hits that are no difference: then the cold ones get the rest."""

_SAMPLE = 48 << 20
WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "worker.py")


class Split(NamedTuple):
    """Bytes for the cache of each cold and of each hot worker."""

    cold: int
    hot: int


def equal(scene: Scene) -> Split:
    """The same for each."""
    size = _room(scene) // len(scene.members)
    return Split(size, size)


@functools.cache
def best(scene: Scene) -> Split:
    """What gives the hot ones most hits, in the mean, and of those the most to the cold ones.

    Where each is cold in its turn, nothing fixed is better than equal parts.
    """
    if scene.swaps:
        return equal(scene)
    hot = [one for one in scene.members if one.is_hot]
    cold = len(scene.members) - len(hot)
    most, asked = _room(scene), round(hot[0].roles[0][1] * ROLES["hot"].a_second)
    sizes = range(_TRIED, (most - cold * _TRIED) // len(hot) + 1, _TRIED)
    curve = {size: _hits("hot", size, asked) for size in sizes}
    highest = max(curve.values())
    size = min(size for size, hits in curve.items() if hits >= highest - _ALIKE)
    return Split((most - len(hot) * size) // cold, size)


def _room(scene: Scene) -> int:
    """Bytes for all caches: what is left once all workers stand there empty, and a neighbour."""
    lent = LEAK + _base() if scene.leaks else 0
    return int(scene.limit * _SPARE) - lent - _base() * len(scene.members)


def _hits(role: str, size: int, asked: int) -> float:
    """Percent of so many keys that a cache of this size has."""
    cache: Cache[int, bool] = Cache("tried", max_bytes=size, registry=Registry())
    weight, hits = size_of(bytes(VALUE)), 0
    stream = batches(role, random.Random(1))  # noqa: S311  # to be the same again
    for _ in range(asked // BATCH):
        for key in next(stream):
            if cache.get(key) is None:
                cache.set(key, True, size=weight)
            else:
                hits += 1
    return 100 * hits / asked


@functools.cache
def _base() -> int:
    """Bytes that a worker takes beside what its cache counts, seen once the cache is full."""
    spec = {"number": 0, "most": _SAMPLE, "roles": [["cold", 1.5]]}
    ran = subprocess.run(
        [sys.executable, WORKER, json.dumps(spec)], check=True, capture_output=True, text=True
    )
    last = json.loads(ran.stdout.splitlines()[-1])
    base: int = last["own"] - last["held"]
    return base
