"""Loading what a cache does not hold, once for all who ask at the same time.

Callers of the same key wait for one load and get its very value, whether or not the cache kept it;
or its very exception, which is kept nowhere: the next call tries again. A leader that was cancelled
or interrupted gives nothing to its followers: one of them leads next. A load that asks for its own
key runs the loader again, as a plain function would call itself; each level costs two frames more
here: of the usual 1000 it goes 330 levels deep, with the standard library's, in C, 500.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from membudget.cache.loading.flights import (
    LEADING,
    OWN,
    Flight,
    follow,
    follow_async,
    running_loop,
)
from membudget.core import Record
from membudget.errors import ConfigError
from membudget.units import as_seconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from membudget.cache.cache import Cache
    from membudget.cache.loading.flights import Flights

K = TypeVar("K")
V = TypeVar("V")

MISSING: Final[Any] = object()

_USED_UP_ONCE = frozenset({AsyncGeneratorType, CoroutineType, GeneratorType})


class Loading(Record):
    """How values come into a cache: what gives them, where it is looked, and what is kept.

    Attributes:
        function: Called, or awaited, for a value.
        flights: The cache's table of loads under way.
        look: Given a key and a default; the value to use, without counting the lookup.
        keep: Given a key and a value to keep.
        drop: Given a key to forget.
        keep_error: Given a key and an exception to keep; None keeps none.
        forgive: Given the exception of a refresh while the old value still serves.
    """

    function: Callable[..., Any]
    flights: Flights
    look: Callable[[Any, Any], Any]
    keep: Callable[[Any, Any], object]
    drop: Callable[[Any], object]
    keep_error: Callable[[Any, Exception], object] | None = None
    forgive: Callable[[Any, Exception], object] | None = None


def load(
    cache: Cache[K, V], key: K, loader: Callable[[K], V], *, ttl: float | str | None = None
) -> V:
    """The value under a key; where there is none, what the loader gives for it.

    Any thread may call it. Of all who miss a key, tasks of `load_async` included, one runs the
    loader; the others wait. A loader waits for ever that waits for a thread asking for its key.

    Args:
        cache: Where it is kept.
        key: Any hashable object.
        loader: Called with the key, without a lock held.
        ttl: Seconds, or text such as "5m", that it lasts; None is the cache's own time.

    Raises:
        ConfigError: A `ttl` that is none, or a loader that gave a coroutine or a generator.
        Exception: What the loader raised, for all who waited for it.
    """
    value: V = cache.get(key, MISSING)
    if value is not MISSING:
        return value
    loaded: V = fly(_loading(cache, loader, ttl), key, (key,), {})
    return loaded


async def load_async(
    cache: Cache[K, V],
    key: K,
    loader: Callable[[K], Awaitable[V]],
    *,
    ttl: float | str | None = None,
) -> V:
    """The value under a key; where there is none, what awaiting the loader gives for it.

    As `load`, for tasks: they wait by futures of their own loop, and a load may be led from another
    loop or thread. Cancelling a leader hands the load to a follower; cancelling a follower
    disturbs nobody. Outside asyncio (trio) each task loads for itself.
    """
    value: V = cache.get(key, MISSING)
    if value is not MISSING:
        return value
    loaded: V = await fly_async(_loading(cache, loader, ttl), key, (key,), {})
    return loaded


def fly(
    loading: Loading,
    key: Hashable,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    old: Any = MISSING,
) -> Any:
    """The value of a function for a key: by leading a flight, or by following one.

    Args:
        loading: Where to look and keep.
        key: What to keep it under.
        args: The function's arguments.
        kwargs: Its arguments by name.
        old: A value that still serves where another refreshes it already, or where that fails.
    """
    function, flights = loading.function, loading.flights
    while True:
        mine, flight = Flight(), None
        try:
            # An interrupt may come after any call: the end of this block lands what was begun.
            flight = flights.setdefault(key, mine)
            if flight is mine:
                value = loading.look(key, MISSING)
                if value is MISSING:
                    leading = LEADING.set(mine)
                    try:
                        value = function(*args, **kwargs)
                    finally:
                        LEADING.reset(leading)
                    checked_result(function, value)
                    _keep(loading, key, mine, value)
                return value
        except Exception as error:
            if flight is mine and _serves_old(loading, key, mine, error, old):
                return old
            raise
        finally:
            if mine.followers or not mine.is_over:
                mine.land(flights, key, None)
        if old is not MISSING:
            return old
        value = _followed(flights, key, flight, partial(function, *args, **kwargs))
        if value is not MISSING:
            return value


async def fly_async(
    loading: Loading,
    key: Hashable,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    old: Any = MISSING,
) -> Any:
    """As `fly`, for a coroutine function."""
    function, flights = loading.function, loading.flights
    while True:
        mine, flight = Flight(running_loop()), None
        try:
            flight = flights.setdefault(key, mine)
            if flight is mine:
                value = loading.look(key, MISSING)
                if value is MISSING:
                    leading = LEADING.set(mine)
                    try:
                        value = await function(*args, **kwargs)
                    finally:
                        # A coroutine that was never finished is closed anywhere.
                        with suppress(ValueError):
                            LEADING.reset(leading)
                    checked_result(function, value)
                    _keep(loading, key, mine, value)
                return value
        except Exception as error:
            if flight is mine and _serves_old(loading, key, mine, error, old):
                return old
            raise
        finally:
            if mine.followers or not mine.is_over:
                mine.land(flights, key, None)
        if old is not MISSING:
            return old
        value = await _followed_async(flights, key, flight, partial(function, *args, **kwargs))
        if value is not MISSING:
            return value


def checked_result(function: Callable[..., Any], value: Any) -> Any:
    """A loaded value.

    Raises:
        ConfigError: It can be used only once.
    """
    if type(value) in _USED_UP_ONCE:
        kind = type(value).__name__
        if kind != "async_generator":
            value.close()
        name = getattr(function, "__qualname__", None) or repr(getattr(function, "func", function))
        raise ConfigError(
            f"{name} gave a {kind}, which only its first user could use: cache a function that "
            "gives the values themselves, or the coroutine function itself"
        )
    return value


def _followed(flights: Flights, key: Hashable, flight: Flight, call: Callable[[], Any]) -> Any:
    """What another's flight gave, or an own call; MISSING where its leader gave up."""
    outcome = follow(flights, key, flight)
    if outcome is OWN:
        return checked_result(call, call())
    if outcome is None:
        return MISSING
    value, raised, trace = outcome
    del outcome  # What is raised refers to this frame, which must not refer back.
    if raised is None:
        return value
    try:
        raise raised.with_traceback(trace)
    finally:
        del raised, trace


async def _followed_async(
    flights: Flights, key: Hashable, flight: Flight, call: Callable[[], Awaitable[Any]]
) -> Any:
    outcome = await follow_async(flights, key, flight)
    if outcome is OWN:
        return checked_result(call, await call())
    if outcome is None:
        return MISSING
    value, raised, trace = outcome
    del outcome
    if raised is None:
        return value
    try:
        raise raised.with_traceback(trace)
    finally:
        del raised, trace


def _keep(loading: Loading, key: Hashable, flight: Flight, value: Any) -> None:
    """Keep a value and land; also where keeping failed, those who wait get it."""
    try:
        if not flight.is_void and not _is_set(loading, key):
            loading.keep(key, value)
            _drop_if_void(loading, key, flight)
    finally:
        flight.land(loading.flights, key, (value, None, None))


def _is_set(loading: Loading, key: Hashable) -> bool:
    """Whether the key was set while it was loaded: what was loaded may be older."""
    try:
        return loading.look(key, MISSING) is not MISSING
    except Exception:  # noqa: BLE001  # an exception is kept there: a value is worth more
        return False


def _drop_if_void(loading: Loading, key: Hashable, flight: Flight) -> None:
    """Forget what was kept where the key was forgotten between the look and the keeping."""
    if flight.is_void:
        loading.drop(key)


def _serves_old(
    loading: Loading, key: Hashable, flight: Flight, error: Exception, old: Any
) -> bool:
    """Land with an exception; returns whether an old value makes good for it."""
    if flight.is_over:  # The value was there, and keeping it failed.
        return False
    try:
        if old is not MISSING and loading.forgive is not None:
            loading.forgive(key, error)
            return True
        if loading.keep_error is not None and not flight.is_void:
            loading.keep_error(key, error)
            _drop_if_void(loading, key, flight)
        return False
    finally:
        flight.land(loading.flights, key, (None, error, error.__traceback__))


def _loading(cache: Cache[K, V], loader: Callable[[K], Any], ttl: float | str | None) -> Loading:
    keep = cache.set if ttl is None else partial(cache.set, ttl=as_seconds(ttl, name="ttl"))
    return Loading(
        function=loader,
        flights=cache._flights,  # noqa: SLF001  # kept there for this room
        look=cache.peek,
        keep=keep,
        drop=cache.delete,
    )
