"""The most hits that any cache could have: Belady's rule, which knows what will be asked for."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def most_hits(keys: Sequence[int], entries: int) -> int:
    """Hits where the value that is wanted last always goes, or is never taken in.

    Args:
        keys: The requests.
        entries: The bound.
    """
    follows = _following(keys)
    never = len(keys)
    wanted: dict[int, int] = {}
    latest: list[tuple[int, int]] = []  # A heap of (-next request, key); stale ones are passed.
    hits = 0
    for key, following in zip(keys, follows, strict=True):
        if key in wanted:
            hits += 1
        elif following == never:
            continue
        elif len(wanted) >= entries:
            while wanted.get(latest[0][1]) != -latest[0][0]:
                heapq.heappop(latest)
            if -latest[0][0] <= following:
                continue
            del wanted[heapq.heappop(latest)[1]]
        wanted[key] = following
        heapq.heappush(latest, (-following, key))
    return hits


def _following(keys: Sequence[int]) -> list[int]:
    """When each request's key is wanted next; the number of requests where it never is."""
    follows = [len(keys)] * len(keys)
    seen: dict[int, int] = {}
    for at in range(len(keys) - 1, -1, -1):
        follows[at] = seen.get(keys[at], len(keys))
        seen[keys[at]] = at
    return follows
