"""What a cache tells about itself."""

from __future__ import annotations

from types import MappingProxyType

from membudget.core import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


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
            cache's own bounds, "share" its share of the budget, "pressure" the budget itself.
        bytes_evicted: What those weighed.
        expirations: Entries freed because they had expired.
        oldest_age: Seconds since the entry oldest in its order was set; None where there is none.
        hits_per_byte: Recent hits ÷ bytes; the least worthy cache shrinks first.
        ghost_hits: Values taken in whose keys had been evicted shortly before: with more room they
            would have been hits.
        ghost_bytes: About how much more room that is.
        policy: What goes first: "gdsf", "s3fifo" or "lru".
        is_compiled: Whether the compiled table does the work.
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
    ghost_hits: int
    ghost_bytes: int
    policy: str
    is_compiled: bool


def stats_of(counts: dict[str, Any], now: float, **more: Any) -> CacheStats:
    """What a table counted, in a cache's words.

    Args:
        counts: As the table gives them.
        now: Monotonic seconds.
        more: What the cache itself knows.
    """
    lookups = counts["hits"] + counts["misses"]
    recent = counts["hits"] - counts.pop("forgotten_hits")
    oldest, evictions = counts.pop("oldest_born"), counts.pop("evictions")
    return CacheStats(
        hit_rate=counts["hits"] / lookups if lookups else 0.0,
        evictions=MappingProxyType(evictions),
        oldest_age=None if oldest is None else now - oldest,
        hits_per_byte=recent / max(1, counts["bytes"]),
        **counts,
        **more,
    )


class Shrunk(Record):
    """What came of shrinking a cache.

    Attributes:
        freed: Bytes that the entries let go weighed.
        measured: Bytes by which the process shrank meanwhile; below 0 where it grew. Freed memory
            often stays with the allocator, for the process to use again.
        entries: Entries let go.
        took: Seconds.
    """

    freed: int
    measured: int
    entries: int
    took: float
