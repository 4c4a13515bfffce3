"""What a call is kept under: its arguments, in an order of their own.

One argument that is exactly a str or an int is its own key, anything else a tuple of all. Arguments
given by name stand where they would by position, so `f(1, 2)` and `f(1, b=2)` are one call; the
rest follow a mark, by name in alphabetical order. (After the idea of the standard library's
`functools._make_key`, which keeps the two apart.)
"""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from membudget.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from types import CodeType

    Parts = Callable[[tuple[Any, ...], dict[str, Any]], tuple[Any, ...]]
    KeyOf = Callable[[tuple[Any, ...], dict[str, Any]], Hashable]

FAST: Final = frozenset({int, str})
"""Types whose values are keys by themselves: they hash fast and equal no tuple."""


class _Mark:
    """What stands before arguments given by name; the same one after pickling, as on a disk."""

    __slots__ = ()

    def __reduce__(self) -> str:
        return "_NAMED"


_NAMED: Final = _Mark()

_GENERATOR, _COROUTINE, _OLD_COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x100, 0x200
"""Bits of `co_flags`, which `inspect` knows by name and 8 ms of importing."""

_OWN_NAMES = frozenset({"self", "cls", "mcs", "metacls"})


def code_of(function: Any) -> CodeType | None:
    """The code behind a function, a partial one, a method or an object that can be called."""
    for _ in range(10):
        if hasattr(function, "__code__"):
            code: CodeType = function.__code__
            return code
        inner = getattr(function, "func", None) or getattr(function, "__func__", None)
        if inner is None and not isinstance(function, type):
            inner = getattr(type(function), "__call__", None)  # noqa: B004  # the method itself
        function = inner
    return None


def is_coroutine_function(function: Any) -> bool:
    """Whether calling it gives something to await.

    Raises:
        ConfigError: It gives a generator, which could be used only once.
    """
    code = code_of(function)
    flags = 0 if code is None else code.co_flags
    if flags & (_COROUTINE | _OLD_COROUTINE):
        return True
    if flags & (_GENERATOR | _ASYNC_GENERATOR):
        kind = "a generator" if flags & _GENERATOR else "an async generator"
        raise ConfigError(
            f"{name_of(function)} is {kind} function: what it gives could be used only once, so "
            "cache a function that returns a list or a tuple of the items"
        )
    return False


def code_written(function: Any) -> CodeType | None:
    """The code of a function written in Python; None for anything else, a bound method too."""
    return function.__code__ if isinstance(function, FunctionType) else None


def has_self(function: Any) -> bool:
    """Whether its first parameter is called `self` or `cls`, as a method's is.

    Other decorators in between are looked through, where they say what they wrap.
    """
    while isinstance(function, FunctionType) and hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = code_written(function)
    return code is not None and code.co_argcount > 0 and code.co_varnames[0] in _OWN_NAMES


def name_of(function: Any) -> str:
    """Its module and qualified name."""
    while not hasattr(function, "__qualname__") and hasattr(function, "func"):
        function = function.func
    if not hasattr(function, "__qualname__"):
        function = type(function)
    return f"{function.__module__}.{function.__qualname__}"


def parts_by(function: Any) -> Parts:
    """A function that puts the arguments of a call into one tuple."""
    code = code_written(function)
    names: tuple[str, ...] = () if code is None else code.co_varnames[: code.co_argcount]
    only_by_position = 0 if code is None else code.co_posonlyargcount

    def parts(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        if not kwargs:
            return args
        by_name = kwargs.copy()
        if len(args) >= only_by_position:
            for name in names[len(args) :]:
                if name not in by_name:
                    break
                args = (*args, by_name.pop(name))
        return (*args, _NAMED, *sorted(by_name.items())) if by_name else args

    return parts


def typed(parts: Parts) -> Parts:
    """Parts with the type of each, so that 1 and 1.0 are two calls."""

    def typed_parts(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        key = parts(args, kwargs)
        named = key.index(_NAMED) + 1 if kwargs and _NAMED in key else len(key)
        return (*key, *map(type, key[:named]), *(type(value) for _, value in key[named:]))

    return typed_parts


def key_from(parts: Parts) -> KeyOf:
    """A function that makes the key of a call."""

    def key_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
        key = parts(args, kwargs)
        return key[0] if len(key) == 1 and type(key[0]) in FAST else key

    return key_of


def unhashable(
    error: TypeError, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], skipped: int = 0
) -> TypeError:
    """The error of a call that has no key, naming the argument; the same where that was not it."""
    code = code_written(function)
    names = () if code is None else code.co_varnames[: code.co_argcount]
    named = [(names[i] if i < len(names) else f"number {i + 1}", one) for i, one in enumerate(args)]
    for name, value in [*named[skipped:], *kwargs.items()]:
        try:
            hash(value)
        except TypeError:
            kind = type(value).__name__
            return TypeError(
                f"unhashable type: {kind!r}: argument {name} of {name_of(function)} cannot be part "
                f"of a key: pass something hashable, such as a tuple, or cache with key=..."
            )
    return error
