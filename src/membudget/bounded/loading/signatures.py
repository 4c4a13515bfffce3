"""What type checkers know of a cached function: its own signature, and what it can do besides.

Known limit: a static method called through an object, `Client().double(1)`, is taken for a method
by mypy; called through its class it is right.
"""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    overload,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.bounded.cache import Cache
    from membudget.bounded.loading.cached import CacheInfo

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")
O_co = TypeVar("O_co", covariant=True)
O = TypeVar("O")  # noqa: E741  # the owner, a class


class Remembering(Protocol):
    """What every cached function can do."""

    cache: Cache[Any, Any]
    __name__: str
    __qualname__: str

    def cache_info(self) -> CacheInfo:
        """Hits, misses, the bound in entries, and entries; since the last `cache_clear`."""

    def cache_clear(self) -> None:
        """Forget all."""

    def cache_parameters(self) -> dict[str, Any]:
        """What the decorator was given."""


class CachedFunction(Remembering, Protocol[P, R_co]):
    """A function under `cached`. As a method it binds to its object like any function."""

    @property
    def __wrapped__(self) -> Callable[P, R_co]:
        """The function itself."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """What it gives, remembered or new."""

    @overload
    def __get__(self, instance: None, owner: type[O], /) -> CachedAttribute[O, P, R_co]: ...
    @overload
    def __get__(
        self: CachedFunction[Concatenate[S, Q], R], instance: S, owner: type | None = None, /
    ) -> CachedFunction[Q, R]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> Self: ...


class CachedAttribute(Remembering, Protocol[O_co, P, R_co]):
    """A cached function as an attribute of its class: a class method, or anything else."""

    @overload
    def __call__(
        self: CachedAttribute[O, Concatenate[type[O], Q], R], *args: Q.args, **kwargs: Q.kwargs
    ) -> R: ...
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    @property
    def __wrapped__(self) -> Callable[P, R_co]:
        """The function itself."""
