"""Samples: what a process looked like at one moment, for the ring, the verdicts and the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.core.record import Record

if TYPE_CHECKING:
    from membudget.core.wire import Amount, Size


class PartSample(Record):
    """One registered part at one moment, with the bounds it declares.

    Attributes:
        name: The part's name.
        kind: What it is: "Cache", "BoundedDeque", "watched dict", "lru_cache".
        items: How many items it holds, or None where that is not known.
        bytes: How many bytes they take, or None where that is not known.
        most_items: The most items it may hold, or None.
        most_bytes: The most bytes it may hold, or None.
        ttl: Seconds that an item may stay, or None.
    """

    name: str
    kind: str = "part"
    items: Size | None = None
    bytes: Size | None = None
    most_items: Size | None = None
    most_bytes: Size | None = None
    ttl: Amount | None = None

    @property
    def is_bounded(self) -> bool:
        """Whether its growth has an end that it has told."""
        return not (self.most_items is None and self.most_bytes is None and self.ttl is None)


class Sample(Record):
    """One row of the ring: memory in bytes, beside what helps to explain it.

    Attributes:
        at: Monotonic seconds.
        wall: Unix seconds.
        used: The judged figure.
        limit: What it is held against, or None.
        rss: Resident set.
        file: Page cache of the memory group, or mapped files; None where neither is known.
        system_share: Share of the system's memory in use.
        system_available: Bytes the system still has.
        cpu: Seconds of processor time so far.
        blocks: Live blocks of Python's own allocator.
        malloc: Bytes in use by the C allocator, or None where it was not asked.
        gc_runs: Collections so far, by generation.
        gc_thresholds: Thresholds, by generation.
        gc_enabled: Whether automatic collection is on.
        gc_efficiency: Share of what full collections looked at that they freed since the last
            sample; None where none ran.
        uncollectable: Objects in `gc.garbage`.
        threads: Threads alive.
        tasks: Asyncio tasks pending, or None.
        fds: Open descriptors, or None.
        children: Resident bytes of child processes, or None.
        governed: Bytes that holders count.
        explained: Bytes held by parts with a declared bound.
        parts: The registered parts.
        requests: Requests served so far, a load measure; None where nobody counts them.
        pid: The process.
        began: Unix seconds when the process began; another value is a restart.
    """

    at: Amount
    wall: Amount
    used: Size
    rss: Size
    limit: Size | None = None
    file: Size | None = None
    system_share: Amount | None = None
    system_available: Size | None = None
    cpu: Amount = 0.0
    blocks: Size = 0
    malloc: Size | None = None
    gc_runs: tuple[Size, Size, Size] = (0, 0, 0)
    gc_thresholds: tuple[Size, Size, Size] = (0, 0, 0)
    gc_enabled: bool = True
    gc_efficiency: Amount | None = None
    uncollectable: Size = 0
    threads: Size = 1
    tasks: Size | None = None
    fds: Size | None = None
    children: Size | None = None
    governed: Size = 0
    explained: Size = 0
    parts: tuple[PartSample, ...] = ()
    requests: Size | None = None
    pid: Size = 0
    began: Amount = 0.0
