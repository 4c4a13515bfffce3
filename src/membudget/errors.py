"""Every exception that membudget raises on purpose, and what tells a name brought from elsewhere.

Each message gives the value, the rule it broke and the next thing to try, in one line.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from typing import Any, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])


class MembudgetError(Exception):
    """The base of all errors raised on purpose."""


class ConfigError(MembudgetError, ValueError):
    """A setting or an argument that cannot be used as given."""


class ProbeError(MembudgetError, OSError):
    """A figure that could not be read."""


class OverBudgetError(MembudgetError, MemoryError):
    """A request for memory that does not fit the budget; nothing was reserved."""


class LeaseError(MembudgetError, RuntimeError):
    """A reservation or a lease used after its end, or ended twice."""


class ControlError(MembudgetError, OSError):
    """A running process that could not be reached."""


class MissingExtraError(MembudgetError, ImportError):
    """A feature whose optional dependency is not installed."""


class MissingNameError(AttributeError):
    """An attribute that is not there; its words say what it is here, if people bring its name.

    They are found when it is shown: most of these are caught, as by `hasattr`.
    """

    def __init__(self, words: str, obj: object, name: str) -> None:
        super().__init__(words, name=name, obj=obj)

    def __str__(self) -> str:
        hint = _here(self.name or "", dir(type(self.obj)))
        return f"{self.args[0]}: {hint}" if hint else str(self.args[0])


def hinted(function: F) -> F:
    """The same function; where it is given an argument that it has not, the error says more."""
    from functools import wraps

    code: Any = function.__code__

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except TypeError as error:
            # Raised by the call itself, which has no frame, and not within the function.
            if error.__traceback__ is not None and error.__traceback__.tb_next is None:
                own = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
                hints = {word: _here(word, own) for word in named if word not in own}
                told = [f"{word}: {hint}" for word, hint in hints.items() if hint]
                error.args = ("; ".join([str(error), *told]),)
            raise

    return call  # type: ignore[return-value]  # as it is called


def missing(self: Any, name: str) -> Any:
    """As a `__getattr__`: raises the error of an attribute that is not there."""
    raise MissingNameError(f"{type(self).__name__!r} object has no attribute {name!r}", self, name)


def _here(word: str, known: Container[str]) -> str:
    from membudget.synonyms import here_it_is  # only an error needs it

    return here_it_is(word, known)
