"""The keys that clients ask for."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEYS, _EXPONENT = 20_000, 0.9


def keys_of(seed: int, count: int) -> Iterator[str]:
    """So many keys at a time, by a Zipf law, without an end."""
    random_ = random.Random(seed)  # noqa: S311  # to be the same again
    weights = [1 / (rank + 1) ** _EXPONENT for rank in range(_KEYS)]
    summed = list(itertools.accumulate(weights))
    while True:
        yield "-".join(map(str, random_.choices(range(_KEYS), cum_weights=summed, k=count)))
