"""Samples for others: the history file, the answer to "samples", and rows of JSON by name.

A history file's first line is a JSON object, every other line a JSON array with one sample, oldest
first:

    {"membudget": "samples", "version": 1, "count": 2, "crc32": "5d1f0c2a", "fields": ["at", ...],
     "part": ["name", "kind", "items", "bytes", "most_items", "most_bytes", "ttl"]}
    [16403.04, 1795280149.65, 7991296, ...]

`fields` names the places of a line by `core.Sample`'s attributes, bytes and seconds as there, and
`part` those of each entry of `parts`. `crc32` is that of all bytes after the first line, and
`names_crc32` that of the names, so a file cut short or changed is known. A reader skips fields that
it does not know, and takes the default of those that are missing; another version would mean that a
field has another meaning.

An answer names fields and parts once and then only their places: as rows by name it would be five
times as long, and the governor's thread would be away five times as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from membudget.core.nouns import PartSample, Sample
from membudget.core.wire import plain, record_from
from membudget.errors import ConfigError
from membudget.sampling.ring import DECLARED

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

VERSION = 1
_FORMAT = "samples"

BEGINS = b'{"membudget": "samples"'
"""What a history file begins with, by which ours are known from others'."""

COLLECTING = (700, 10, 10)
"""Thresholds taken where a file tells none: the interpreter's own for long."""

_AT_A_TIME = 32
"""Samples packed at a stretch: about a millisecond."""


def to_text(samples: Sequence[Sample]) -> bytes:
    """A file of these samples. Cost: about 80 µs a sample with ten parts.

    One with a figure that `from_text` would refuse, as a foreign part may tell it, is left out:
    the whole file would be refused for it.
    """
    from binascii import crc32  # only for those who keep a file
    from json import dumps

    rows = [row for sample in samples if _is_sound(row := plain(sample))]
    lines = [dumps(_unnamed(row), separators=(",", ":")) for row in rows]
    body = "".join(f"{line}\n" for line in lines).encode("ascii")
    head = {
        "membudget": _FORMAT,
        "version": VERSION,
        "count": len(rows),
        "crc32": f"{crc32(body):08x}",
        **_names(Sample.field_names(), PartSample.field_names()),
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
    if not _are_whole(head):
        raise ConfigError(f"{name} was changed: the names of its fields do not fit")
    samples = []
    for number, line in enumerate(body.splitlines(), 2):
        try:
            samples.append(sample_of(_named(loads(line), head)))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ConfigError(
                f"{name} is broken, line {number}: {error!s:.160}: mend the line and the "
                "checksum, or give the file as JSON lines with the fields by name"
            ) from error
    return samples


def sample_of(row: Any) -> Sample:
    """A sample from its fields by name, as JSON has them; `wall` and `rss` are enough.

    Raises:
        ValueError: A field is missing or does not fit; the message says which, and the rule.
    """
    if not isinstance(row, dict):
        return record_from(Sample, row)
    # Thresholds of zero mean that collection is off; who tells none has it on, as is the rule.
    told = {"at": 0.0, "used": 0, "gc_thresholds": list(COLLECTING), **row}
    sample = record_from(Sample, told)
    missing = {"at": sample.wall, "used": sample.rss}
    return sample.replace(**{name: like for name, like in missing.items() if name not in row})


def packing(samples: Sequence[Sample]) -> Generator[None, None, dict[str, Any]]:
    """The samples as rows without names; what parts declare once, what they hold in each row.

    Each of `held` is the parts' places, items and bytes, one after the other.

    Yields:
        Nothing; another thread may have its turn.
    """
    fields = [name for name in Sample.field_names() if name != "parts"]
    rows: list[list[Any]] = []
    places: dict[tuple[Any, ...], int] = {}
    held: list[list[int | None]] = []
    for one in samples:
        if len(rows) % _AT_A_TIME == _AT_A_TIME - 1:
            yield
        rows.append([getattr(one, name) for name in fields])
        row: list[int | None] = []
        for part in one.parts:
            key = tuple(getattr(part, name) for name in DECLARED)
            row += (places.setdefault(key, len(places)), part.items, part.bytes)
        held.append(row)
    return {"fields": fields, "rows": rows, "parts": list(places), "held": held}


def unpacked(answer: Mapping[str, Any]) -> list[Sample]:
    """The samples of an answer, as `packing` made it.

    Raises:
        LookupError, ValueError, TypeError: It is none.
    """
    parts = [dict(zip(DECLARED, one, strict=True)) for one in answer["parts"]]
    samples = []
    for row, held in zip(answer["rows"], answer["held"], strict=True):
        fields = dict(zip(answer["fields"], row, strict=True))
        fields["parts"] = [
            {**parts[place], "items": items, "bytes": size}
            for place, items, size in zip(held[::3], held[1::3], held[2::3], strict=True)
        ]
        samples.append(sample_of(fields))
    return samples


def _names(fields: Sequence[str], part: Sequence[str]) -> dict[str, Any]:
    from binascii import crc32

    names = {"fields": list(fields), "part": list(part)}
    return {**names, "names_crc32": f"{crc32(repr(names).encode()):08x}"}


def _are_whole(head: Mapping[str, Any]) -> bool:
    """Whether the names of fields are as they were written; older files have no sum of them."""
    try:
        fields, part = head["fields"], head["part"]
        if "names_crc32" in head:
            return bool(head["names_crc32"] == _names(fields, part)["names_crc32"])
        return {*fields} <= {*Sample.field_names()} and {*part} <= {*PartSample.field_names()}
    except (KeyError, TypeError, RecursionError):
        return False


def _unnamed(row: dict[str, Any]) -> list[Any]:
    parts = [list(part.values()) for part in row["parts"]]
    return list({**row, "parts": parts}.values())


def _named(row: Any, head: Mapping[str, Any]) -> dict[str, Any]:
    """A line's fields by the names that the first line gives their places."""
    fields = _with_names(head["fields"], row)
    parts = fields.get("parts", [])
    if not isinstance(parts, list):
        raise TypeError(f"parts is {parts!r:.40}, and a list is due")
    return {**fields, "parts": [_with_names(head["part"], part) for part in parts]}


def _with_names(names: Any, row: Any) -> dict[str, Any]:
    if not isinstance(row, list) or len(row) != len(names):
        raise TypeError(f"{row!r:.40} stands there, and a list of {len(names)} is due")
    return dict(zip(names, row, strict=True))


def _is_sound(row: dict[str, Any]) -> bool:
    """Whether a row can be read back."""
    try:
        record_from(Sample, row)
    except (ValueError, TypeError, KeyError):
        return False
    return True
