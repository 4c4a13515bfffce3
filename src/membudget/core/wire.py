"""Plain values from outside, held against what is due, and made records again.

What a process answers, or a slot tells, was written by somebody: each field is looked at before it
is counted with or shown. A kind is written as in an annotation: "int", "size" (a whole number from
0 on), "bound" (from 1 on), "float", "bool" or "str", with " | None" behind it where null will do; a
class of records; `[kind]` for a list; `{"field": kind}` for fields by name, those beyond them not
looked at, a name ending in "?" for one that may be missing; `{"*": kind}` for any names.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

from membudget.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from enum import Enum

R = TypeVar("R", bound=Record)

_BEYOND = 1 << 64
"""What no bytes, no counts, and no rates or times of them are."""

_SHOWN = 40


def checked(value: Any, kind: Any, where: str = "it") -> Any:
    """A value of this kind; a record where the kind is a class of them, lists in it tuples.

    Args:
        value: As JSON has it.
        kind: See above.
        where: What the value is called in an error.

    Raises:
        ValueError: It is of another kind; the message says where, what it is and what is due.
    """
    if isinstance(kind, str):
        return _simple(value, kind, where)
    if isinstance(kind, list):
        return [checked(one, kind[0], where) for one in _as(list, value, where, "a list")]
    if isinstance(kind, dict):
        _check_fields(_as(dict, value, where, "an object"), kind, where)
        return value
    if issubclass(kind, Record):
        return record_from(kind, value, where)
    return _member(kind, value, where)


def record_from(cls: type[R], value: Any, where: str = "it") -> R:
    """A record from its fields by name: what is missing takes its default, others are skipped.

    Raises:
        ValueError: A field is of another kind, or missing without a default.
    """
    fields = _as(dict, value, where, "an object")
    found = {}
    for name, kind in _fields_of(cls).items():
        if name in fields:
            found[name] = _typed(fields[name], kind, cls, f"{where}.{name}")
        elif name not in cls._defaults:
            raise ValueError(f"{where}.{name} is missing")
    return cls(**found)


def is_whole(value: Any) -> bool:
    """Whether it is a whole number of less than 64 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _BEYOND


def _is_number(value: Any) -> bool:
    """Whether it is a number of a size that can be counted with."""
    # NaN is within no bounds.
    return (isinstance(value, float) and abs(value) < _BEYOND) or is_whole(value)


_SIMPLE: dict[str, tuple[Callable[[Any], bool], str]] = {
    "int": (is_whole, "a whole number of less than 64 bits"),
    "size": (lambda value: is_whole(value) and value >= 0, "a whole number from 0 on"),
    "bound": (lambda value: is_whole(value) and value > 0, "a whole number from 1 on"),
    "float": (_is_number, "a number below 2^64"),
    "bool": (lambda value: isinstance(value, bool), "true or false"),
    "str": (lambda value: isinstance(value, str), "text"),
}


def _simple(value: Any, kind: str, where: str) -> Any:
    base, _, is_optional = kind.partition(" | ")
    if value is None and is_optional:
        return None
    test, due = _SIMPLE[base]
    if not test(value):
        raise _wrong(value, where, due)
    return value


def _check_fields(fields: dict[Any, Any], kinds: Mapping[str, Any], where: str) -> None:
    for name, kind in kinds.items():
        if name == "*":
            for one, value in fields.items():
                checked(value, kind, f"{where}[{one!r:.{_SHOWN}}]")
        elif name.rstrip("?") in fields:
            plain = name.rstrip("?")
            checked(fields[plain], kind, f"{where}.{plain}")
        elif not name.endswith("?"):
            raise ValueError(f"{where}.{name} is missing")


def _fields_of(cls: type[Record]) -> dict[str, str]:
    """The fields of a record and what each may hold, as its source has it."""
    return {
        name: kind
        for one in reversed(cls.__mro__)
        for name, kind in getattr(one, "__annotations__", {}).items()
        if name in cls._setters
    }


def _typed(value: Any, kind: str, cls: type[Record], where: str) -> Any:
    """A value of a kind as an annotation has it."""
    base, _, is_optional = kind.partition(" | ")
    if value is None and is_optional:
        return None
    if base in _SIMPLE:
        return _simple(value, base, where)
    if base.startswith("tuple["):
        kinds = base[len("tuple[") : -1].split(", ")
        given = _as(list, value, where, "a list")
        if kinds[1:] == ["..."]:
            kinds = kinds[:1] * len(given)
        if len(kinds) != len(given):
            raise _wrong(value, where, f"a list of {len(kinds)}")
        return tuple(_typed(one, kind, cls, where) for one, kind in zip(given, kinds, strict=True))
    return checked(value, vars(sys.modules[cls.__module__])[base], where)


def _member(kind: Any, value: Any, where: str) -> Enum:
    try:
        member: Enum = kind(value)
    except ValueError:
        names = ", ".join(str(one.value) for one in kind)
        raise _wrong(value, where, f"one of {names}") from None
    return member


def _as(kind: type, value: Any, where: str, due: str) -> Any:
    if not isinstance(value, kind):
        raise _wrong(value, where, due)
    return value


def _wrong(value: Any, where: str, due: str) -> ValueError:
    try:
        shown = f"{value!r:.{_SHOWN}}"
    except (ValueError, RecursionError):  # Thousands of digits, or lists in lists.
        shown = "out of measure"
    return ValueError(f"{where} is {shown}, and {due} is due")
