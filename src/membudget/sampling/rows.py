"""One sample as a short row of bytes, and back: 150 to 250 bytes where the record takes 2 to 4 KB.

A row holds, in this order: a byte that tells which of the five figures with a fraction are there;
those, eight bytes each; then whole numbers of any length, seven bits to a byte, the last byte of
each below 128. `None` is the number 0 and every other number is moved up, so nothing stands for
"not known" but None itself. What hardly ever changes (who the process is, the limit, the
collector's thresholds, the name and the bounds of a part) is told by a number that the ring gave.

The numbers are those of Protocol Buffers' varints, signed ones folded the same way (zigzag).
"""

from __future__ import annotations

from struct import calcsize, pack, unpack_from
from typing import TYPE_CHECKING, TypeAlias

from membudget.core.sample import PartSample, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Context: TypeAlias = (
    "tuple[int | None, tuple[int, int, int], bool, int, float]"  # limit, thresholds, on, pid, began
)
Declared: TypeAlias = "tuple[str, str, int | None, int | None, float | None]"
"""What a part tells of itself that stays: name, kind, most items, most bytes, ttl."""

_FRACTIONS = ("at", "wall", "cpu", "system_share", "gc_efficiency")
_WHOLE = (
    *("used", "rss", "file", "system_available", "blocks", "malloc", "uncollectable", "threads"),
    *("tasks", "fds", "children", "governed", "explained", "requests"),
)
_RUNS = 3


def context_of(sample: Sample) -> Context:
    """What of a sample hardly ever changes."""
    return (sample.limit, sample.gc_thresholds, sample.gc_enabled, sample.pid, sample.began)


def declared_by(part: PartSample) -> Declared:
    """What of a part hardly ever changes."""
    return (part.name, part.kind, part.most_items, part.most_bytes, part.ttl)


def packed(sample: Sample, context: int, parts: Iterable[int]) -> bytes:
    """The row of a sample. Cost: 25 µs with ten parts.

    Args:
        sample: The sample.
        context: The number of its context.
        parts: The number of what each of its parts declares, in their order.
    """
    fractions = [getattr(sample, name) for name in _FRACTIONS]
    there = [value for value in fractions if value is not None]
    mask = sum(1 << place for place, value in enumerate(fractions) if value is not None)
    row = bytearray(pack(f"<B{len(there)}d", mask, *there))
    numbers: list[int | None] = [context, *sample.gc_runs]
    numbers += [getattr(sample, name) for name in _WHOLE]
    numbers.append(len(sample.parts))
    for number, part in zip(parts, sample.parts, strict=True):
        numbers += (number, part.items, part.bytes)
    _write(row, numbers)
    return bytes(row)


def unpacked(
    row: bytes, context: Callable[[int], Context], declared: Callable[[int], Declared]
) -> Sample:
    """The sample of a row. Cost: 35 µs with ten parts.

    Args:
        row: As `packed` made it.
        context: Finds a context by its number.
        declared: Finds what a part declares by its number.

    Raises:
        KeyError: One of these does not know a number.
    """
    there = [name for place, name in enumerate(_FRACTIONS) if row[0] >> place & 1]
    values = dict(zip(there, unpack_from(f"<{len(there)}d", row, 1), strict=True))
    numbers = _read(row, 1 + calcsize(f"<{len(there)}d"))
    first, runs = 1 + _RUNS, tuple(numbers[1 : 1 + _RUNS])
    limit, thresholds, is_enabled, pid, began = context(numbers[0] or 0)
    parts = numbers[first + len(_WHOLE) + 1 :]
    return Sample(
        limit=limit,
        gc_thresholds=thresholds,
        gc_enabled=is_enabled,
        pid=pid,
        began=began,
        gc_runs=runs,  # type: ignore[arg-type]  # three numbers went in
        parts=tuple(
            _part(declared(parts[place] or 0), parts[place + 1], parts[place + 2])
            for place in range(0, len(parts), 3)
        ),
        **values,
        **dict(zip(_WHOLE, numbers[first:], strict=False)),  # type: ignore[arg-type]  # likewise
    )


def _part(declared: Declared, items: int | None, held: int | None) -> PartSample:
    name, kind, most_items, most_bytes, ttl = declared
    return PartSample(
        name=name,
        kind=kind,
        items=items,
        bytes=held,
        most_items=most_items,
        most_bytes=most_bytes,
        ttl=ttl,
    )


def _write(row: bytearray, numbers: Iterable[int | None]) -> None:
    add = row.append
    for number in numbers:
        folded = number or 0
        folded = 2 * folded + 1 if folded >= 0 else -2 * folded
        rest = 0 if number is None else folded
        while rest > 127:  # noqa: PLR2004  # seven bits to a byte
            add(rest & 127 | 128)
            rest >>= 7
        add(rest)


def _read(row: bytes, start: int) -> list[int | None]:
    numbers: list[int | None] = []
    number = shift = 0
    for byte in memoryview(row)[start:]:
        number |= (byte & 127) << shift
        if byte > 127:  # noqa: PLR2004  # more of it follows
            shift += 7
            continue
        half, is_positive = divmod(number, 2)
        numbers.append((half if is_positive else -half) if number else None)
        number = shift = 0
    return numbers
