"""Columns of samples for charts, broken where a process ended or nobody looked."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from membudget.core import Sample

Curve: TypeAlias = "tuple[list[float], list[float | None]]"

_SILENCE = 5.0
"""Times the usual distance between two samples after which a line is broken."""


class Columns:
    """What samples hold, as curves; each break is a missing value between two samples.

    Args:
        samples: At least two, oldest first.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples
        gaps = [b.wall - a.wall for a, b in pairwise(samples)]
        usual = sorted(gaps)[len(gaps) // 2]
        self._breaks = {
            place
            for place, (a, b) in enumerate(pairwise(samples))
            if (a.pid, a.began) != (b.pid, b.began) or b.wall - a.wall > _SILENCE * usual > 0
        }

    def of(self, figure: Callable[[Sample], float | None]) -> Curve:
        """A figure of each sample."""
        return self._broken([figure(one) for one in self._samples])

    def rate(
        self, counter: Callable[[Sample], float | None], unit: float = 3600.0, most: int = 150
    ) -> Curve:
        """How fast a counter rises, per so many seconds; so many rates at most.

        Over shorter times there is more noise than news.

        Nothing is told across a break.
        """
        samples = self._samples
        apart = (samples[-1].wall - samples[0].wall) / most
        values: list[float | None] = [None] * len(samples)
        first = 0
        for place in range(1, len(samples)):
            if place - 1 in self._breaks:
                first = place
                continue
            before, after = counter(samples[first]), counter(samples[place])
            took = samples[place].wall - samples[first].wall
            if before is None or after is None:
                first = place
            elif took >= apart and took > 0:
                values[place] = max(0.0, after - before) / took * unit
                first = place
        return self._joined(values)

    def _joined(self, values: Sequence[float | None]) -> Curve:
        """The values that are, and the breaks."""
        t: list[float] = []
        y: list[float | None] = []
        for place, (one, value) in enumerate(zip(self._samples, values, strict=True)):
            if value is not None or place in self._breaks:
                t.append(one.wall)
                y.append(value)
        return t, y

    def part(self, name: str, field: str) -> Curve:
        """The items or bytes of one part."""
        return self._broken([_of_part(one, name, field) for one in self._samples])

    def others(self, names: Iterable[str]) -> Curve:
        """The bytes of several parts together."""
        wanted = set(names)
        return self._broken(
            [
                float(sum(part.bytes or 0 for part in one.parts if part.name in wanted))
                for one in self._samples
            ]
        )

    def _broken(self, values: Sequence[float | None]) -> Curve:
        t: list[float] = []
        y: list[float | None] = []
        for place, (one, value) in enumerate(zip(self._samples, values, strict=True)):
            t.append(one.wall)
            y.append(value)
            if place in self._breaks:
                t.append((one.wall + self._samples[place + 1].wall) / 2)
                y.append(None)
        return t, y


def _of_part(sample: Sample, name: str, field: str) -> float | None:
    for part in sample.parts:
        if part.name == name:
            value: float | None = getattr(part, field)
            return value
    return None
