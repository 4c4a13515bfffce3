"""The ring of a day's samples, packed: about 60 KB for 288 samples with ten parts."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from membudget.core.slices import in_one_go
from membudget.sampling.rows import context_of, declared_by, packed, unpacked

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from membudget.core import Sample
    from membudget.sampling.rows import Context, Declared

SIZE = 288
"""A day of samples at five minutes."""

AT_A_TIME = 16
"""Samples unpacked at a stretch: 1 to 2 ms."""

T = TypeVar("T")


class Numbered(Generic[T]):
    """Values that many rows share, each kept once for as long as a row tells of it.

    A number is never given twice, so a reader whose row went meanwhile finds nothing, and not
    something else.
    """

    __slots__ = ("_next", "_numbers", "_values")

    def __init__(self) -> None:
        self._numbers: dict[T, int] = {}
        self._values: dict[int, tuple[T, int]] = {}
        self._next = 1

    def __len__(self) -> int:
        return len(self._values)

    def take(self, value: T) -> int:
        """The number of a value, which one more row uses."""
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = self._next
            self._next += 1
        known, uses = self._values.get(number, (value, 0))
        self._values[number] = known, uses + 1
        return number

    def give_back(self, value: T) -> None:
        """One row less uses it; nobody uses it: it is forgotten."""
        number = self._numbers[value]
        known, uses = self._values[number]
        if uses > 1:
            self._values[number] = known, uses - 1
        else:
            del self._values[number], self._numbers[value]

    def value(self, number: int) -> T:
        """The value of a number.

        Raises:
            KeyError: No row uses it (any longer).
        """
        return self._values[number][0]


class SampleRing:
    """The newest samples, oldest first.

    One thread adds and restores; any thread may read, without a lock.

    Args:
        size: How many are kept.
    """

    def __init__(self, size: int = SIZE) -> None:
        self.size = size
        self._rows: deque[bytes] = deque()
        self._contexts: Numbered[Context] = Numbered()
        self._declared: Numbered[Declared] = Numbered()

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, sample: Sample) -> None:
        """Keep one more, and forget the oldest of too many. Cost: 80 µs with ten parts."""
        while len(self._rows) >= self.size:
            self._forget(self._unpacked(self._rows[0]))
            self._rows.popleft()
        self._rows.append(self._packed(sample))

    def restore(self, earlier: Sequence[Sample]) -> None:
        """Put samples of an earlier life before those kept, as many as there is room for."""
        room = max(0, self.size - len(self._rows))
        for sample in reversed(earlier[max(0, len(earlier) - room) :]):
            self._rows.appendleft(self._packed(sample))

    def clear(self) -> None:
        """Forget all, as a forked child does."""
        self._rows = deque()
        self._contexts, self._declared = Numbered(), Numbered()

    def latest(self, most: int | None = None) -> list[Sample]:
        """The newest so many, by default all that are kept, oldest first. Cost: 50 µs a sample."""
        return in_one_go(self.reading(most))

    def reading(self, most: int | None = None) -> Generator[None, None, list[Sample]]:
        """The same in slices of 1 to 2 ms, for a thread that has other things to do.

        Yields:
            Nothing; another thread may have its turn.
        """
        samples = []
        rows = list(self._rows)
        for place, row in enumerate(rows if most is None else rows[max(0, len(rows) - most) :]):
            try:
                samples.append(self._unpacked(row))
            except KeyError:  # It went while we were reading: it was the oldest.
                continue
            if place % AT_A_TIME == AT_A_TIME - 1:
                yield
        return samples

    def _packed(self, sample: Sample) -> bytes:
        numbers = [self._declared.take(declared_by(part)) for part in sample.parts]
        return packed(sample, self._contexts.take(context_of(sample)), numbers)

    def _unpacked(self, row: bytes) -> Sample:
        return unpacked(row, self._contexts.value, self._declared.value)

    def _forget(self, sample: Sample) -> None:
        self._contexts.give_back(context_of(sample))
        for part in sample.parts:
            self._declared.give_back(declared_by(part))
