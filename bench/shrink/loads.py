"""The values, and the requests that churn a cache of them."""

from __future__ import annotations

import itertools
import json
import random
from array import array
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_SEED = 23
_SKEW = 0.9
_BLOB = 20_000


def _record(number: int) -> Any:
    """An answer parsed from its text: about 70 objects in 5 kB."""
    lines = [
        {"sku": f"sku-{number}-{line}", "count": number + line + 300, "price": number + line / 7}
        for line in range(12)
    ]
    client = {"name": f"client {number}", "mail": f"{number}@example.org", "tags": ["a1", "b2"]}
    return json.loads(json.dumps({"id": number + 10**6, "client": client, "lines": lines}))


def _small_dict(number: int) -> Any:
    return {name: number * 10 + 1000 + at for at, name in enumerate("abcdefghij")}


def _blob(number: int) -> Any:
    return number.to_bytes(8, "big") * (_BLOB // 8)


KINDS: dict[str, Callable[[int], Any]] = {
    "JSON": _record,
    "small dicts": _small_dict,
    "20 kB bytes": _blob,
}
"""Makers of values, by name."""


def requests(keys: int, count: int) -> array[int]:
    """So many draws from a Zipf distribution (0.9) over so many keys, the same in every run."""
    weights = array("d", itertools.accumulate((rank + 1) ** -_SKEW for rank in range(keys)))
    drawn = random.Random(_SEED)  # noqa: S311  # no secret
    return array("I", drawn.choices(range(keys), cum_weights=weights, k=count))


def key_of(number: int) -> str:
    """A new object each time, as a request brings it."""
    return f"item:{number}"
