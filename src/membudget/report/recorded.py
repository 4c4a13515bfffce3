"""A recording read from a file, and the lines of one, with what is said where they do not fit."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from membudget.core import Record
from membudget.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from membudget.core import Sample
    from membudget.report.records import OperationFigure

T = TypeVar("T")

LAST = 253_402_300_000.0
"""Unix seconds at the end of the year 9999, which is as far as calendars go here."""

_SHOWN = 60
_NO_DATE = "lies outside the years 1970 to 9999:"
_DATES = "give Unix seconds, or seconds since the recording began"
_ORDER = "sort the file by time, and give each process's recording by itself"


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
                found = parse(text)
            except ValueError as error:
                if not self.may_break_off(number):
                    raise self.wrong(number, f"{error}:", rule) from None
                notes.append(self.note)
                continue
            if found is None:
                continue
            if self.is_in_time(number, wall(found), before):
                before = wall(found)
                yield found
            else:
                notes.append(self.note)

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
