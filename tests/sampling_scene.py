"""Samples made by hand: a process that stands still, or grows by so much an hour."""

from collections.abc import Iterator
from typing import Any

from fakes import FakeMemory
from membudget.core import Marks, PartSample, Sample, Sink
from membudget.governor import Governor
from membudget.registry import Registry
from membudget.settings import resolve

MIB = 1 << 20
BEGAN = 1_700_000_000.0
STEP = 300.0


def sample(number: int = 0, **changes: Any) -> Sample:
    """One sample, the so-manieth of a process that stands still."""
    values: dict[str, Any] = {
        "at": 1000.0 + STEP * number,
        "wall": BEGAN + STEP * number,
        "used": 190 * MIB,
        "rss": 200 * MIB,
        "blocks": 1_000_000,
        "malloc": 100 * MIB,
        "gc_thresholds": (700, 10, 10),
        "pid": 7,
        "began": BEGAN,
    }
    return Sample(**{**values, **changes})


def day(rate: float, hours: float, *, first: int = 0, until: float = 1e9) -> Iterator[Sample]:
    """Samples of a process that gains so many MiB an hour until some hour, and then stands still.

    A little noise is in them, the same each time.
    """
    for number in range(first, first + int(hours * 3600 / STEP)):
        hour = number * STEP / 3600
        gained = rate * min(hour, until)
        noise = (number * 7919 % 13 - 6) * 0.05
        yield sample(
            number,
            rss=int((200 + gained + noise) * MIB),
            used=int((190 + gained + noise) * MIB),
            malloc=int((100 + gained) * MIB),
            blocks=int(1_000_000 + gained * 10_000),
        )


def part(name: str = "prices", **changes: Any) -> PartSample:
    values: dict[str, Any] = {"kind": "Cache", "items": 10, "bytes": 1000, "most_bytes": 5000}
    return PartSample(name=name, **{**values, **changes})


def governed(memory: FakeMemory, *sinks: Sink, **leaks: Any) -> Governor:
    """A governor over a memory set by hand, with these settings of `leaks`."""
    return Governor(
        memory,
        Marks(),
        sinks=sinks,
        registry=Registry(),
        clock=memory.clock,
        settings=resolve({"leaks": leaks}, {}),
    )


def sampled(wall: float, items: int, began: float = 0.0, **part: Any) -> Sample:
    one: dict[str, Any] = {"name": "book", "kind": "watched dict", "bytes": items * 100, **part}
    parts = (PartSample(items=items, **one),)
    return Sample(at=wall, wall=wall, used=1, rss=1, pid=1, began=began, parts=parts)
