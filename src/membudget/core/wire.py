"""Records as plain values, and plain values from outside made records again: each spelled once.

A field may hold what its annotation says: `int`, `float`, `bool`, `str`, `Size` (a whole number
from 0 on), `Amount` (a number from 0 on), a class of records, an enum, `tuple[X, ...]`,
`tuple[X, Y]`, `dict[str, X]`, `Any`, and any of them with ` | None`. What a file, a slot or a
socket tells was written by somebody, perhaps of an older or a newer version: a field that is not
known is skipped, one that is missing takes its default, and one of another kind is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from membudget.core.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import Enum
    from typing import Any, TypeAlias, TypeVar

    _Reader: TypeAlias = Callable[[Any, str], Any]
    """Takes a value and what it is called in an error, and returns what a field holds."""

    R = TypeVar("R", bound=Record)

Size: TypeAlias = int
"""A whole number from 0 on, below 2^64."""

Amount: TypeAlias = float
"""A finite number from 0 on."""

_BEYOND = 1 << 64
"""What no bytes, no counts, and no rates or times of them are."""

_SHOWN = 40


def plain(value: Any) -> Any:
    """The same as dicts, lists, text and numbers."""
    if isinstance(value, Record):
        return {name: plain(one) for name, one in value.as_dict().items()}
    if isinstance(value, (tuple, list)):
        return [plain(one) for one in value]
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    return value


def record_from(cls: type[R], value: Any, where: str = "") -> R:
    """A record from its fields by name.

    Args:
        cls: The record's class.
        value: As JSON has it.
        where: What it is called in an error.

    Raises:
        ValueError: A field is of another kind, or missing without a default; the message says
            where, what it is and what is due.
    """
    fields = _as(dict, value, where, "an object")
    found = {}
    for name, read in _readers_of(cls).items():
        called = f"{where}.{name}" if where else name
        if name in fields:
            found[name] = read(fields[name], called)
        elif name not in cls._defaults:
            raise ValueError(f"{called} is missing")
    return cls(**found)


_readers: dict[type[Record], dict[str, _Reader]] = {}


def _readers_of(cls: type[Record]) -> dict[str, _Reader]:
    """What reads each field of a record, by name; made once a class."""
    if (known := _readers.get(cls)) is None:
        known = _readers[cls] = {
            name: _reader(kind, vars(sys.modules[one.__module__]))
            for one in reversed(cls.__mro__)
            for name, kind in getattr(one, "__annotations__", {}).items()
            if name in cls._setters
        }
    return known


def _reader(kind: str, space: Mapping[str, Any]) -> _Reader:
    """What reads a kind as an annotation has it, its names those of a module."""
    base, _, is_optional = kind.partition(" | ")
    read = _SIMPLE.get(base) or _composed(base, space)
    if not is_optional:
        return read
    return lambda value, where: None if value is None else read(value, where)


def _composed(base: str, space: Mapping[str, Any]) -> _Reader:
    name, _, inner = base.removesuffix("]").partition("[")
    kinds = _split(inner)
    if name == "tuple" and kinds[1:] == ["..."]:
        one = _reader(kinds[0], space)
        return lambda value, where: tuple(
            [
                one(item, f"{where}[{place}]")
                for place, item in enumerate(_as(list, value, where, "a list"))
            ]
        )
    if name == "tuple":
        return _fixed([_reader(kind, space) for kind in kinds])
    if name in ("dict", "Mapping"):
        each = _reader(kinds[1], space)
        return lambda value, where: {
            key: each(item, f"{where}[{key!r:.{_SHOWN}}]")
            for key, item in _as(dict, value, where, "an object").items()
        }
    kind = space[base]
    if issubclass(kind, Record):
        return lambda value, where: record_from(kind, value, where)
    return lambda value, where: _member(kind, value, where)


def _fixed(readers: list[_Reader]) -> _Reader:
    def read(value: Any, where: str) -> Any:
        given = _as(list, value, where, f"a list of {len(readers)}")
        if len(given) != len(readers):
            raise _wrong(value, where, f"a list of {len(readers)}")
        return tuple([one(item, where) for one, item in zip(readers, given, strict=True)])

    return read


def _split(kinds: str) -> list[str]:
    """The kinds between brackets, where some may have brackets of their own."""
    found, depth = [""], 0
    for letter in kinds:
        depth += (letter == "[") - (letter == "]")
        if letter == "," and not depth:
            found.append("")
        else:
            found[-1] += letter
    return [one.strip() for one in found]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _BEYOND


def _is_number(value: Any, most: float = _BEYOND) -> bool:
    # NaN is within no bounds.
    return (isinstance(value, float) and abs(value) < most) or _is_whole(value)


def _is_amount(value: Any) -> bool:
    return _is_number(value, float("inf")) and value >= 0


def _simple(test: Callable[[Any], bool], due: str) -> _Reader:
    def read(value: Any, where: str) -> Any:
        if not test(value):
            raise _wrong(value, where, due)
        return value

    return read


_SIMPLE: dict[str, _Reader] = {
    "int": _simple(_is_whole, "a whole number of less than 64 bits"),
    "Size": _simple(
        lambda value: _is_whole(value) and value >= 0, "a whole number from 0 on, below 2^64,"
    ),
    "float": _simple(_is_number, "a number below 2^64"),
    "Amount": _simple(_is_amount, "a finite number from 0 on"),
    "bool": _simple(lambda value: isinstance(value, bool), "true or false"),
    "str": _simple(lambda value: isinstance(value, str), "text"),
    "Any": lambda value, _where: value,
}


def _member(kind: type[Enum], value: Any, where: str) -> Enum:
    try:
        return kind(value)
    except ValueError:
        names = ", ".join(str(one.value) for one in kind)
        raise _wrong(value, where, f"one of {names}") from None


def _as(kind: type, value: Any, where: str, due: str) -> Any:
    if not isinstance(value, kind):
        raise _wrong(value, where, due)
    return value


def _wrong(value: Any, where: str, due: str) -> ValueError:
    try:
        shown = f"{value!r:.{_SHOWN}}"
    except (ValueError, RecursionError):  # Thousands of digits, or lists in lists.
        shown = "out of measure"
    return ValueError(f"{where or 'it'} is {shown}, and {due} is due")
