"""A look inside a cache: links, index, wheel and sums agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from membudget.bounded.plain.table import Table

if TYPE_CHECKING:
    from membudget.bounded.cache import Cache
    from membudget.bounded.plain.contents import Contents
    from membudget.bounded.plain.entry import Entry


def check(cache: Cache[Any, Any]) -> None:
    """Fail where what a cache holds, what it counts and what it finds are not the same."""
    counts = cache._counts()
    assert counts["entries"] == len(cache)
    assert counts["bytes"] == cache.held_bytes()
    keys = cache.keys()
    assert len(keys) <= len(cache)
    assert cache.held_bytes() >= 0
    assert bool(cache.held_bytes()) == bool(len(cache))
    table: object = cache
    if isinstance(table, Table):
        check_contents(table._contents)


def check_contents(contents: Contents[Any, Any]) -> None:
    """The same for what a plain table holds."""
    queues = {ring.number: queued(ring) for ring in contents.rings()}
    small = queues[0]
    held = [one for queue in queues.values() for one in queue]
    assert all(one.ring.number == number for number, queue in queues.items() for one in queue)
    assert len(held) == contents.count
    assert sum(one.weight for one in held) == contents.bytes
    assert len(small) == contents.small_count
    assert sum(one.weight for one in small) == contents.small_bytes
    assert sum(one.is_loose for one in held) == contents.loose
    assert contents.fresh is None or contents.fresh in held
    found = {id(one) for one in contents.index.values() if one.weight}
    assert found == {id(one) for one in held}, "the index and the queues hold different entries"
    timed = waiting(contents)
    assert len(timed) == contents.wheel.count
    assert {id(one) for one in timed} == {id(one) for one in held if contents.wheel.is_timed(one)}


def queued(ring: Any) -> list[Entry[Any, Any]]:
    """The entries of a queue, its links looked at both ways."""
    found, one = [], ring.after
    while one is not ring:
        assert one.after.before is one
        found.append(one)
        one = one.after
    return found


def waiting(contents: Contents[Any, Any]) -> list[Entry[Any, Any]]:
    """The entries of the wheel, its links looked at both ways."""
    wheel, found = contents.wheel, []
    for slot in (wheel._due, wheel._pending, wheel._overflow, *filter(None, wheel._slots)):
        one = slot.later
        while one is not slot:
            assert one.later.sooner is one
            found.append(one)
            one = one.later
    return found
