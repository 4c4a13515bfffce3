"""`cached`: a function that remembers what it gave, within a bound, once for all who ask.

What it gave may be kept for spread times, serve on while it is old, and be an exception.
"""

from __future__ import annotations

import time
from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Any, Final, NamedTuple, ParamSpec, TypeVar, overload
from weakref import ref

from membudget.cache.cache import Cache
from membudget.cache.loading import calls
from membudget.cache.loading.load import MISSING, Loading
from membudget.cache.loading.owners import MethodCache, Owners
from membudget.cache.table import LastFailure
from membudget.callables import check_function
from membudget.errors import ConfigError, hinted
from membudget.registry import REGISTRY
from membudget.units import as_seconds, found_name, parse_fraction

if TYPE_CHECKING:
    from abc import abstractmethod
    from collections.abc import Callable, Hashable
    from os import PathLike
    from typing import Concatenate, Generic, Protocol, Self

    from membudget.cache.loading.owners import KeyOf
    from membudget.cache.spilling.spill import Spill
    from membudget.core import Clock
    from membudget.registry import Registry
    from membudget.units import Duration

P = ParamSpec("P")
R = TypeVar("R")
RETRY_SHARE: Final = 0.1  # After a failed refresh, the next one waits for this share of `stale`.
_GOLDEN: Final = 0x9E3779B97F4A7C15  # 2**64 ÷ the golden ratio spreads hashes (Knuth, TAOCP 6.4).


class CacheInfo(NamedTuple):
    """A cached function's figures, in the order of the standard library's."""

    hits: int
    misses: int
    maxsize: int | None
    currsize: int


if TYPE_CHECKING:
    # What type checkers know of a cached function: its own signature, and what it can do besides.
    Q = ParamSpec("Q")
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

    class CachedFunction(Remembering, Generic[P, R_co]):  # In pyright a protocol would not bind.
        """A function under `cached`. As a method it binds to its object like any function."""

        @property
        @abstractmethod
        def __wrapped__(self) -> Callable[P, R_co]:
            """The function itself."""

        @abstractmethod
        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
            """What it gives, remembered or new."""

        @overload
        def __get__(self, instance: None, owner: type[O], /) -> CachedAttribute[O, P, R_co]: ...
        @overload
        def __get__(
            self: Callable[Concatenate[S, Q], R], instance: S, owner: type | None = None, /
        ) -> CachedFunction[Q, R]: ...
        @overload  # Of a class method.
        def __get__(  # type: ignore[misc]  # it is such a callable, though not each one
            self: Callable[Concatenate[type[S], Q], R], instance: S, owner: type | None = None, /
        ) -> CachedFunction[Q, R]: ...
        @overload
        def __get__(self, instance: object, owner: type | None = None, /) -> Self: ...
        def __get__(self, instance: Any, owner: Any = None, /) -> Any: ...

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


@overload
def cached(function: Callable[P, R], /) -> CachedFunction[P, R]: ...
@overload
def cached(
    *,
    max_bytes: int | str | None = None,
    max_entries: int | None = None,
    ttl: Duration | None = None,
    jitter: float | str = 0.0,
    stale: Duration | None = None,
    key: Callable[..., Hashable] | None = None,
    typed: bool = False,
    keep_errors: Duration | None = None,
    name: str | None = None,
    policy: str | None = None,
    spill: Spill | str | PathLike[str] | None = None,
    registry: Registry | None = None,
    clock: Clock | None = None,
    replace: bool = False,
) -> Callable[[Callable[P, R]], CachedFunction[P, R]]: ...
@hinted
def cached(
    function: Callable[..., Any] | None = None,
    /,
    *,
    max_bytes: int | str | None = None,
    max_entries: int | None = None,
    ttl: Duration | None = None,
    jitter: float | str = 0.0,
    stale: Duration | None = None,
    key: Callable[..., Hashable] | None = None,
    typed: bool = False,
    keep_errors: Duration | None = None,
    name: str | None = None,
    policy: str | None = None,
    spill: Spill | str | PathLike[str] | None = None,
    registry: Registry | None = None,
    clock: Clock | None = None,
    replace: bool = False,
) -> Any:
    """Let a function remember what it gave; for functions, methods and coroutine functions.

    Of all who ask at once for what is not there, one runs the function and the others wait for its
    value or its exception; a function that asks for its own key in the middle runs again. The
    function has no lock held. As a method (its first parameter called `self` or `cls`) it counts
    by object: objects that are equal but not the same share nothing, and none is kept alive.

    The decorated function has `cache` (the `Cache`), `cache_info()`, `cache_clear()`,
    `cache_parameters()` and `__wrapped__`.

    Args:
        function: The function, where the decorator stands without arguments.
        max_bytes: The bound in bytes, or text such as "20MiB".
        max_entries: The bound in entries. With neither, it lives under the running budget, and on
            1000 entries while there is none.
        ttl: Seconds, or text such as "5m", that a value lasts.
        jitter: A share of `ttl` (0.1, or "10%") by which values end earlier, each key by its own
            part of it, so that what came together does not go together.
        stale: Seconds or text that the old value serves on after `ttl`: the first caller
            to find it fetches the new one, a coroutine function in a task of its own, and all
            others get the old one. A refresh that fails leaves it there, and a running budget
            tells `Failed`.
        key: Called with the arguments, gives what stands for them.
        typed: Whether 1 and 1.0 are two calls.
        keep_errors: Seconds or text that an exception is kept and raised anew; None keeps none.
        name: What it is called in reports; None is its module and qualified name.
        policy: What goes first, as for `Cache`; None is that class's own.
        spill: A folder, or a `Spill`, for what is evicted, as for `Cache`: copies come back. Not
            for methods without `key`, nor with `stale` or `keep_errors`.
        registry: Where it registers; None is the process's own.
        clock: Where time comes from; None is the monotonic clock.
        replace: Whether it takes the place of an earlier one of its name, as for `Cache`.

    Raises:
        ConfigError: An argument that cannot be used as given; a generator function; a classmethod
            or staticmethod, which belongs above this decorator.
        MissingExtraError: `spill` without diskcache.
    """
    lifetime = Lifetime(ttl, jitter, stale, keep_errors)
    bounds: dict[str, Any] = {"max_bytes": max_bytes, "max_entries": max_entries}
    if policy is not None:
        bounds["policy"] = policy
    if spill is not None:
        bounds["spill"] = spill
    make = partial(
        _decorated,
        lifetime=lifetime,
        bounds=bounds,
        key=key,
        is_typed=typed,
        name=name,
        registry=REGISTRY if registry is None else registry,
        clock=clock,
        replace=replace,
    )
    return make if function is None else make(function)


def _decorated(
    function: Any,
    *,
    lifetime: Lifetime,
    bounds: dict[str, Any],
    key: Callable[..., Hashable] | None,
    is_typed: bool,
    name: str | None,
    registry: Registry,
    clock: Clock | None,
    replace: bool,
) -> Any:
    _check(function)
    if key is not None:
        check_function(key, "key")
    is_coroutine = calls.is_coroutine_function(function)
    name = found_name(calls.name_of(function)) if name is None else name
    owners = Owners(name, clock) if key is None and calls.has_self(function) else None
    is_plain = lifetime.is_plain
    if "spill" in bounds and (owners is not None or not is_plain):
        raise ConfigError(
            f"{name} cannot spill: its entries are bound to this process, as those of a method's "
            "objects, or of stale or keep_errors, are; give key=, or leave these out"
        )
    kind: type[Cache[Any, Any]] = Cache if owners is None else MethodCache
    cache = kind(
        name,
        ttl=lifetime.ttl if is_plain else None,
        on_evict=None if owners is None else owners.forget,
        registry=registry,
        clock=clock,
        replace=replace,
        **bounds,
    )
    shelf = None if is_plain else Shelf(name, cache, lifetime, clock)
    if shelf is not None:
        registry.add(shelf)
    if isinstance(cache, MethodCache) and owners is not None:
        owners.cache, cache.owners = cache, ref(owners)
        owners.name = f"cached {cache.name}"
        registry.add(owners)
    loading = _loading(function, cache, lifetime, shelf, owners)
    parts = calls.parts_by(function, is_typed=is_typed)
    if key is not None:
        key_of = _calling(key)
    else:
        key_of = calls.key_from(parts) if owners is None else owners.key_from(parts)
    now, wrapper = None if shelf is None else shelf.now, None
    if is_coroutine:
        wrapper = calls.of_coroutine(loading, key_of, now)
    elif now is not None or key is not None or is_typed:
        wrapper = calls.of_calls(loading, key_of, now)
    elif owners is not None:
        wrapper = calls.of_method(loading, parts, owners)
    else:
        wrapper = calls.of_one_argument(loading) or calls.of_arguments(loading, key_of)
    update_wrapper(wrapper, function)
    given = {name: getattr(lifetime, name) for name in ("ttl", "jitter", "stale", "keep_errors")}
    _add_functions(wrapper, cache, {**bounds, **given, "typed": is_typed})
    return wrapper


def _calling(key: Callable[..., Hashable]) -> KeyOf:
    return lambda args, kwargs: key(*args, **kwargs)


def _loading(
    function: Any,
    cache: Cache[Any, Any],
    lifetime: Lifetime,
    shelf: Shelf | None,
    owners: Owners | None,
) -> Loading:
    loading = Loading(function, cache)
    loading.advice = "give @cached a key=, a function of the arguments: what tells calls apart"
    loading.is_by_object = owners is not None
    if shelf is not None:
        loading.look, loading.keep, loading.forgive = shelf.look, shelf.keep, shelf.forgive
        loading.keep_error = shelf.keep_error if owners is None else owners.noting(shelf.keep_error)
    elif lifetime.jitter:
        loading.keep = lambda key, value: cache.set(key, value, ttl=lifetime.of(key))
    if owners is not None:
        loading.keep = owners.noting(loading.keep)
    return loading


def _add_functions(wrapper: Any, cache: Cache[Any, Any], parameters: dict[str, Any]) -> None:
    before = [0, 0]

    def cache_info() -> CacheInfo:
        """Hits, misses, the bound in entries, and entries; since the last `cache_clear`."""
        now = cache.stats()
        return CacheInfo(now.hits - before[0], now.misses - before[1], now.max_entries, now.entries)

    def cache_clear() -> None:
        """Forget all; a load under way reaches those who wait for it, but is not kept."""
        cache.clear()
        now = cache.stats()
        before[:] = now.hits, now.misses

    def cache_parameters() -> dict[str, Any]:
        """What the decorator was given, and `maxsize` as the standard library calls it."""
        return {"maxsize": parameters["max_entries"], **parameters}

    wrapper.cache = cache
    wrapper.cache_info = cache_info
    wrapper.cache_clear = cache_clear
    wrapper.cache_parameters = cache_parameters


def _check(function: Any) -> None:
    if isinstance(function, (classmethod, staticmethod)):
        kind = type(function).__name__
        raise ConfigError(
            f"cached was given a {kind}: put @{kind} above @cached, so that it wraps the rest"
        )
    if not callable(function):
        raise ConfigError(
            f"cached was given {function!r}, which is no function: write @cached, or settings by "
            'name, as in @cached(max_bytes="20MiB")'
        )
    if isinstance(function, type):
        raise ConfigError(
            f"cached was given the class {function.__qualname__}: cache a function that makes its "
            "objects, so that the class stays one"
        )


class Lifetime:
    """How long a value lasts (seconds), from what the decorator was given; else a ConfigError."""

    ttl: float | None
    stale: float | None
    keep_errors: float | None

    def __init__(
        self,
        ttl: Duration | None,
        jitter: float | str,
        stale: Duration | None,
        keep_errors: Duration | None,
    ) -> None:
        given = {"ttl": ttl, "stale": stale, "keep_errors": keep_errors}
        self.ttl, self.stale, self.keep_errors = (
            None if one is None else as_seconds(one, name=name) for name, one in given.items()
        )
        share: object = parse_fraction(jitter, name="jitter") if isinstance(jitter, str) else jitter
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share < 1:
            raise ConfigError(f'jitter {jitter!r} is not a share below 1: write 0.1 or "10%"')
        self.jitter: float = float(share)
        if ttl is None and (self.jitter or stale is not None):
            what = f"stale={stale!r}" if stale is not None else f"jitter={jitter!r}"
            raise ConfigError(f'{what} needs a ttl to count from: give one too, such as ttl="5m"')
        self.is_plain: bool = stale is None and keep_errors is None  # Values are kept as they are.

    def of(self, key: Any) -> float | None:
        """How long a key's value is fresh: the same for a key each time, unlike its neighbours'."""
        if self.ttl is None or not self.jitter:
            return self.ttl
        # A text's hash is another in each process, so workers do not expire together.
        spread = hash(("membudget", key)) * _GOLDEN & (1 << 64) - 1
        return self.ttl * (1 - self.jitter * (spread / (1 << 64)))


class Kept:
    """A value or an exception as it is kept, and until when it is fresh."""

    __slots__ = ("error", "fresh_until", "value")

    def __init__(self, value: Any, error: Exception | None, fresh_until: float) -> None:
        self.value: Any = value
        self.error: Exception | None = error
        self.fresh_until: float = fresh_until

    def give(self) -> Any:
        """The value; else raise a copy of the exception: what is raised grows by its traceback."""
        if self.error is not None:
            raise _bare(self.error)
        return self.value


class Shelf(LastFailure):
    """A cache of values that may be old, and of exceptions; a chore, whose failures are told."""

    def __init__(
        self, name: str, cache: Cache[Any, Any], lifetime: Lifetime, clock: Clock | None
    ) -> None:
        self.name: str = f"cached {name}"
        self._cache, self._lifetime = cache, lifetime
        self.now: Callable[[], float] = time.monotonic if clock is None else clock.now

    def look(self, key: Any, default: Any) -> Any:
        """The fresh value under a key, else the default; raises the exception kept there."""
        kept = self._cache.peek(key)
        return kept.give() if kept is not None and self.now() < kept.fresh_until else default

    def keep(self, key: Any, value: Any) -> bool:
        """Keep a value; returns whether the cache took it."""
        fresh = self._lifetime.of(key)
        until = float("inf") if fresh is None else self.now() + fresh
        lasts = None if fresh is None else fresh + (self._lifetime.stale or 0.0)
        return self._cache.set(key, Kept(value, None, until), ttl=lasts)

    def keep_error(self, key: Any, error: Exception) -> bool:
        """Keep an exception, if so asked and if it is not one that was kept already."""
        if self._lifetime.keep_errors is None or self._cache.peek(key, MISSING) is not MISSING:
            return True
        kept = Kept(None, _bare(error), float("inf"))
        return self._cache.set(key, kept, ttl=self._lifetime.keep_errors)

    def forgive(self, key: Any, error: Exception) -> None:
        """Let the old value serve on for a while, and have the failure told."""
        kept = self._cache.peek(key)
        if kept is not None:
            kept.fresh_until = self.now() + RETRY_SHARE * (self._lifetime.stale or 0.0)
        self._failure = _bare(error)


def _bare(error: Exception) -> Exception:
    """A copy of an exception that refers to no frames: what is raised again grows by some."""
    from copy import copy  # takes 1 ms

    kind = type(error)
    try:
        twin = copy(error)
    except Exception:  # noqa: BLE001  # a constructor of the program's own
        twin = error
    if twin is not error and type(twin) is kind:
        return twin
    try:
        twin = kind.__new__(kind, *error.args)
        twin.__dict__.update(error.__dict__)
    except Exception:  # noqa: BLE001  # the same
        return error.with_traceback(None)
    return twin
