"""What waits for a spilling cache's disk, and what stands there."""

from __future__ import annotations

from typing import Any, TypeAlias

Cell: TypeAlias = "tuple[Any, float, int, Any, list[float] | None]"
"""What is noted of an entry in memory: value, when it ends, stamp, size given, last use."""

ROW_BYTES = 250
"""Bytes of memory that an entry on the disk costs besides its key, measured with tracemalloc."""


class Waiting:
    """A value that waits for the disk, or is being written.

    Attributes:
        cell: What was noted of it.
        weight: Bytes.
        dies: When it is gone at the latest (monotonic seconds), `idle` considered.
    """

    __slots__ = ("cell", "dies", "weight")

    def __init__(self, cell: Cell, weight: int, dies: float) -> None:
        self.cell = cell
        self.weight = weight
        self.dies = dies


class Row:
    """A value on the disk.

    Attributes:
        number: What the disk knows it by.
        stamp: Which of a key's values it is; see `ledger`.
        ends: When it expires (monotonic seconds).
        dies: The same, `idle` considered.
        size: The size that the program gave with it, or None.
        bytes: What it takes up on the disk, about.
    """

    __slots__ = ("bytes", "dies", "ends", "number", "size", "stamp")

    def __init__(self, number: int, cell: Cell, dies: float, stored: int) -> None:
        self.number = number
        _, self.ends, self.stamp, self.size, _ = cell
        self.dies = dies
        self.bytes = stored


def stamp_of(found: Waiting | Row) -> int:
    """The stamp of what was found."""
    return found.stamp if isinstance(found, Row) else found.cell[2]
