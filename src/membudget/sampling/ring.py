"""The ring of a day's samples, packed: about 85 KB for 288 samples with ten parts.

A row is what changes, in `marshal`'s form (240 bytes), beside what hardly ever
does: who the process is, the limit, the names and bounds of parts. Rows that agree in that share
it. The form is that of this interpreter alone and never leaves the process's memory.
"""

from __future__ import annotations

from collections import deque
from marshal import dumps, loads
from typing import TYPE_CHECKING, Any, TypeAlias

from membudget.core.native import in_one_go
from membudget.core.nouns import PartSample, Sample

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    _Row: TypeAlias = "tuple[tuple[Any, ...], bytes]"

SIZE = 288
"""A day of samples at five minutes."""

AT_A_TIME = 16
"""Samples unpacked at a stretch: half a millisecond."""

_STAYING = ("limit", "gc_thresholds", "gc_enabled", "pid", "began")
_CHANGING = tuple(name for name in Sample.field_names() if name not in (*_STAYING, "parts"))
DECLARED = ("name", "kind", "most_items", "most_bytes", "ttl")
"""What a part tells once and hardly ever changes."""

_VERSION = 2
"""Of the forms of `marshal`: the last that keeps no table of what repeats."""


class SampleRing:
    """The newest so many samples, oldest first.

    One thread adds and restores; any thread may read, without a lock.
    """

    def __init__(self, size: int = SIZE) -> None:
        self.size = size
        self._rows: deque[_Row] = deque()

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, sample: Sample) -> None:
        """Keep one more, and forget the oldest of too many. Cost: 25 µs with ten parts."""
        while len(self._rows) >= self.size:
            self._rows.popleft()
        self._rows.append(_packed(sample, self._rows[-1] if self._rows else None))

    def restore(self, earlier: Sequence[Sample]) -> None:
        """Put samples of an earlier life before those kept, as many as there is room for."""
        room = max(0, self.size - len(self._rows))
        for sample in reversed(earlier[max(0, len(earlier) - room) :]):
            self._rows.appendleft(_packed(sample, self._rows[0] if self._rows else None))

    def clear(self) -> None:
        """Forget all, as a forked child does."""
        self._rows = deque()

    def latest(self, most: int | None = None) -> list[Sample]:
        """The newest so many, by default all that are kept, oldest first. Cost: 25 µs a sample."""
        return in_one_go(self.reading(most))

    def reading(self, most: int | None = None) -> Generator[None, None, list[Sample]]:
        """The same in slices of half a millisecond, for a thread that has other things to do.

        Yields:
            Nothing; another thread may have its turn.
        """
        samples = []
        rows = list(self._rows)
        for place, row in enumerate(rows if most is None else rows[max(0, len(rows) - most) :]):
            samples.append(_unpacked(row))
            if place % AT_A_TIME == AT_A_TIME - 1:
                yield
        return samples


def _packed(sample: Sample, beside: _Row | None) -> _Row:
    """The row of a sample; what stays is shared with the row beside it."""
    declared = [tuple([getattr(part, name) for name in DECLARED]) for part in sample.parts]
    stays: tuple[Any, ...] = (*[getattr(sample, name) for name in _STAYING], *declared)
    if beside is not None:
        if beside[0] == stays:
            stays = beside[0]
        else:
            known = {one: one for one in beside[0][len(_STAYING) :]}
            stays = (*stays[: len(_STAYING)], *[known.get(one, one) for one in declared])
    changes = [getattr(sample, name) for name in _CHANGING]
    for part in sample.parts:
        changes += (part.items, part.bytes)
    return stays, dumps(tuple(changes), _VERSION)


def _unpacked(row: _Row) -> Sample:
    stays, packed = row
    changes = loads(packed)  # noqa: S302  # made above, and never out of this process
    held = changes[len(_CHANGING) :]
    parts = [
        PartSample(
            name=name,
            kind=kind,
            items=items,
            bytes=size,
            most_items=most_items,
            most_bytes=most_bytes,
            ttl=ttl,
        )
        for (name, kind, most_items, most_bytes, ttl), items, size in zip(
            stays[len(_STAYING) :], held[::2], held[1::2], strict=True
        )
    ]
    return Sample(
        **dict(zip(_STAYING, stays, strict=False)),
        **dict(zip(_CHANGING, changes, strict=False)),
        parts=tuple(parts),
    )
