"""Requests to several caches at once: recorded ones, or drawn where none are there."""

from __future__ import annotations

import gzip
import os
import random
import sys
from array import array
from itertools import accumulate
from typing import NamedTuple

ENTRY = 1024
"""Bytes that each value is said to hold."""

_FILES = {
    "orm-busy": "orm-busy.u32.gz",
    "orm-night": "orm-night.u32.gz",
    "scarab": "scarab-recs.u32.gz",
    "web12": "web12.u32.gz",
    "web07": "web07.u32.gz",
    "oltp": "arc-oltp.u32.gz",
    "corda": "corda-vaultservice.u32.gz",
}

MIXES = {
    "two": ("orm-busy", "scarab"),
    "two, unlike": ("web12", "corda"),
    "two, night": ("orm-night", "oltp"),
    "five": ("orm-busy", "scarab", "web12", "oltp", "corda"),
    "five, night": ("orm-night", "scarab", "web07", "oltp", "web12"),
}

QUICK = ("two, unlike", "five")

_DRAWN = {"orm-busy": 1.1, "orm-night": 1.2, "scarab": 0.7, "web12": 0.9, "web07": 0.8, "oltp": 0.6}
"""Exponents of the Zipf laws that stand for traces which are not there; corda is one of reads in
pairs, which no cache can help."""


class Load(NamedTuple):
    """Requests in order: to which cache, and for which key. Keys of two caches never meet."""

    names: tuple[str, ...]
    caches: bytes
    keys: array[int]
    footprint: int
    """Keys in all."""

    def only(self, number: int) -> Load:
        """What one of the caches gets, in its order."""
        keys = array(
            "q", (key for at, key in zip(self.caches, self.keys, strict=True) if at == number)
        )
        return Load((self.names[number],), bytes(len(keys)), keys, len(set(keys)))


def missing(folder: str) -> list[str]:
    """The traces that are not in a folder."""
    return [name for name, file in _FILES.items() if not os.path.exists(os.path.join(folder, file))]


def trace(name: str, folder: str, most: int) -> array[int]:
    """The first requests of a trace, or drawn ones where it is missing."""
    path = os.path.join(folder, _FILES[name])
    if not os.path.exists(path):
        return _drawn(name, most)
    found = array("I")
    with gzip.open(path) as file:
        found.frombytes(file.read(4 * most))
    if sys.byteorder == "big":
        found.byteswap()
    return array("q", found)


def mixed(names: tuple[str, ...], folder: str, most: int) -> Load:
    """Traces side by side, each from its beginning to its end in the same time."""
    traces = [trace(name, folder, most) for name in names]
    return _side_by_side(names, traces)


def swapped(names: tuple[str, str], folder: str, most: int) -> Load:
    """Two traces that change places at half time."""
    one, other = (trace(name, folder, most // 2) for name in names)
    size = min(len(one), len(other))
    one, other = one[:size], other[:size]
    return _side_by_side(names, [one + other, other + one])


def _side_by_side(names: tuple[str, ...], traces: list[array[int]]) -> Load:
    """Each cache gets its requests evenly over the whole time."""
    places = (
        (at / len(keys), number) for number, keys in enumerate(traces) for at in range(len(keys))
    )
    order = bytes(number for _, number in sorted(places))
    first = list(accumulate((max(keys) + 1 for keys in traces), initial=0))
    rows = [iter(keys) for keys in traces]
    keys = array("q", (next(rows[number]) + first[number] for number in order))
    return Load(names, order, keys, len(set(keys)))


def _drawn(name: str, most: int) -> array[int]:
    chance = random.Random(name)  # noqa: S311  # a load, not a secret
    if name == "corda":
        return array("q", (at // 2 for at in range(most // 4)))
    population = max(100, most // 20)
    weights = list(accumulate(1 / rank ** _DRAWN[name] for rank in range(1, population + 1)))
    return array("q", chance.choices(range(population), cum_weights=weights, k=most))
