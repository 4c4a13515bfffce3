"""Columns of samples for charts, broken where a process ended or nobody looked."""

from __future__ import annotations

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
        gaps = [b.wall - a.wall for a, b in zip(samples, samples[1:], strict=False)]
        usual = sorted(gaps)[len(gaps) // 2]
        self._breaks = {
            place
            for place, (a, b) in enumerate(zip(samples, samples[1:], strict=False))
            if (a.pid, a.began) != (b.pid, b.began) or b.wall - a.wall > _SILENCE * usual > 0
        }

    def of(self, figure: Callable[[Sample], float | None]) -> Curve:
        """A figure of each sample."""
        return self._broken([figure(one) for one in self._samples])

    def rate(self, counter: Callable[[Sample], float | None], unit: float = 3600.0) -> Curve:
        """How fast a counter rises, per so many seconds; nothing across a break."""
        values: list[float | None] = [None]
        for place, (a, b) in enumerate(zip(self._samples, self._samples[1:], strict=False)):
            before, after, took = counter(a), counter(b), b.wall - a.wall
            is_known = before is not None and after is not None and took > 0
            if not is_known or place in self._breaks or before is None or after is None:
                values.append(None)
            else:
                values.append(max(0.0, after - before) / took * unit)
        return self._broken(values)

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
