"""A look inside a cache: links, index and sums agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from membudget.bounded.cache import Cache


def check(cache: Cache[Any, Any]) -> None:
    """Fail where what a cache holds, what it counts and what it finds are not the same."""
    ring = cache._ring
    linked, entry = [], ring.root.after
    while entry is not ring.root:
        assert entry.after.before is entry
        linked.append(entry)
        entry = entry.after
    assert len(linked) == ring.count == len(cache)
    assert sum(one.weight for one in linked) == cache.held_bytes()
    found = {id(one) for one in ring.index.values() if one.is_held()}
    assert found == {id(one) for one in linked}, "the index and the ring hold different entries"
