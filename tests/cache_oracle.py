"""A look inside a cache: what it holds, what it counts and what it finds agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from membudget.bounded.table import IS_COMPILED

if TYPE_CHECKING:
    from membudget.bounded.cache import Cache


def check(cache: Cache[Any, Any]) -> None:
    """Fail where what a cache holds, what it counts and what it finds are not the same."""
    counts = cache._counts()
    assert counts["entries"] == len(cache)
    assert counts["bytes"] == cache.held_bytes()
    keys = cache.keys()
    assert len(keys) <= len(cache)
    assert cache.held_bytes() >= 0
    assert bool(cache.held_bytes()) == bool(len(cache))
    if not IS_COMPILED:
        table: Any = cache
        assert sum(one.weight for one in table._order) == table.held_bytes()
        assert sum(one.is_loose for one in table._order) == table._loose
        found = [one for one in table._index.values() if one in table._order]
        assert len(found) == len(cache), "what is found and what is held are different entries"
        timed = {one for one in table._order if one.due != float("inf")}
        assert timed <= {one.entry for one in table._marks if one == one.entry.due}
