"""The traces: sequences of requests, each a key and, where sizes count, what its value weighs."""

from __future__ import annotations

import array
import bisect
import gzip
import itertools
import math
import os
import random
import sys
from typing import NamedTuple

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data")

KNOWN = {
    "web07": "web07.u32.gz",
    "web12": "web12.u32.gz",
    "orm-busy": "orm-busy.u32.gz",
    "orm-night": "orm-night.u32.gz",
    "scarab-recs": "scarab-recs.u32.gz",
    "corda-vaultservice": "corda-vaultservice.u32.gz",
    "arc-oltp": "arc-oltp.u32.gz",
    "adaptsize-request": "adaptsize-request.u32x2.gz",
}
"""What the published figures are made of; any other file of the two forms is replayed as well."""

ZIPF = "zipf 0.9"

FIRST_KEY = 1000
"""Added to keys: each weighs the same then, which CPython's kept small numbers would not."""

OVERHEAD = 512
"""Bytes added to each size where bytes bind. An entry costs something in every cache; for the
contestants that count such a cost themselves it is taken off again (see `contestants`)."""

DISTRIBUTIONS = ("lognormal", "pareto", "equal")

_EXPONENT, _ZIPF_KEYS, _ZIPF_REQUESTS = 0.9, 300_000, 500_000
_MEDIAN, _SIGMA = 4096, 1.5
_LEAST, _SHAPE = 400, 1.1
_MOST = 16 << 20
_SEED = 1


class Trace(NamedTuple):
    """One sequence of requests.

    Attributes:
        name: What it is called.
        keys: The key of each request.
        sizes: Bytes that its value weighs, of each request; empty where the trace has none.
    """

    name: str
    keys: list[int]
    sizes: list[int]


def found(folder: str) -> dict[str, str]:
    """The traces in a folder, by name: the known ones first, then what else is there."""
    there = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    files = {name: file for name, file in KNOWN.items() if file in there}
    for file in there:
        name, _, form = file.partition(".")
        if form in ("u32.gz", "u32x2.gz"):
            files.setdefault(name, file)
    return {name: os.path.join(folder, file) for name, file in files.items()}


def load(name: str, path: str | None, limit: int) -> Trace:
    """The first requests of a trace.

    Args:
        name: What it is called.
        path: Its file; None makes the Zipf trace.
        limit: Requests to take at most.
    """
    if path is None:
        return Trace(name, _zipf(limit), [])
    numbers = array.array("I")
    with gzip.open(path) as file:
        numbers.frombytes(file.read())
    if sys.byteorder == "big":
        numbers.byteswap()
    if path.endswith(".u32x2.gz"):
        return Trace(name, _keys(numbers[: 2 * limit : 2]), numbers[1 : 2 * limit : 2].tolist())
    return Trace(name, _keys(numbers[:limit]), [])


def with_sizes(trace: Trace, distribution: str) -> Trace:
    """The trace with the cost of an entry on its sizes, and with seeded sizes where it has none.

    Args:
        trace: Its own sizes stay, but for "equal".
        distribution: "lognormal", "pareto" or "equal".
    """
    sizes = trace.sizes
    if not sizes or distribution == "equal":
        drawn = random.Random(_SEED)  # noqa: S311 - drawn to be drawn again.
        of_key = {key: _size(drawn, distribution) for key in dict.fromkeys(trace.keys)}
        sizes = [of_key[key] for key in trace.keys]
    return trace._replace(sizes=[size + OVERHEAD for size in sizes])


def footprint(trace: Trace) -> int:
    """What all its values weigh together; where it has no sizes, how many there are."""
    sizes = trace.sizes or itertools.repeat(1)
    return sum(dict(zip(trace.keys, sizes, strict=False)).values())


def _keys(numbers: array.array[int]) -> list[int]:
    return [FIRST_KEY + key for key in numbers]


def _zipf(limit: int) -> list[int]:
    weights = (rank**-_EXPONENT for rank in range(1, _ZIPF_KEYS + 1))
    summed = list(itertools.accumulate(weights))
    drawn = random.Random(_SEED)  # noqa: S311 - drawn to be drawn again.
    count = min(limit, _ZIPF_REQUESTS)
    points = (drawn.random() * summed[-1] for _ in range(count))
    return [FIRST_KEY + bisect.bisect_left(summed, point) for point in points]


def _size(drawn: random.Random, distribution: str) -> int:
    if distribution == "equal":
        return _MEDIAN
    if distribution == "pareto":
        size = _LEAST * drawn.paretovariate(_SHAPE)
    else:
        size = drawn.lognormvariate(math.log(_MEDIAN), _SIGMA)
    return min(_MOST, int(size))
