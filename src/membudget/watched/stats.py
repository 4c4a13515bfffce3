"""The figures of a watched container."""

from __future__ import annotations

from membudget.core import Record


class WatchedStats(Record):
    """A watched container's figures.

    Attributes:
        name: What it is called.
        items: Items now; None where it is not there (any more).
        bytes: What it holds as of the last weighing, by its length now; None before the first.
        max_items: Its limit in items, or None.
        max_bytes: Its limit in bytes, or None.
        maxlen: The bound it keeps by itself, or None.
        peak: The most items seen.
        exceeded: How often it was told to be over a limit.
        trimmed: Items taken out so far.
    """

    name: str
    items: int | None
    bytes: int | None
    max_items: int | None
    max_bytes: int | None
    maxlen: int | None
    peak: int
    exceeded: int
    trimmed: int
