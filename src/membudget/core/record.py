"""Frozen records: what the floors pass to each other.

The standard library's dataclasses cost 8 to 12 ms to import and about 1 ms for each class, named
tuples about 0.15 ms; a class made here costs about 0.02 ms. A process under a budget pays this at
every start, so the house has its own forty lines; type checkers see ordinary frozen dataclasses.
"""

from __future__ import annotations

import sys
from types import MappingProxyType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar, Self, dataclass_transform
else:

    def dataclass_transform(**_options: bool) -> Callable[[type], type]:
        """Only type checkers read it, and importing typing takes 3 ms."""
        return lambda made: made


_OFTEN = 20


@dataclass_transform(frozen_default=True, kw_only_default=True)
class _RecordType(type):
    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> _RecordType:
        own = [
            field
            for field, kind in namespace.get("__annotations__", {}).items()
            if not str(kind).startswith("ClassVar")
        ]
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
        defaults = cls._defaults
        for field, put in cls._setters.items():
            if field in values:
                put(self, values.pop(field))
            elif field in defaults:
                put(self, defaults[field])
            else:
                raise TypeError(f"{cls.__name__} is missing {field}")
        if values:
            raise TypeError(f"{cls.__name__} has no {', '.join(values)}")
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
