"""Frozen records, which the floors pass to each other; as plain values, and made of them again.

They cost a tenth of dataclasses at each start (ADR 6), and type checkers see these. A field that
comes from outside (ADR 30) may hold what its annotation says: `int`, `float`, `bool`, `str`,
`Size`, `Amount`, a class of records, an enum, `tuple[X, ...]`, `tuple[X, Y]`, `dict[str, X]`,
`Any`, and any of them with ` | None`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import MappingProxyType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar, Self, TypeAlias, TypeVar, dataclass_transform

    _Reader: TypeAlias = Callable[[Any, str], Any]
    """Takes a value and what it is called in an error, and returns what a field holds."""

    R = TypeVar("R", bound="Record")
else:

    def dataclass_transform(**_options: bool) -> Callable[[type], type]:
        """Only type checkers read it, and importing typing takes 3 ms."""
        return lambda made: made


Size: TypeAlias = int  # A whole number from 0 on, below 2^64.
Amount: TypeAlias = float  # A finite number from 0 on.
_BEYOND = 1 << 64  # What no bytes, no counts, and no rates or times of them are.
_SHOWN = 40
_OFTEN = 64  # More than there are settings.


@dataclass_transform(frozen_default=True, kw_only_default=True)
class _RecordType(type):
    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> _RecordType:
        own = list(namespace.get("__annotations__", {}))
        defaults = {field: namespace.pop(field) for field in own if field in namespace}
        namespace["__slots__"] = tuple(own)
        if bases:  # A subclass must not inherit the constructor written out for its parent.
            namespace.setdefault("__init__", Record.__init__)
        cls = super().__new__(mcs, name, bases, namespace)
        inherited: dict[str, Any] = getattr(cls, "_setters", {})
        cls._setters = {**inherited, **{field: cls.__dict__[field].__set__ for field in own}}
        cls._defaults = {**getattr(cls, "_defaults", {}), **defaults}
        cls._made = 0
        return cls

    _made: int
    _setters: dict[str, Any]
    _defaults: dict[str, Any]


class Record(metaclass=_RecordType):
    """A frozen, slotted record with keyword-only fields, equal by value."""

    if TYPE_CHECKING:  # Read at run time, `get_type_hints` would ask for `typing`.
        _made: ClassVar[int]
        _setters: ClassVar[dict[str, Any]]
        _defaults: ClassVar[dict[str, Any]]

    def __init__(self, **values: Any) -> None:
        cls = type(self)
        cls._made += 1
        # Written out it is twice as fast as here, which a tick, with its four records, is worth;
        # most classes are made once or never, and writing takes 60 µs. `exec` of text clears the
        # interpreter's note that an interrupt from the keyboard ends the program.
        if cls._made >= _OFTEN and not hasattr(sys, "last_type"):
            cls.__init__ = _constructor(cls)  # type: ignore[method-assign]  # that is the point
        values = {**cls._defaults, **values}
        if odd := values.keys() ^ cls._setters.keys():
            what = "has no" if odd & values.keys() else "is missing"
            raise TypeError(f"{cls.__name__} {what} {', '.join(sorted(odd))}")
        for field, put in cls._setters.items():
            put(self, values[field])
        self.check()

    def check(self) -> None:
        """Raise where the fields do not fit together; a record without rules accepts all."""

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        """The fields, in their order."""
        return tuple(cls._setters)

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, for sinks that forward."""
        return {field: getattr(self, field) for field in self._setters}

    def replace(self, **changes: Any) -> Self:
        """The same record with some fields changed."""
        return type(self)(**{**self.as_dict(), **changes})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} is frozen: use replace({name}=...)")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} is frozen")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.as_dict() == self.as_dict()

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, field) for field in self._setters)))

    def __repr__(self) -> str:
        fields = ", ".join(f"{field}={value!r}" for field, value in self.as_dict().items())
        return f"{type(self).__name__}({fields})"

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy guards a shared default and cannot be pickled as such.
        values = {
            field: dict(value) if isinstance(value, MappingProxyType) else value
            for field, value in self.as_dict().items()
        }
        return _restore, (type(self), values)


def _constructor(cls: type[Record]) -> Callable[..., None]:
    """A constructor with one keyword-only argument for each field."""
    arguments = [
        f"{field}=_defaults[{field!r}]" if field in cls._defaults else field
        for field in cls._setters
    ]
    lines = [f"def __init__(self{', *, ' if arguments else ''}{', '.join(arguments)}):"]
    lines += [f"    _set_{field}(self, {field})" for field in cls._setters]
    if cls.check is not Record.check:
        lines.append("    self.check()")
    space: dict[str, Any] = {f"_set_{field}": put for field, put in cls._setters.items()}
    space["_defaults"] = cls._defaults
    exec("\n".join([*lines, "    pass"]), space)  # noqa: S102  # only our own field names
    made: Callable[..., None] = space["__init__"]
    return made


def _restore(cls: type[Record], values: dict[str, Any]) -> Record:
    return cls(**values)


def plain(value: Any) -> Any:
    """The same as dicts, lists, text and numbers."""
    if isinstance(value, (tuple, list)):
        return [plain(one) for one in value]
    if isinstance(value, Record):
        value = value.as_dict()
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    return value


def record_from(cls: type[R], value: Any, where: str = "") -> R:
    """A record from its fields by name, as JSON has them; `where` is what it is called in an error.

    A ValueError where a field is of another kind, or missing without a default.
    """
    fields = _as(dict, value, where, "an object")
    readers = _readers.get(cls)
    if readers is None:
        readers = _readers[cls] = {
            name: _reader(kind, vars(sys.modules[one.__module__]))
            for one in reversed(cls.__mro__)
            for name, kind in getattr(one, "__annotations__", {}).items()
            if name in cls._setters
        }
    found = {}
    for name, read in readers.items():
        called = f"{where}.{name}" if where else name
        if name in fields:
            found[name] = read(fields[name], called)
        elif name not in cls._defaults:
            raise ValueError(f"{called} is missing")
    return cls(**found)


_readers: dict[type[Record], dict[str, _Reader]] = {}


def _reader(kind: str, space: Mapping[str, Any]) -> _Reader:
    """What reads a kind as an annotation has it, its names those of a module."""
    base, _, is_optional = kind.partition(" | ")
    if base == "Any":
        return lambda value, _where: value
    read = _simple(*_SIMPLE[base]) if base in _SIMPLE else _composed(base, space)
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
        each, due = [_reader(kind, space) for kind in kinds], f"a list of {len(kinds)}"

        def read(value: Any, where: str) -> Any:
            if len(_as(list, value, where, due)) != len(each):
                raise _wrong(value, where, due)
            return tuple([one(item, where) for one, item in zip(each, value, strict=True)])

        return read
    if name in ("dict", "Mapping"):
        one = _reader(kinds[1], space)
        return lambda value, where: {
            key: one(item, f"{where}[{key!r:.{_SHOWN}}]")
            for key, item in _as(dict, value, where, "an object").items()
        }
    kind = space[base]
    if issubclass(kind, Record):
        return lambda value, where: record_from(kind, value, where)

    def member(value: Any, where: str) -> Any:
        try:
            return kind(value)
        except ValueError:
            names = ", ".join(str(one.value) for one in kind)
            raise _wrong(value, where, f"one of {names}") from None

    return member


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


def _simple(test: Callable[[Any], bool], due: str) -> _Reader:
    def read(value: Any, where: str) -> Any:
        if not test(value):
            raise _wrong(value, where, due)
        return value

    return read


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _BEYOND


def _is_number(value: Any, most: float = _BEYOND) -> bool:
    # NaN is within no bounds.
    return (isinstance(value, float) and abs(value) < most) or _is_whole(value)


_SIMPLE: dict[str, tuple[Callable[[Any], bool], str]] = {
    "int": (_is_whole, "a whole number of less than 64 bits"),
    "Size": (lambda one: _is_whole(one) and one >= 0, "a whole number from 0 on, below 2^64,"),
    "float": (_is_number, "a number below 2^64"),
    "Amount": (lambda one: _is_number(one, float("inf")) and one >= 0, "a finite number from 0 on"),
    "bool": (lambda one: isinstance(one, bool), "true or false"),
    "str": (lambda one: isinstance(one, str), "text"),
}


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
