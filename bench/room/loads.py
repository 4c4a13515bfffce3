"""What workers ask for: a cold one for many keys alike, a hot one for few, some of them often."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

BATCH = 50
"""Keys that are asked for in one go."""

VALUE = 20_000
"""Bytes of a value."""


class Role(NamedTuple):
    """How many keys there are, the exponent of their Zipf law, and seconds between two batches."""

    keys: int
    exponent: float
    every: float

    @property
    def a_second(self) -> float:
        """Keys asked for in a second, where the machine keeps up."""
        return BATCH / self.every


ROLES = {"cold": Role(20_000, 0.3, 0.005), "hot": Role(4_000, 0.9, 0.012)}


def batches(role: str, random_: random.Random) -> Iterator[list[int]]:
    """Batches of keys without an end."""
    keys = range(ROLES[role].keys)
    weights = [1 / (rank + 1) ** ROLES[role].exponent for rank in keys]
    summed = list(itertools.accumulate(weights))
    while True:
        yield random_.choices(keys, cum_weights=summed, k=BATCH)
