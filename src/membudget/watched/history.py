"""How the length of a container went: a few samples that reach back a day, finer where newer."""

from __future__ import annotations

from itertools import pairwise

SAMPLES = 120
"""Samples kept, 150 bytes each."""

LONGEST = 720.0
"""Seconds between two samples at most: 120 of them make a day."""

_MOSTLY = 0.95


class _Sample:
    __slots__ = ("at", "dropped", "length", "most")

    def __init__(self, at: float, length: int, dropped: int) -> None:
        self.at = at
        self.length = self.most = length
        self.dropped = dropped


class History:
    """The lengths seen, in samples whose distance doubles when they become too many.

    Not for several writers at once; reading is safe beside one.

    Args:
        every: Seconds between two lengths noted, as a start.

    Attributes:
        peak: The greatest length ever seen.
        looks: How many were noted.
        last: The last of them.
    """

    def __init__(self, every: float) -> None:
        self.peak = 0
        self.looks = 0
        self._every = every
        self._samples: list[_Sample] = []
        self.last = 0
        self._dropped = 0

    def note(self, at: float, length: int) -> None:
        """Note a length seen now (monotonic seconds). Cost: under 1 µs."""
        self.looks += 1
        self.peak = max(self.peak, length)
        self._dropped += max(0, self.last - length)
        self.last = length
        samples = self._samples
        # A little early counts as in time, or every second look would be left out.
        if samples and at - samples[-1].at < 0.9 * self._every:
            samples[-1].most = max(samples[-1].most, length)
            return
        samples.append(_Sample(at, length, self._dropped))
        if len(samples) > SAMPLES:
            self._thin()

    def mostly(self) -> int:
        """The length below which it stayed for 95 % of the time."""
        lengths = sorted(one.most for one in tuple(self._samples))
        return lengths[min(len(lengths) - 1, int(len(lengths) * _MOSTLY))] if lengths else 0

    def growth(self) -> float:
        """Items a second that it gained, from the oldest sample to the last; below 0 it shrank."""
        samples = tuple(self._samples)
        if len(samples) < 2:  # noqa: PLR2004  # a rate takes two
            return 0.0
        first, last = samples[0], samples[-1]
        return (last.length - first.length) / max(1e-9, last.at - first.at)

    def oldest(self, now: float) -> float | None:
        """Seconds since which the oldest item is there, at most; None where that is not to be told.

        From the lengths alone: what has shrunk by as much as it once held has, first in first out,
        nothing of that time left. A deque that stands at its maxlen never shrinks.
        """
        for one in reversed(tuple(self._samples)):
            if self._dropped - one.dropped >= one.length:
                return max(0.0, now - one.at)
        return None

    def _thin(self) -> None:
        if self._every >= LONGEST:
            del self._samples[0]
            return
        self._every = min(LONGEST, 2 * self._every)
        for before, one in pairwise(tuple(self._samples)):
            before.most = max(before.most, one.most)
        self._samples = self._samples[::2]
