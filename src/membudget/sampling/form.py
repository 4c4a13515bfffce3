"""How samples are packed: in memory for a day, in the history file, and in the answer to "samples".

A history file's first line is a JSON object, every other a JSON array with one sample, oldest
first; `fields` and `part` name the places, the sums tell a file that was cut short or changed:

    {"membudget": "samples", "version": 1, "count": 2, "crc32": "5d1f0c2a", "fields": ["at", ...],
     "part": ["name", "kind", "items", "bytes", "most_items", "most_bytes", "ttl"]}
    [16403.04, 1795280149.65, 7991296, ...]
"""

from __future__ import annotations

from binascii import crc32
from collections import deque
from contextlib import suppress
from marshal import dumps, loads
from typing import TYPE_CHECKING, Any, TypeAlias

from membudget.core.native import in_one_go
from membudget.core.nouns import PartSample, Sample
from membudget.core.wire import plain, record_from
from membudget.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    _Row: TypeAlias = "tuple[tuple[Any, ...], bytes]"

AT_A_TIME = 16  # Samples unpacked at a stretch: half a millisecond
VERSION = 1
BEGINS = b'{"membudget": "samples"'  # By which history files of ours are known from others'
COLLECTING = (700, 10, 10)  # Taken where a file tells no thresholds: the interpreter's own for long
_STAYING = ("limit", "gc_thresholds", "gc_enabled", "pid", "began")
_CHANGING = tuple(name for name in Sample.field_names() if name not in (*_STAYING, "parts"))
_DECLARED = ("name", "kind", "most_items", "most_bytes", "ttl")  # Hardly ever changes in a part


class SampleRing:
    """The newest so many samples, oldest first: about 85 KB for 288 with ten parts.

    What hardly changes is shared by rows; the rest is marshalled. One thread adds, any may read.
    """

    def __init__(self, size: int = 288) -> None:  # A day at five minutes.
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
        """The same in slices of half a millisecond, between which others may have their turn."""
        samples = []
        rows = list(self._rows)
        for place, row in enumerate(rows if most is None else rows[max(0, len(rows) - most) :]):
            samples.append(_unpacked(row))
            if place % AT_A_TIME == AT_A_TIME - 1:
                yield
        return samples


def _packed(sample: Sample, beside: _Row | None) -> _Row:
    declared = [tuple([getattr(part, name) for name in _DECLARED]) for part in sample.parts]
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
    # The last of marshal's forms that keeps no table of what repeats.
    return stays, dumps(tuple(changes), 2)


def _unpacked(row: _Row) -> Sample:
    stays, packed = row
    changes = loads(packed)  # noqa: S302  # made above, and never out of this process
    held = changes[len(_CHANGING) :]
    declared = stays[len(_STAYING) :]
    parts = [
        PartSample(
            name=name, kind=kind, items=items, bytes=size, most_items=most, most_bytes=room, ttl=ttl
        )
        for (name, kind, most, room, ttl), items, size in zip(
            declared, held[::2], held[1::2], strict=True
        )
    ]
    return Sample(
        **dict(zip(_STAYING, stays, strict=False)),
        **dict(zip(_CHANGING, changes, strict=False)),
        parts=tuple(parts),
    )


def to_text(samples: Sequence[Sample]) -> bytes:
    """A file of these samples. Cost: about 80 µs a sample with ten parts.

    A sample that `from_text` would refuse is left out: the whole file would be refused for it.
    """
    import json  # only for those who keep a file

    lines = []
    for sample in samples:
        row = plain(sample)
        with suppress(ValueError, TypeError, KeyError):
            record_from(Sample, row)
            row["parts"] = [list(part.values()) for part in row["parts"]]
            lines.append(json.dumps(list(row.values()), separators=(",", ":")) + "\n")
    body = "".join(lines).encode("ascii")
    head = {
        "membudget": "samples",
        "version": VERSION,
        "count": len(lines),
        "crc32": f"{crc32(body):08x}",
        **_names(Sample.field_names(), PartSample.field_names()),
    }
    return json.dumps(head).encode("ascii") + b"\n" + body


def from_text(text: bytes, name: str) -> list[Sample]:
    """The samples of a file, every figure checked; a `ConfigError` tells what is wrong with it."""
    import json

    first, _, body = text.partition(b"\n")
    try:
        head = json.loads(first)
        is_ours = head["membudget"] == "samples"
    except (ValueError, KeyError, TypeError, RecursionError):
        is_ours = False
    if not is_ours:
        raise ConfigError(f"{name} holds no samples of membudget: name another file")
    if head.get("version") != VERSION:
        found = f"{head.get('version')!r:.20}"
        raise ConfigError(f"{name} is of version {found}, not {VERSION}: read it with that release")
    if head.get("crc32") != f"{crc32(body):08x}":
        raise ConfigError(f"{name} was cut short or changed: its checksum does not fit")
    try:
        due = _names(head["fields"], head["part"])["names_crc32"]
        is_whole = head.get("names_crc32", due) == due  # Older files have no sum of the names.
    except (KeyError, TypeError, RecursionError):
        is_whole = False
    if not is_whole:
        raise ConfigError(f"{name} was changed: the names of its fields do not fit")
    samples = []
    for number, line in enumerate(body.splitlines(), 2):
        try:
            row = _with_names(head["fields"], json.loads(line))
            parts = row.get("parts", [])
            if not isinstance(parts, list):
                raise TypeError(f"parts is {parts!r:.40}, and a list is due")  # noqa: TRY301
            row["parts"] = [_with_names(head["part"], part) for part in parts]
            samples.append(sample_of(row))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ConfigError(
                f"{name} is broken, line {number}: {error!s:.160}: mend the line and the "
                "checksum, or give the file as JSON lines with the fields by name"
            ) from error
    return samples


def _names(fields: Sequence[str], part: Sequence[str]) -> dict[str, Any]:
    names = {"fields": list(fields), "part": list(part)}
    return {**names, "names_crc32": f"{crc32(repr(names).encode()):08x}"}


def _with_names(names: Any, row: Any) -> dict[str, Any]:
    if not isinstance(row, list) or len(row) != len(names):
        raise TypeError(f"{row!r:.40} stands there, and a list of {len(names)} is due")
    return dict(zip(names, row, strict=True))


def sample_of(row: Any) -> Sample:
    """A sample from fields by name (`wall` and `rss` are enough); a `ValueError` tells the rule."""
    if not isinstance(row, dict):
        return record_from(Sample, row)
    # Thresholds of zero mean that collection is off; who tells none has it on, as is the rule.
    told = {"at": 0.0, "used": 0, "gc_thresholds": list(COLLECTING), **row}
    sample = record_from(Sample, told)
    missing = {"at": sample.wall, "used": sample.rss}
    return sample.replace(**{name: like for name, like in missing.items() if name not in row})


def packing(samples: Sequence[Sample]) -> Generator[None, None, dict[str, Any]]:
    """The samples for a client, fields named once: by name it would take five times as long.

    `parts` tell what each declares, `held` their places there, items and bytes. Yields each ms.
    """
    fields = [name for name in Sample.field_names() if name != "parts"]
    rows: list[list[Any]] = []
    places: dict[tuple[Any, ...], int] = {}
    held: list[list[int | None]] = []
    for one in samples:
        if len(rows) % (2 * AT_A_TIME) == 2 * AT_A_TIME - 1:
            yield
        rows.append([getattr(one, name) for name in fields])
        row: list[int | None] = []
        for part in one.parts:
            key = tuple([getattr(part, name) for name in _DECLARED])
            row += (places.setdefault(key, len(places)), part.items, part.bytes)
        held.append(row)
    return {"fields": fields, "rows": rows, "parts": list(places), "held": held}


def unpacked(answer: Mapping[str, Any]) -> list[Sample]:
    """The samples of an answer; `LookupError`, `ValueError` or `TypeError` where it is none."""
    parts = [dict(zip(_DECLARED, one, strict=True)) for one in answer["parts"]]
    samples = []
    for row, held in zip(answer["rows"], answer["held"], strict=True):
        fields = dict(zip(answer["fields"], row, strict=True))
        fields["parts"] = [
            {**parts[place], "items": items, "bytes": size}
            for place, items, size in zip(held[::3], held[1::3], held[2::3], strict=True)
        ]
        samples.append(sample_of(fields))
    return samples
