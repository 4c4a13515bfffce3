"""What finding a value's size takes within a set, beside the sizers that peers are given."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_RECORDS = 300
_ROUNDS = 7


def record(number: int) -> Any:
    """An answer as it is parsed from text: about 70 objects in 5 kB."""
    lines = [
        {"sku": f"sku-{number}-{line}", "count": number + line + 300, "price": number + line / 7}
        for line in range(12)
    ]
    client = {"name": f"client {number}", "mail": f"{number}@example.org", "tags": ["a1", "b2"]}
    return json.loads(json.dumps({"id": number + 10**6, "client": client, "lines": lines}))


def measure() -> dict[str, float]:
    """Microseconds of processor time a record: the best of several rounds over 300 records.

    Ours is a set that weighs less a set that is told the size: so it is what a caller pays.
    """
    from membudget import Cache, Registry

    records = [record(number) for number in range(_RECORDS)]
    keys = [f"record:{number}" for number in range(_RECORDS)]
    cache: Any = Cache("records", max_bytes="1GiB", registry=Registry())
    found = {"weighed": 1e9, "told": 1e9, "sys.getsizeof": 1e9, "pympler": 1e9}
    sizers: dict[str, Callable[[Any], int]] = {"sys.getsizeof": sys.getsizeof}
    try:
        from pympler.asizeof import asizeof
    except ImportError:
        del found["pympler"]
    else:
        sizers["pympler"] = asizeof
    for _ in range(_ROUNDS):
        began = time.process_time_ns()
        for key, value in zip(keys, records, strict=True):
            cache.set(key, value, ttl=600.0)
        weighed = time.process_time_ns()
        for key, value in zip(keys, records, strict=True):
            cache.set(key, value, ttl=600.0, size=5000)
        told = time.process_time_ns()
        _lower(found, "weighed", weighed - began)
        _lower(found, "told", told - weighed)
        for name, sizer in sizers.items():
            began = time.process_time_ns()
            for value in records:
                sizer(value)
            _lower(found, name, time.process_time_ns() - began)
    found["membudget"] = found.pop("weighed") - found.pop("told")
    return found


def _lower(found: dict[str, float], name: str, taken: int) -> None:
    found[name] = min(found[name], taken / 1e3 / _RECORDS)
