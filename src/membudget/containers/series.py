"""One series of samples: a ring of values and times, and what its window comes to.

A sample costs 16 bytes: its value and its time in two arrays.
"""

from __future__ import annotations

from array import array

from membudget.core import Record

LEAST = 16
"""Samples that a series has room for at least."""

SAMPLE_BYTES = 16
"""Bytes of a sample: two doubles."""

SERIES_BYTES = 470
"""Bytes of a series beside its samples: the object, two arrays and its place in the collector.
Measured with tracemalloc, 1,000 to 12,000 series: 459 to 473."""


class Summary(Record):
    """What the samples in a window come to.

    Attributes:
        count: Samples in the window.
        total: Samples ever recorded.
        min: The smallest value.
        max: The largest value.
        mean: The average.
        last: The value recorded last.
        p50: The median; between two values the line between them counts, as in numpy.
        p95: Below it are 95 % of the values.
        p99: Below it are 99 % of the values.
    """

    count: int
    total: int
    min: float
    max: float
    mean: float
    last: float
    p50: float
    p95: float
    p99: float


class Series:
    """A ring of values and times, of `capacity` samples, and `own` bytes beside them. No lock."""

    __slots__ = ("_at", "_times", "_values", "capacity", "count", "last", "own", "total")

    def __init__(self, own: int, capacity: int) -> None:
        self.own = own
        self.capacity = capacity
        self.count = self.total = 0
        self.last = float("-inf")
        self._at = 0
        self._values, self._times = array("d", bytes(8 * capacity)), array("d", bytes(8 * capacity))

    @property
    def bytes(self) -> int:
        """What it weighs."""
        return self.own + SAMPLE_BYTES * self.capacity

    @property
    def first(self) -> float:
        """When the oldest sample was recorded."""
        return self._times[self._at]

    def add(self, value: float, when: float) -> bool:
        """Take in a sample; returns whether the oldest went for it."""
        place = (self._at + self.count) % self.capacity
        self._values[place] = value
        self._times[place] = when
        self.last = max(self.last, when)
        self.total += 1
        if self.count < self.capacity:
            self.count += 1
            return False
        self._at = (self._at + 1) % self.capacity
        return True

    def prune(self, before: float) -> int:
        """Forget samples of that time and earlier, the oldest first; returns how many."""
        pruned = 0
        while self.count and self._times[self._at] <= before:
            self._at = (self._at + 1) % self.capacity
            self.count -= 1
            pruned += 1
        return pruned

    def fit(self, capacity: int) -> int:
        """Make room for so many samples; returns how many, of the oldest, went."""
        values, times = self.window(), self._in_order(self._times)
        lost = max(0, len(values) - capacity)
        spare = bytes(8 * (capacity - len(values) + lost))
        self._values, self._times = values[lost:], times[lost:]
        self._values.frombytes(spare)
        self._times.frombytes(spare)
        self._at, self.capacity, self.count = 0, capacity, self.count - lost
        return lost

    def window(self, before: float | None = None) -> array[float]:
        """The values in the order of recording, without those of that time and earlier."""
        values = self._in_order(self._values)
        if before is None:
            return values
        times = self._in_order(self._times)
        return array("d", [value for value, at in zip(values, times, strict=True) if at > before])

    def _in_order(self, ring: array[float]) -> array[float]:
        end = self._at + self.count
        over = max(0, end - self.capacity)
        return ring[self._at : end - over] + ring[:over]


def summarize(values: array[float], total: int) -> Summary:
    """What values come to; there must be one."""
    ranked = sorted(values)
    return Summary(
        count=len(ranked),
        total=total,
        min=ranked[0],
        max=ranked[-1],
        mean=sum(ranked) / len(ranked),
        last=values[-1],
        p50=_percentile(ranked, 0.50),
        p95=_percentile(ranked, 0.95),
        p99=_percentile(ranked, 0.99),
    )


def _percentile(ranked: list[float], share: float) -> float:
    place = share * (len(ranked) - 1)
    low = int(place)
    high = min(low + 1, len(ranked) - 1)
    below, above = ranked[low], ranked[high]
    # Equal ones as they are: between two infinities there is no line.
    return below if below == above else below + (above - below) * (place - low)
