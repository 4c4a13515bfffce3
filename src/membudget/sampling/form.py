"""Samples as text: the format of the history file, which other tools can read as well.

The first line is a JSON object, every other line a JSON array with one sample, oldest first:

    {"membudget": "samples", "version": 1, "count": 2, "crc32": "5d1f0c2a", "fields": ["at", ...],
     "part": ["name", "kind", "items", "bytes", "most_items", "most_bytes", "ttl"]}
    [16403.04, 1795280149.65, 7991296, ...]

`fields` names the places of a line by `core.Sample`'s attributes, bytes and seconds as there;
`part` those of each entry of `parts`. `crc32` is that of all bytes after the
first line, so a file cut short or changed is known. Every figure is finite and not below zero, a
whole one below 2^64; a file in which one is not is refused by the line, with what stands there.

A reader of one version refuses another: what a field means must not be guessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from membudget.core.sample import PartSample, Sample
from membudget.core.wire import is_whole
from membudget.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

VERSION = 1
_FORMAT = "samples"

BEGINS = b'{"membudget": "samples"'
"""What a history file begins with, by which ours are known from others'."""


def to_text(samples: Sequence[Sample]) -> bytes:
    """A file of these samples. Cost: about 80 µs a sample with ten parts.

    One with a figure that `from_text` would refuse, as a foreign part may tell it, is left out:
    the whole file would be refused for it.
    """
    from binascii import crc32  # only for those who keep a file
    from json import dumps

    rows = [row for sample in samples if _is_sound(row := _row(sample))]
    lines = [dumps(row, separators=(",", ":")) for row in rows]
    body = "".join(f"{line}\n" for line in lines).encode("ascii")
    head = {
        "membudget": _FORMAT,
        "version": VERSION,
        "count": len(rows),
        "crc32": f"{crc32(body):08x}",
        "fields": list(_fields(Sample)),
        "part": list(_fields(PartSample)),
    }
    return dumps(head).encode("ascii") + b"\n" + body


def from_text(text: bytes, name: str) -> list[Sample]:
    """The samples of a file, every figure checked.

    Args:
        text: What it holds.
        name: What it is called in errors.

    Raises:
        ConfigError: It is no such file, of another version, or broken; the message says which.
    """
    from binascii import crc32
    from json import loads

    first, _, body = text.partition(b"\n")
    try:
        head = loads(first)
        is_ours = head["membudget"] == _FORMAT
    except (ValueError, KeyError, TypeError, RecursionError):
        is_ours = False
    if not is_ours:
        raise ConfigError(f"{name} holds no samples of membudget: name another file")
    if head.get("version") != VERSION:
        found = f"{head.get('version')!r:.20}"
        raise ConfigError(f"{name} is of version {found}, not {VERSION}: read it with that release")
    if head.get("crc32") != f"{crc32(body):08x}":
        raise ConfigError(f"{name} was cut short or changed: its checksum does not fit")
    samples = []
    for number, line in enumerate(body.splitlines(), 2):
        try:
            samples.append(_sample(loads(line)))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ConfigError(
                f"{name} is broken, line {number}: {error!s:.160}: mend the line and the "
                "checksum, or give the file as JSON lines with the fields by name"
            ) from error
    return samples


def _fields(record: type) -> dict[str, str]:
    """The fields of a record, in order, and what each may hold, as its source has it."""
    return dict(record.__annotations__)


def _row(sample: Sample) -> list[Any]:
    row = sample.as_dict()
    row["parts"] = [list(part.as_dict().values()) for part in sample.parts]
    return [list(value) if isinstance(value, tuple) else value for value in row.values()]


def _is_sound(row: list[Any]) -> bool:
    """Whether a row can be read back."""
    try:
        _sample(row)
    except (ValueError, TypeError, KeyError):
        return False
    return True


def _sample(row: Any) -> Sample:
    values = _checked(Sample, row)
    values["parts"] = tuple(PartSample(**_checked(PartSample, part)) for part in values["parts"])
    return Sample(**values)


def _checked(record: type, row: Any) -> dict[str, Any]:
    fields = _fields(record)
    if not isinstance(row, list):
        raise TypeError(f"a list is due, not {row!r:.40}")
    values: dict[str, Any] = {}
    for (field, kind), value in zip(fields.items(), row, strict=True):
        base, _, is_optional = kind.partition(" | ")
        if value is None and is_optional:
            values[field] = None
        elif not _KINDS[base](value):
            raise ValueError(f"{field} is {value!r:.40}, and {kind} is due, {_RULE}")
        else:
            values[field] = tuple(value) if base.startswith("tuple") else value
    return values


_RULE = "finite and from 0 up where it is a number, and below 2^64 where it is a whole one"


def _is_whole(value: Any) -> bool:
    return is_whole(value) and value >= 0


_KINDS: dict[str, Callable[[Any], bool]] = {
    "int": _is_whole,
    "float": lambda value: (
        _is_whole(value) or (isinstance(value, float) and 0 <= value < float("inf"))
    ),
    "bool": lambda value: isinstance(value, bool),
    "str": lambda value: isinstance(value, str),
    "tuple[int, int, int]": lambda value: (
        isinstance(value, list) and len(value) == 3 and all(map(_is_whole, value))  # noqa: PLR2004
    ),
    "tuple[PartSample, ...]": lambda value: isinstance(value, list),
}
