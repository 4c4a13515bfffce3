"""Samples: what a process looked like at one moment, for the ring, the verdicts and the report."""

from __future__ import annotations

from membudget.core.record import Record


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
    kind: str
    items: int | None = None
    bytes: int | None = None
    most_items: int | None = None
    most_bytes: int | None = None
    ttl: float | None = None

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

    at: float
    wall: float
    used: int
    rss: int
    limit: int | None = None
    file: int | None = None
    system_share: float | None = None
    system_available: int | None = None
    cpu: float = 0.0
    blocks: int = 0
    malloc: int | None = None
    gc_runs: tuple[int, int, int] = (0, 0, 0)
    gc_thresholds: tuple[int, int, int] = (0, 0, 0)
    gc_enabled: bool = True
    gc_efficiency: float | None = None
    uncollectable: int = 0
    threads: int = 1
    tasks: int | None = None
    fds: int | None = None
    children: int | None = None
    governed: int = 0
    explained: int = 0
    parts: tuple[PartSample, ...] = ()
    requests: int | None = None
    pid: int = 0
    began: float = 0.0
