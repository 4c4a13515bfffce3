"""Files of samples: what kind each is, and its samples.

Four kinds are known: our own rows (one JSON object a line, as `Sample.as_dict()` has it), the
history file (`sampling/form.py`), CSV with the header `t_s,rss_kb,...`, and the `.dat` files of
memory_profiler's `mprof`; each but the history may be packed by gzip. A file is read whole or not
at all: the first line that does not fit ends it with its number, what it holds, and what would be
right. Only a last line that breaks off is left out, for that is how the file of a killed process
ends; a note says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from membudget.core import Record
from membudget.errors import ConfigError
from membudget.sampling.form import BEGINS

if TYPE_CHECKING:
    from membudget.core import Sample
    from membudget.report.records import OperationFigure

Reader: TypeAlias = Callable[[str], "Sequence[Sample] | None"]
"""Takes a path and returns its samples, or None where the file is of another kind."""

MOST_LINES = 5_000_000
"""Lines of a file: a year of samples every six seconds."""

LONGEST_LINE = 1 << 20
"""Characters of a line: a sample with thousands of parts."""

LAST = 253_402_300_000.0
"""Unix seconds at the end of the year 9999, which is as far as calendars go here."""

_SHOWN = 60
_NO_DATE = "lies outside the years 1970 to 9999:"
_DATES = "give Unix seconds, or seconds since the recording began"
_ORDER = "sort the file by time, and give each process's recording by itself"
_NO_SAMPLES = (
    "holds no samples, only its beginning: give a recording with at least one, or wait for the "
    "process to take its first"
)
_GZIP = b"\x1f\x8b"

READERS: list[Reader] = []
"""Further kinds of file, asked first; whoever keeps samples in a form of its own adds one."""


class Recording(Record):
    """What a file holds.

    Attributes:
        samples: Oldest first.
        form: "samples", "CSV" or "mprof".
        name: What was recorded, as the file tells, or "".
        is_dated: Whether `wall` is Unix seconds; else seconds since the recording began.
        operations: Functions that the file tells of.
        notes: What the reader should know, a sentence each.
    """

    samples: tuple[Sample, ...]
    form: str
    name: str = ""
    is_dated: bool = True
    operations: tuple[OperationFigure, ...] = ()
    notes: tuple[str, ...] = ()


class Lines(Record):
    """A file's lines, without their ends.

    Attributes:
        path: The file.
        rows: The lines.
        is_whole: Whether the last one has its end.
    """

    path: str
    rows: list[str]
    is_whole: bool

    def wrong(self, number: int, what: str, rule: str) -> ConfigError:
        """The error for a line, counted from 1."""
        return ConfigError(f"{self.path}, line {number}: {what} {rule}")

    def is_in_time(self, number: int, wall: float, before: float | None) -> bool:
        """Whether a row's moment can be, after that of the row above; false: it breaks off.

        Raises:
            ConfigError: No calendar has it, or time goes back.
        """
        is_back = before is not None and wall < before
        if (is_back or not 0 <= wall <= LAST) and self.may_break_off(number):
            return False
        if not 0 <= wall <= LAST:
            raise self.wrong(number, f"{wall:g} s {_NO_DATE}", _DATES)
        if before is not None and wall < before:
            raise self.wrong(number, f"time goes back from {before:.3f} s to {wall:.3f} s:", _ORDER)
        return True

    def may_break_off(self, number: int) -> bool:
        """Whether this is a last line without its end, which nobody can be blamed for."""
        return not self.is_whole and number == len(self.rows)

    @property
    def note(self) -> str:
        """What to say where the last line was left out."""
        return f"Line {len(self.rows)}, the last, breaks off and was left out."


def read_samples(path: str, *, readers: Sequence[Reader] | None = None) -> Recording:
    """The samples of a file.

    Args:
        path: The file; packed by gzip or not.
        readers: Further kinds, asked first; `READERS` by default.

    Raises:
        ConfigError: It cannot be read, or a line of it does not fit.
    """
    for reader in READERS if readers is None else readers:
        samples = reader(path)
        if samples is not None:
            return Recording(samples=tuple(samples), form="samples")
    if (history := _history(path)) is not None:
        return history
    lines = _lines(path)
    first = lines.rows[0].strip() if lines.rows else ""
    if first.startswith("{"):
        from membudget.report.recorded_rows import read_rows

        found = read_rows(lines)
    elif first.partition(",")[0].strip() == "t_s":
        from membudget.report.recorded_csv import read_csv

        found = read_csv(lines)
    elif first.partition(" ")[0] in ("CMDLINE", "MEM", "FUNC", "CHLD"):
        from membudget.report.recorded_mprof import read_mprof

        found = read_mprof(lines)
    else:
        raise ConfigError(
            f"{path}, line 1: {shown(first)} begins no kind of file that is known: give samples "
            'as JSON lines ({"wall": ..., "rss": ...}), CSV with the header t_s,rss_kb, or the '
            ".dat file of mprof"
        )
    if not found.samples:
        raise ConfigError(f"{path} {_NO_SAMPLES}")
    return found


def shown(value: object) -> str:
    """A value as it stands in an error: not long, in one line."""
    words = repr(value)
    return words if len(words) <= _SHOWN else f"{words[:_SHOWN]}..."


def as_size(value: object, unit: int, what: str) -> int:
    """Bytes from a number in some unit.

    Raises:
        ValueError: It is none, is below zero, or is out of reach; the message says the rule.
    """
    number = as_number(value, what)
    if not 0 <= number * unit < 1 << 63:
        raise ValueError(f"{what} {shown(value)} must be from 0 up and below 8 EiB")
    return round(number * unit)


def as_number(value: object, what: str) -> float:
    """A finite number, or text of one.

    Raises:
        ValueError: It is none; the message says so.
    """
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = float("nan")
        if abs(number) < float("inf"):
            return number
    raise ValueError(f"{what} {shown(value)} must be a finite number")


def _history(path: str) -> Recording | None:
    """The samples of a history file; None where it is none, or cannot be read here."""
    try:
        with open(path, "rb") as file:
            if file.read(len(BEGINS)) != BEGINS:
                return None
            text = BEGINS + file.read()
    except OSError:
        return None  # Whoever reads its lines next says why.
    from membudget.sampling.form import from_text

    samples = tuple(from_text(text, path))
    if not samples:
        raise ConfigError(f"{path} {_NO_SAMPLES}")
    before: float | None = None
    lines = Lines(path=path, rows=[], is_whole=True)
    for number, one in enumerate(samples, 2):
        lines.is_in_time(number, one.wall, before)
        before = one.wall
    return Recording(samples=samples, form="samples")


def _lines(path: str) -> Lines:
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
    return Lines(path=path, rows=rows, is_whole=is_whole)
