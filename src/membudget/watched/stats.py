"""The figures of a watched container."""

from __future__ import annotations

from membudget.core import PartSample, Record


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


def part_of(
    name: str,
    kind: str,
    items: int | None,
    held: int | None,
    bounds: tuple[int | None, int | None, int | None],
) -> PartSample:
    """How a watched container stands, for a sample.

    Args:
        name: What it is called.
        kind: Its type.
        items: How many it holds, or None.
        held: Bytes they take, or None.
        bounds: Its limit in items, the bound it keeps by itself, its limit in bytes.
    """
    most = [one for one in bounds[:2] if one is not None]
    return PartSample(
        name=name,
        kind=f"watched {kind}",
        items=items,
        bytes=held,
        most_items=min(most, default=None),
        most_bytes=bounds[2],
    )
