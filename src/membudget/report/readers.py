"""Files of samples, of whatever kind, and of bounds to be laid over their parts.

Read are our own rows (a JSON object a line, `wall` and `rss` at least), the history file, CSV with
the header `t_s,rss_kb,...` (`c_NAME` is how many items the part NAME holds), and `mprof`'s `.dat`
files as memory_profiler 0.61 writes them; each but the history may be packed by gzip. The first
line that does not fit is an error; only a last one that breaks off, as of a killed process, is not.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING, Any

from membudget.core import PartSample, Record, Sample
from membudget.errors import ConfigError
from membudget.report import LAST, OperationFigure
from membudget.sampling.form import BEGINS, COLLECTING, from_text, sample_of
from membudget.trend import envelope
from membudget.units import parse_bytes, parse_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

MOST_LINES = 5_000_000  # Lines of a file: a year of samples every six seconds
LONGEST_LINE = 1 << 20  # Characters of a line: a sample with thousands of parts
MOST = 20_000  # Samples kept of mprof's: it takes ten a second, a day of which nobody can see
_FIELDS = frozenset(Sample.field_names())
_KNOWN = ("t_s", "rss_kb", "malloc_used_kb", "py_blocks", "requests", "gc2_runs", "threads")
_FORMS = {
    "MEM": "MEM <MiB> <Unix time>",
    "CHLD": "CHLD <number> <MiB> <Unix time>",
    "FUNC": "FUNC <name> <MiB> <begin> <MiB> <end>",
}
_KIB, _MIB = 1 << 10, 1 << 20
_SHOWN = 60
_KEYS = ("max_items", "max_bytes", "ttl", "ttl_h", "bytes_per_item")


class Recording(Record):
    """What a file holds."""

    samples: tuple[Sample, ...]  # Oldest first
    name: str = ""
    is_dated: bool = True  # Else `wall` is seconds since the recording began
    operations: tuple[OperationFigure, ...] = ()  # The functions that it tells of
    notes: tuple[str, ...] = ()


def read_samples(path: str) -> Recording:
    """The samples of a file; `ConfigError` where it cannot be read, or a line does not fit."""
    found = _history(path) or _read(_lines(path))
    if not found.samples:
        raise ConfigError(
            f"{path} holds no samples, only its beginning: give a recording with at least one, or "
            "wait for the process to take its first"
        )
    return found


def _read(lines: _Lines) -> Recording:
    first = lines.rows[0].strip()
    if first.startswith("{"):
        return _read_rows(lines)
    if first.partition(",")[0].strip() == "t_s":
        return _read_csv(lines)
    if first.partition(" ")[0] in ("CMDLINE", *_FORMS):
        return _read_mprof(lines)
    rule = (
        'begins no kind of file that is known: give samples as JSON lines ({"wall": ..., "rss": '
        "...}), CSV with the header t_s,rss_kb, or the .dat file of mprof"
    )
    raise lines.wrong(1, shown(first), rule)


class _Lines(Record):
    """A file's lines without their ends, whether the last one has its end, and notes on them."""

    path: str
    rows: list[str]
    is_whole: bool
    notes: list[str]

    def wrong(self, number: int, what: str, rule: str) -> ConfigError:
        return ConfigError(f"{self.path}, line {number}: {what} {rule}")

    def read(self, parse: Callable[[str], tuple[float, Any] | None], rule: str) -> Iterator[Any]:
        """What lines tell that have a moment: `parse` gives both, or raises `ValueError`."""
        before: float | None = None
        for number, text in enumerate(self.rows, 1):
            if not text.strip():
                continue
            try:
                if (found := parse(text)) is None:
                    continue
                _check_moment(self, number, found[0], before)
            except ValueError as error:
                if number == len(self.rows) and not self.is_whole:  # Nobody can be blamed for it.
                    self.notes.append(f"Line {number}, the last, breaks off and was left out.")
                    return
                if isinstance(error, ConfigError):
                    raise
                raise self.wrong(number, f"{error}:", rule) from None
            before = found[0]
            yield found[1]


def _check_moment(lines: _Lines, number: int, wall: float, before: float | None) -> None:
    if not 0 <= wall <= LAST:
        raise lines.wrong(
            number,
            f"{wall:g} s lies outside the years 1970 to 9999:",
            "give Unix seconds, or seconds since the recording began",
        )
    if before is not None and wall < before:
        raise lines.wrong(
            number,
            f"time goes back from {before:.3f} s to {wall:.3f} s:",
            "sort the file by time, and give each process's recording by itself",
        )


def _history(path: str) -> Recording | None:
    """The samples of a history file; None where it is none, or cannot be read here."""
    try:
        with open(path, "rb") as file:
            if file.read(len(BEGINS)) != BEGINS:
                return None
            text = BEGINS + file.read()
    except OSError:
        return None  # What reads its lines next says why.
    samples = tuple(from_text(text, path))
    lines, before = _Lines(path=path, rows=[], is_whole=True, notes=[]), None
    for number, one in enumerate(samples, 2):
        _check_moment(lines, number, one.wall, before)
        before = one.wall
    return Recording(samples=samples)


def _lines(path: str) -> _Lines:
    import zlib
    from gzip import BadGzipFile, GzipFile
    from io import TextIOWrapper

    rows: list[str] = []
    try:
        with open(path, "rb") as raw:
            is_packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            with TextIOWrapper(GzipFile(fileobj=raw) if is_packed else raw, "utf-8-sig") as text:
                while last := text.readline(LONGEST_LINE + 1):
                    if len(last) > LONGEST_LINE or len(rows) >= MOST_LINES:
                        raise ConfigError(
                            f"{path}, line {len(rows) + 1}: a line may have {LONGEST_LINE} "
                            f"characters and a file {MOST_LINES} lines: give a part of it"
                        )
                    rows.append(last.rstrip("\r\n"))
                    is_whole = last.endswith("\n")
    except (EOFError, BadGzipFile, zlib.error) as error:
        raise ConfigError(
            f"{path}, after line {len(rows)}: the packed file is broken ({error}): unpack what "
            "can be had with zcat and give that"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}, after line {len(rows)}: {error.object[error.start : error.start + 4]!r} is "
            "no UTF-8 text: give a file of samples"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror or error}): check the name and the rights"
        ) from None
    if not rows:
        raise ConfigError(f"{path} is empty: give a file with at least one sample")
    return _Lines(path=path, rows=rows, is_whole=is_whole, notes=[])


def _read_rows(lines: _Lines) -> Recording:
    """Our own rows; fields that no sample has are left out, and named in a note."""
    unknown: dict[str, None] = {}

    def sample(text: str) -> tuple[float, Sample]:
        try:
            row = json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            raise ValueError(f"{shown(text)} is no JSON object") from None
        made = sample_of(row)
        unknown.update(dict.fromkeys(name for name in row if name not in _FIELDS))
        return made.wall, made

    rule = 'write one sample a line, as in {"wall": 1.7e9, "rss": 52428800}'
    samples = tuple(lines.read(sample, rule))
    if unknown:
        lines.notes.append(f"Fields that are not read: {', '.join(map(shown, unknown))}.")
    return Recording(samples=samples, notes=tuple(lines.notes))


def _read_csv(lines: _Lines) -> Recording:
    names = [name.strip() for name in lines.rows[0].split(",")]
    if names[:1] != ["t_s"] or "rss_kb" not in names:
        raise lines.wrong(1, f"header {shown(','.join(names))}", "must name t_s first, and rss_kb")
    for name in names:
        if not name or names.count(name) > 1:
            raise lines.wrong(1, f"column {name!r}", "must have a name of its own: rename it")
    unread = [name for name in names if name not in _KNOWN and not name.startswith("c_")]
    if unread:
        lines.notes.append(f"Columns that are not read: {', '.join(unread)}.")
    lines.rows[0] = ""  # The header is read, and blank lines are passed over.
    served = 0

    def sample(text: str) -> tuple[float, Sample]:
        nonlocal served
        cells = text.split(",")
        if len(cells) != len(names):
            raise ValueError(f"{len(cells)} cells stand under {len(names)} columns")
        row = dict(zip(names, cells, strict=True))
        rss, wall = _size(row["rss_kb"], _KIB, "rss_kb"), _number(row["t_s"], "t_s")
        malloc = row.get("malloc_used_kb")
        made = _sample(
            wall,
            rss,
            blocks=_size(row.get("py_blocks", 0), 1, "py_blocks"),
            malloc=None if malloc is None else _size(malloc, _KIB, "malloc_used_kb"),
            gc_runs=(0, 0, _size(row.get("gc2_runs", 0), 1, "gc2_runs")),
            threads=_size(row.get("threads", 1), 1, "threads"),
            requests=served + _size(row["requests"], 1, "requests") if "requests" in row else None,
            parts=tuple(
                PartSample(name=name[2:], kind="component", items=_size(cell, 1, name))
                for name, cell in row.items()
                if name.startswith("c_")
            ),
        )
        served = made.requests or 0
        return wall, made

    samples = list(lines.read(sample, "mend the line, or leave it out"))
    # Without any full collection over a recording that counts them, collection was off.
    if "gc2_runs" not in names or (samples and samples[-1].gc_runs[2] > samples[0].gc_runs[2]):
        samples = [one.replace(gc_thresholds=COLLECTING) for one in samples]
    return Recording(samples=tuple(samples), is_dated=False, notes=tuple(lines.notes))


def _read_mprof(lines: _Lines) -> Recording:
    name = ""
    children: dict[float, float] = {}
    functions: dict[str, tuple[int, float, float]] = {}

    def sample(row: str) -> tuple[float, tuple[float, float]] | None:
        nonlocal name
        field, _, rest = row.partition(" ")
        if field == "CMDLINE":
            name = rest.strip()
        elif field == "MEM":
            held, wall = _numbers(field, rest.split(), 2)
            _size(held, _MIB, field)
            return wall, (wall, held)
        elif field == "CHLD":
            _, held, wall = _numbers(field, rest.split(), 3)
            _size(held, _MIB, field)
            children[wall] = children.get(wall, 0.0) + held
        elif field == "FUNC":
            # A name may hold spaces, as <lambda> of a generator's does not but a class's may.
            words = rest.rsplit(" ", 4)
            before, begin, after, end = _numbers(field, words[1:], 4)
            times, grew, took = functions.get(words[0], (0, 0.0, 0.0))
            functions[words[0]] = (times + 1, grew + after - before, took + end - begin)
        else:
            raise ValueError(f"{shown(row)} begins with no field of mprof's")
        return None

    times, sizes = array("d"), array("d")
    for wall, held in lines.read(sample, "mend the line, or record anew"):
        times.append(wall)
        sizes.append(held)
    places: Iterable[int] = range(len(times))
    if len(times) > MOST:
        places = envelope(times, sizes, MOST)
        apart = (times[-1] - times[0]) / MOST * 2
        lines.notes.append(
            f"Of {len(times):,} samples the lowest and highest of each {apart:.1f} s are kept."
        )
    samples, looks = [], sorted(children)
    for place in places:
        wall, rss, held_below = times[place], _size(sizes[place], _MIB, "MEM"), None
        if looks:  # mprof looks at children right after it has looked at the process.
            at = bisect_left(looks, wall)
            near = min(looks[max(0, at - 1) : at + 1], key=lambda one: abs(one - wall))
            is_its = abs(near - wall) < 1.0
            held_below = _size(children[near], _MIB, "CHLD") if is_its else 0
        told = {"gc_thresholds": COLLECTING, "began": times[0]}
        samples.append(_sample(wall, rss, children=held_below, **told))
    operations = tuple(
        OperationFigure(name=function, times=count, grew=round(grew * _MIB), took=took)
        for function, (count, grew, took) in functions.items()
    )
    return Recording(
        samples=tuple(samples), name=name, operations=operations, notes=tuple(lines.notes)
    )


def _sample(wall: float, rss: int, **known: Any) -> Sample:
    return Sample(at=wall, wall=wall, used=rss, rss=rss, **known)


def _numbers(field: str, words: list[str], many: int) -> list[float]:
    if len(words) != many:
        raise ValueError(f"{shown(' '.join([field, *words]))} must be {_FORMS[field]}")
    return [_number(word, field) for word in words]


class Bound(Record):
    """What one part may hold, seconds that an item may stay, and mean bytes of one; or None."""

    max_items: int | None = None
    max_bytes: int | None = None
    ttl: float | None = None
    bytes_per_item: float | None = None


def read_bounds(path: str) -> dict[str, Bound]:
    """Bounds by name: a JSON or YAML mapping, as it is or under `components` or `bounded`.

    Each name has `max_items` (a count), `max_bytes` ("20MiB"), `ttl` ("1h") or `ttl_h` (hours), and
    `bytes_per_item` (mean bytes of one, where a recording has items alone); a `ConfigError` says
    what cannot be used.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path} cannot be read ({why}): check the name and the rights") from None
    import yaml  # JSON is YAML as well

    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise ConfigError(f"{path} is neither JSON nor YAML ({why:.200}): mend it") from None
    if not isinstance(found, dict):
        raise ConfigError(
            f"{path}: {shown(found)} is no mapping: write NAME: {{max_items: 500}} for each part"
        )
    for section in ("components", "bounded"):
        if isinstance(found.get(section), dict):
            found = found[section]
            break
    return {str(name): _bound(path, str(name), rows) for name, rows in found.items()}


def with_bounds(samples: Iterable[Sample], bounds: Mapping[str, Bound]) -> tuple[Sample, ...]:
    """The samples with these bounds on their parts, and what bounded parts hold counted anew."""
    kept = tuple(samples)
    names = {part.name for one in kept for part in one.parts}
    for name in bounds:
        if kept and name not in names:
            known = ", ".join(sorted(names)) or "none"
            raise ConfigError(f"bound on {name!r:.80}: no sample has this part; known: {known}")
    made = []
    for one in kept:
        parts = tuple(_bounded(part, bounds.get(part.name)) for part in one.parts)
        explained = sum(part.bytes or 0 for part in parts if part.is_bounded)
        made.append(one.replace(parts=parts, explained=explained))
    return tuple(made)


def _bounded(part: PartSample, bound: Bound | None) -> PartSample:
    if bound is None:
        return part
    told = {"most_items": bound.max_items, "most_bytes": bound.max_bytes, "ttl": bound.ttl}
    if part.bytes is None and part.items is not None and bound.bytes_per_item is not None:
        told["bytes"] = round(part.items * bound.bytes_per_item)
    return part.replace(**{name: value for name, value in told.items() if value is not None})


def _bound(path: str, name: str, rows: Any) -> Bound:
    where = f"{path}, {name!r:.80}"
    if not isinstance(rows, dict):
        raise ConfigError(f"{where}: {shown(rows)} is no mapping: write max_items: 500 under it")
    for key in rows:
        if key not in (*_KEYS, "essential"):
            raise ConfigError(f"{where}: {key!r:.80} is not known: use {', '.join(_KEYS)}")
    hours = _above_zero(where, rows, "ttl_h")
    items = _above_zero(where, rows, "max_items")
    if items is not None and not items.is_integer():
        raise ConfigError(f"{where}: max_items {items!r} is a count: give a whole number")
    ttl = hours * 3600.0 if hours is not None else None
    return Bound(
        max_items=None if items is None else int(items),
        max_bytes=_with_unit(where, rows, "max_bytes", parse_bytes, "20MiB"),
        ttl=_with_unit(where, rows, "ttl", parse_seconds, "1h") if ttl is None else ttl,
        bytes_per_item=_above_zero(where, rows, "bytes_per_item"),
    )


def _above_zero(where: str, rows: Mapping[str, Any], key: str) -> float | None:
    value = rows.get(key)
    if value is None:
        return None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 < value < float("inf"):
        raise ConfigError(f"{where}: {key} {shown(value)} must be a number above zero")
    return float(value)


def _with_unit(where: str, rows: Mapping[str, Any], key: str, parse: Any, example: str) -> Any:
    value = rows.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise ConfigError(f'{where}: {key} {shown(value)} has no unit: write it as "{example}"')
    return parse(value, name=f"{where}: {key}")


def shown(value: object) -> str:
    """A value as it stands in an error: not long, in one line."""
    words = repr(value)
    return words if len(words) <= _SHOWN else f"{words[:_SHOWN]}..."


def _size(value: str | float, unit: int, what: str) -> int:
    number = _number(value, what)
    if not 0 <= number * unit < 1 << 63:
        raise ValueError(f"{what} {shown(value)} must be from 0 up and below 8 EiB")
    return round(number * unit)


def _number(value: str | float, what: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not abs(number) < float("inf"):
        raise ValueError(f"{what} {shown(value)} must be a finite number")
    return number
