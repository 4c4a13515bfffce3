"""Functions that a program gives us: seen at once whether they can ever be called as we call them.

By their code, since `inspect` takes 8 ms to import; what has none (a class, a builtin) may do.
"""

from __future__ import annotations

from types import FunctionType

from membudget.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VARIABLE, GENERATOR, COROUTINE, ASYNC_GENERATOR = 0x04 | 0x08, 0x20, 0x80 | 0x100, 0x200
"""Bits of `co_flags`, as in `inspect`; the first: any arguments."""

_MORE_BY_POSITION = 0x04
_METHODS = ("emit", "handle", "send", "notify", "put", "append")  # What an object may be called by.


def called(function: Any) -> tuple[Any, int]:
    """What runs in the end of a method, a partial, an object with `__call__`; None if unseen.

    And how many arguments it is given before those of the call; -1 where that is not seen.
    """
    given = 0
    for _ in range(10):
        if isinstance(function, FunctionType):
            return function, given
        inner = getattr(function, "__func__", None)
        if inner is not None:
            given += given >= 0 and hasattr(function, "__self__")
        elif hasattr(function, "__code__"):  # As Cython makes them.
            return function, -1
        elif not isinstance(function, type):
            inner = getattr(type(function), "__call__", None)  # noqa: B004  # the method itself
            given += given >= 0
            if not isinstance(inner, FunctionType) and hasattr(function, "func"):
                inner, given = function.func, -1  # A partial.
        function = inner
    return None, -1


def check_function(
    function: Any, what: str, arguments: tuple[str, ...] | None = None, *, may_await: bool = False
) -> None:
    """Raise a ConfigError for what cannot be called with so many arguments, or would never run.

    `arguments` names them; None leaves them open. `may_await` lets a coroutine function be.
    """
    advice = f"give a function of ({', '.join(arguments or ('...',))})"
    if not callable(function):
        is_single = arguments is not None and len(arguments) == 1
        methods = [one for one in _METHODS if callable(getattr(function, one, None))]
        such = f", such as its {methods[0]}" if is_single and methods else ""
        raise ConfigError(f"{what} {function!r:.80} cannot be called: {advice}{such}")
    inner, given = called(function)
    if inner is None:
        return
    code, shown = inner.__code__, f"{what} {getattr(inner, '__qualname__', inner)!s:.80}"
    lazy = GENERATOR | ASYNC_GENERATOR | (0 if may_await else COROUTINE)
    if code.co_flags & lazy:
        kind = "coroutine" if code.co_flags & COROUTINE else "generator"
        raise ConfigError(
            f"{shown} is a {kind} function, and a call alone runs nothing of it: {advice} that is "
            "a plain one"
        )
    if arguments is None or given < 0:
        return
    most, by_name = code.co_argcount - given, set(inner.__kwdefaults__ or ())
    least = most - len(inner.__defaults__ or ())
    needs = code.co_varnames[code.co_argcount :][: code.co_kwonlyargcount]
    count, takes_more = len(arguments), code.co_flags & _MORE_BY_POSITION
    if least > count or (most < count and not takes_more) or set(needs) - by_name:
        raise ConfigError(f"{shown} cannot be called with {count} by position: {advice}")
