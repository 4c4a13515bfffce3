"""What a cache tells about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.core import Record

if TYPE_CHECKING:
    from collections.abc import Mapping


class CacheStats(Record):
    """A cache's figures since it was made (bytes and seconds).

    Attributes:
        name: The cache's name.
        entries: Entries held, those expired but not yet freed included.
        bytes: What they weigh.
        max_bytes: The bound in bytes, or None.
        max_entries: The bound in entries, or None.
        hits: Lookups that found a value.
        misses: Lookups that did not.
        hit_rate: Hits ÷ lookups; 0.0 before the first.
        sets: Values taken in.
        refused: Values not taken in, as heavier than `max_bytes`.
        evictions: Entries evicted, by what they made room for: "bytes" and "entries" are the
            cache's own bounds, "pressure" is the budget.
        bytes_evicted: What those weighed.
        expirations: Entries freed because they had expired.
        oldest_age: Seconds since the entry longest unused was set; None where there is none.
        hits_per_byte: Recent hits ÷ bytes; the least worthy cache shrinks first.
    """

    name: str
    entries: int
    bytes: int
    max_bytes: int | None
    max_entries: int | None
    hits: int
    misses: int
    hit_rate: float
    sets: int
    refused: int
    evictions: Mapping[str, int]
    bytes_evicted: int
    expirations: int
    oldest_age: float | None
    hits_per_byte: float
