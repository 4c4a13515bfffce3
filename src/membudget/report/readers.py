"""Files of samples: what kind each is, and its samples.

Four kinds are known: our own rows (one JSON object a line, with the fields of `Sample`; `wall` and
`rss` at least), the history file (`sampling/form.py`), CSV with the header `t_s,rss_kb,...`, and
the `.dat` files of memory_profiler's `mprof`; each but the history may be packed by gzip. A file is
read whole or not at all: the first line that does not fit ends it with its number, what it holds,
and what would be right. Only a last line that breaks off is left out, for that is how the file of a
killed process ends; a note says so.

CSV: `t_s` counts seconds from the process's begin, `requests` is what was served since the row
before, `c_NAME` how many items the part NAME holds; malloc_used_kb, py_blocks and more if told.

mprof: `CMDLINE words`, `MEM <MiB> <Unix time>`, `CHLD <number> <MiB> <Unix time>` for a child with
`--multiprocess`, and `FUNC <name> <MiB> <begin> <MiB> <end>` for a profiled function. Source: the
format as `mprof` of memory_profiler 0.61 writes it.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from membudget.core import PartSample, Record, Sample
from membudget.errors import ConfigError
from membudget.report.figures import LAST, OperationFigure
from membudget.sampling.form import BEGINS, COLLECTING, from_text, sample_of
from membudget.trend import envelope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

T = TypeVar("T")

MOST_LINES = 5_000_000
"""Lines of a file: a year of samples every six seconds."""

LONGEST_LINE = 1 << 20
"""Characters of a line: a sample with thousands of parts."""

MOST = 20_000
"""Samples kept of mprof's: it takes ten a second, a day of which nobody can see."""

_FIELDS = frozenset(Sample.field_names())
_PART = "c_"
_KNOWN = ("t_s", "rss_kb", "malloc_used_kb", "py_blocks", "requests", "gc2_runs", "threads")
_FORMS = {
    "MEM": "MEM <MiB> <Unix time>",
    "CHLD": "CHLD <number> <MiB> <Unix time>",
    "FUNC": "FUNC <name> <MiB> <begin> <MiB> <end>",
}
_NO_SAMPLES = (
    "holds no samples, only its beginning: give a recording with at least one, or wait for the "
    "process to take its first"
)
_GZIP = b"\x1f\x8b"
_KIB, _MIB = 1 << 10, 1 << 20
_SHOWN = 60


class Recording(Record):
    """What a file holds.

    Attributes:
        samples: Oldest first.
        name: What was recorded, as the file tells, or "".
        is_dated: Whether `wall` is Unix seconds; else seconds since the recording began.
        operations: Functions that the file tells of.
        notes: What the reader should know, a sentence each.
    """

    samples: tuple[Sample, ...]
    name: str = ""
    is_dated: bool = True
    operations: tuple[OperationFigure, ...] = ()
    notes: tuple[str, ...] = ()


def read_samples(path: str) -> Recording:
    """The samples of a file.

    Raises:
        ConfigError: It cannot be read, or a line of it does not fit.
    """
    if (history := _history(path)) is not None:
        return history
    lines = _lines(path)
    first = lines.rows[0].strip() if lines.rows else ""
    if first.startswith("{"):
        found = _read_rows(lines)
    elif first.partition(",")[0].strip() == "t_s":
        found = _read_csv(lines)
    elif first.partition(" ")[0] in ("CMDLINE", *_FORMS):
        found = _read_mprof(lines)
    else:
        raise ConfigError(
            f"{path}, line 1: {shown(first)} begins no kind of file that is known: give samples "
            'as JSON lines ({"wall": ..., "rss": ...}), CSV with the header t_s,rss_kb, or the '
            ".dat file of mprof"
        )
    if not found.samples:
        raise ConfigError(f"{path} {_NO_SAMPLES}")
    return found


class _Lines(Record):
    """A file's lines without their ends, and whether the last one has its end."""

    path: str
    rows: list[str]
    is_whole: bool

    def wrong(self, number: int, what: str, rule: str) -> ConfigError:
        """The error for a line, counted from 1."""
        return ConfigError(f"{self.path}, line {number}: {what} {rule}")

    def check_moment(self, number: int, wall: float, before: float | None) -> None:
        """Refuse a row's moment that no calendar has, or that lies before that of the row above."""
        if not 0 <= wall <= LAST:
            raise self.wrong(
                number,
                f"{wall:g} s lies outside the years 1970 to 9999:",
                "give Unix seconds, or seconds since the recording began",
            )
        if before is not None and wall < before:
            raise self.wrong(
                number,
                f"time goes back from {before:.3f} s to {wall:.3f} s:",
                "sort the file by time, and give each process's recording by itself",
            )

    def read(
        self,
        parse: Callable[[str], T | None],
        wall: Callable[[T], float],
        rule: str,
        notes: list[str],
        first: int = 1,
    ) -> Iterator[T]:
        """What lines tell that have a moment; blank ones are passed over.

        Args:
            parse: Reads one line; None where it tells of no moment. Raises `ValueError`.
            wall: The moment of what was read.
            rule: What to do about a line that does not fit.
            notes: Is told of a last line that was left out.
            first: The first line to read, counted from 1.

        Raises:
            ConfigError: A line does not fit.
        """
        before: float | None = None
        for number, text in enumerate(islice(self.rows, first - 1, None), first):
            if not text.strip():
                continue
            try:
                if (found := parse(text)) is None:
                    continue
                self.check_moment(number, wall(found), before)
            except ValueError as error:
                if number == len(self.rows) and not self.is_whole:  # Nobody can be blamed for it.
                    notes.append(f"Line {number}, the last, breaks off and was left out.")
                    return
                if isinstance(error, ConfigError):
                    raise
                raise self.wrong(number, f"{error}:", rule) from None
            before = wall(found)
            yield found


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
    if not samples:
        raise ConfigError(f"{path} {_NO_SAMPLES}")
    before: float | None = None
    lines = _Lines(path=path, rows=[], is_whole=True)
    for number, one in enumerate(samples, 2):
        lines.check_moment(number, one.wall, before)
        before = one.wall
    return Recording(samples=samples)


def _lines(path: str) -> _Lines:
    import zlib
    from gzip import BadGzipFile, GzipFile
    from io import TextIOWrapper

    rows: list[str] = []
    last = "\n"
    try:
        with open(path, "rb") as raw:
            is_packed = raw.read(2) == _GZIP
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
    return _Lines(path=path, rows=rows, is_whole=is_whole)


def _read_rows(lines: _Lines) -> Recording:
    """Our own rows; fields that no sample has are left out, and named in a note."""
    notes: list[str] = []
    unknown: dict[str, None] = {}

    def sample(text: str) -> Sample:
        try:
            row = json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            raise ValueError(f"{shown(text)} is no JSON object") from None
        made = sample_of(row)
        unknown.update(dict.fromkeys(name for name in row if name not in _FIELDS))
        return made

    rule = 'write one sample a line, as in {"wall": 1.7e9, "rss": 52428800}'
    samples = tuple(lines.read(sample, lambda one: one.wall, rule, notes))
    if unknown:
        notes.append(f"Fields that are not read: {', '.join(map(shown, unknown))}.")
    return Recording(samples=samples, notes=tuple(notes))


def _read_csv(lines: _Lines) -> Recording:
    names = [name.strip() for name in lines.rows[0].split(",")]
    if names[:1] != ["t_s"] or "rss_kb" not in names:
        raise lines.wrong(1, f"header {shown(','.join(names))}", "must name t_s first, and rss_kb")
    for name in names:
        if not name or names.count(name) > 1:
            raise lines.wrong(1, f"column {name!r}", "must have a name of its own: rename it")
    unread = [name for name in names if name not in _KNOWN and not name.startswith(_PART)]
    notes = [f"Columns that are not read: {', '.join(unread)}."] if unread else []
    served = 0

    def sample(row: str) -> Sample:
        nonlocal served
        made = _sample(names, row.split(","), served)
        served = made.requests or 0
        return made

    rule = "mend the line, or leave it out"
    samples = list(lines.read(sample, lambda one: one.wall, rule, notes, first=2))
    # Without any full collection over a recording that counts them, collection was off.
    if "gc2_runs" not in names or (samples and samples[-1].gc_runs[2] > samples[0].gc_runs[2]):
        samples = [one.replace(gc_thresholds=COLLECTING) for one in samples]
    return Recording(samples=tuple(samples), is_dated=False, notes=tuple(notes))


def _sample(names: Sequence[str], cells: Sequence[str], served: int) -> Sample:
    if len(cells) != len(names):
        raise ValueError(f"{len(cells)} cells stand under {len(names)} columns")
    row = dict(zip(names, cells, strict=True))
    rss = _size(row["rss_kb"], _KIB, "rss_kb")
    requests = row.get("requests")
    return Sample(
        at=(t := _number(row["t_s"], "t_s")),
        wall=t,
        used=rss,
        rss=rss,
        blocks=_size(row.get("py_blocks", 0), 1, "py_blocks"),
        malloc=_size(row["malloc_used_kb"], _KIB, "malloc_used_kb")
        if "malloc_used_kb" in row
        else None,
        gc_runs=(0, 0, _size(row.get("gc2_runs", 0), 1, "gc2_runs")),
        threads=_size(row.get("threads", 1), 1, "threads"),
        requests=None if requests is None else served + _size(requests, 1, "requests"),
        parts=tuple(
            PartSample(name=name[len(_PART) :], kind="component", items=_size(cell, 1, name))
            for name, cell in row.items()
            if name.startswith(_PART)
        ),
    )


class _Profile:
    """What has been read of mprof's lines beside its samples."""

    def __init__(self) -> None:
        self.name = ""
        self.children: dict[float, float] = {}
        self.functions: dict[str, tuple[int, float, float]] = {}

    def sample(self, row: str) -> tuple[float, float] | None:
        """Read one line: when and how many MiB, where it tells them of the process."""
        field, _, rest = row.partition(" ")
        if field == "CMDLINE":
            self.name = rest.strip()
        elif field == "MEM":
            held, wall = _numbers(field, rest.split(), 2)
            _size(held, _MIB, field)
            return wall, held
        elif field == "CHLD":
            _, held, wall = _numbers(field, rest.split(), 3)
            _size(held, _MIB, field)
            self.children[wall] = self.children.get(wall, 0.0) + held
        elif field == "FUNC":
            # A name may hold spaces, as <lambda> of a generator's does not but a class's may.
            words = rest.rsplit(" ", 4)
            before, begin, after, end = _numbers(field, words[1:], 4)
            times, grew, took = self.functions.get(words[0], (0, 0.0, 0.0))
            self.functions[words[0]] = (times + 1, grew + after - before, took + end - begin)
        else:
            raise ValueError(f"{shown(row)} begins with no field of mprof's")
        return None


def _numbers(field: str, words: list[str], many: int) -> list[float]:
    if len(words) != many:
        raise ValueError(f"{shown(' '.join([field, *words]))} must be {_FORMS[field]}")
    return [_number(word, field) for word in words]


def _read_mprof(lines: _Lines) -> Recording:
    profile, notes = _Profile(), list[str]()
    times, sizes = array("d"), array("d")
    rule = "mend the line, or record anew"
    for wall, held in lines.read(profile.sample, lambda one: one[0], rule, notes):
        times.append(wall)
        sizes.append(held)
    places: Iterable[int] = range(len(times))
    if len(times) > MOST:
        places = envelope(times, sizes, MOST)
        apart = (times[-1] - times[0]) / MOST * 2
        notes.append(
            f"Of {len(times):,} samples the lowest and highest of each {apart:.1f} s are kept."
        )
    looks = sorted(profile.children)
    return Recording(
        samples=tuple(
            Sample(
                at=times[place],
                wall=times[place],
                used=(rss := _size(sizes[place], _MIB, "MEM")),
                rss=rss,
                children=_of_children(profile.children, looks, times[place]),
                gc_thresholds=COLLECTING,
                began=times[0],
            )
            for place in places
        ),
        name=profile.name,
        operations=tuple(
            OperationFigure(name=name, times=count, grew=round(grew * _MIB), took=took)
            for name, (count, grew, took) in profile.functions.items()
        ),
        notes=tuple(notes),
    )


def _of_children(held: dict[float, float], looks: list[float], wall: float) -> int | None:
    """Bytes of the children when a sample was taken: `mprof` looks at them right after it."""
    if not looks:
        return None
    place = bisect_left(looks, wall)
    near = min(looks[max(0, place - 1) : place + 1], key=lambda one: abs(one - wall))
    return _size(held[near], _MIB, "CHLD") if abs(near - wall) < 1.0 else 0


def shown(value: object) -> str:
    """A value as it stands in an error: not long, in one line."""
    words = repr(value)
    return words if len(words) <= _SHOWN else f"{words[:_SHOWN]}..."


def _size(value: object, unit: int, what: str) -> int:
    """Bytes from a number in some unit; a `ValueError` says the rule."""
    number = _number(value, what)
    if not 0 <= number * unit < 1 << 63:
        raise ValueError(f"{what} {shown(value)} must be from 0 up and below 8 EiB")
    return round(number * unit)


def _number(value: object, what: str) -> float:
    """A finite number, or text of one; a `ValueError` says so."""
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = float("nan")
        if abs(number) < float("inf"):
            return number
    raise ValueError(f"{what} {shown(value)} must be a finite number")
