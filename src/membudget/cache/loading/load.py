"""Loading what a cache does not hold, once for all who ask at the same time.

A flight is one load of one key. Whoever puts its flight into the cache's table leads: it runs the
loader and lands with what came of it. Whoever finds another's follows: it waits, and gets the same
value or exception (the idea of Go's `singleflight`). Where a leader was cancelled, or is lost with
its process or loop, the next one leads. No lock is taken: each step is one operation of a dict,
which is atomic, and of steps that could miss each other each says so first, then looks.

Where waiting would never end the caller runs the loader itself: where the leader is the caller,
further up its stack (or what the leader started, as the context variable tells); where it runs on
the caller's thread, which would stand still; and where it waits, perhaps over others, for a flight
of the caller. For that each notes first what it waits for, at every flight that waits for it in
turn and at its thread if that stands still, then walks along such notes: of waits that would form a
ring, the last one noted sees the whole ring. These are the wait-for graphs of databases.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from membudget.errors import ConfigError
from membudget.units import as_seconds, one_line

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Hashable, Iterator
    from types import TracebackType

    from membudget.cache.cache import Cache
    from membudget.units import Duration

Outcome: TypeAlias = "tuple[Any, Exception | None, TracebackType | None] | None"
"""A value, or an exception with its leader's traceback; None where the leader gave up."""

MISSING: Final[Any] = object()
UNUSED = 256  # Misses without a hit, this many and each time twice as many, that are looked into.
PATIENCE = 1.0  # Seconds between two looks at whether a leader in another thread's loop is there.

LEADING: ContextVar[Flight | None] = ContextVar("membudget_leading", default=None)
"""The innermost flight that runs what runs here."""

_BY_IDENTITY: Any = object.__hash__
_OWN: Outcome = (None, None, None)  # Instead of an outcome: do not wait, run the loader yourself.
_USED_UP_ONCE = frozenset({AsyncGeneratorType, CoroutineType, GeneratorType})
_held_up: dict[int | None, Flight] = {}  # By thread, the flight that it stands still for.


class Loading:
    """How values come into a cache: where they are looked up, what gives them, what is kept."""

    advice = "ask with a key that is equal where the value is, such as an id"
    is_by_object = False  # Whether a key begins with a number for the first argument, an object.
    keep_error: Callable[[Any, Exception], object] | None = None
    forgive: Callable[[Any, Exception], object] | None = None  # While the old value still serves.

    def __init__(
        self, function: Callable[..., Any], cache: Cache[Any, Any], ttl: Duration | None = None
    ) -> None:
        self.function: Callable[..., Any] = function
        self.get: Callable[..., Any] = cache.get
        self.drop: Callable[..., Any] = cache.delete
        self.cache: Cache[Any, Any] = cache
        self.look: Callable[[Any, Any], Any] = cache.peek  # Does not count the lookup.
        self.keep: Callable[[Any, Any], object] = cache.set  # Given a key and a value to keep.
        if ttl is not None:
            self.keep = partial(cache.set, ttl=as_seconds(ttl, name="ttl"))
        self.flights: dict[Hashable, Flight] = cache._flights  # noqa: SLF001  # kept there for this room


class Flight:
    """One load of one key, led by the caller that made this; in an event loop, or by a thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.process: int = os.getpid()
        self.thread: int = threading.get_ident()
        self.loop = loop
        self.is_over: bool = False  # Whether it has landed.
        self.is_void = False  # Whether the key was forgotten meanwhile: the value is not kept.
        self.followers: dict[ThreadFollower | TaskFollower, None] = {}
        self.waits: dict[object, Flight] = {}
        under: Flight | None = LEADING.get()
        while under is not None and under.is_over:  # A task may outlive the load that began it.
            under = under.under
        self.under: Flight | None = under

    def is_lost(self) -> bool:
        """Whether its leader cannot go on with it."""
        if self.process != os.getpid():
            return True
        return self.loop is not None and not self.loop.is_running()

    def leave(self, flights: dict[Hashable, Flight], key: Hashable) -> None:
        """Go out of the table, unless another stands there by now."""
        if flights.get(key) is self:
            flights.pop(key, None)

    def land(self, flights: dict[Hashable, Flight], key: Hashable, outcome: Outcome) -> None:
        """End, first for those to come and then for those who wait."""
        try:
            self.leave(flights, key)
        finally:
            self.is_over = True
            for follower in list(self.followers):
                if self.take_out(follower):
                    follower.tell(outcome)

    def is_joined(self, follower: ThreadFollower | TaskFollower) -> bool:
        """Have a follower be told of the landing; False where that was before."""
        self.followers[follower] = None
        return not (self.is_over and self.take_out(follower))

    def take_out(self, follower: ThreadFollower | TaskFollower) -> bool:
        """Whether the follower still waited: of its leader and itself only one takes it out."""
        return self.followers.pop(follower, self) is None


class ThreadFollower:
    """A thread that waits for a landing."""

    def __init__(self) -> None:
        # The program's kind of lock: greenlets wait for one another without stopping their thread.
        self._landed = threading.Lock()
        self._landed.acquire()
        self._outcome: Outcome = None

    def tell(self, outcome: Outcome) -> None:
        """Let it go on."""
        self._outcome = outcome
        self._landed.release()

    def wait(self, flight: Flight) -> Outcome:
        """The outcome, once the flight has landed; None where it had, or its leader is lost."""
        if not flight.is_joined(self):
            return None
        while not self._landed.acquire(timeout=PATIENCE):
            if flight.is_lost() and flight.take_out(self):
                return None
        return self._outcome


class TaskFollower:
    """A task that waits for a landing, by a future of its own loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = threading.get_ident()
        self.future: asyncio.Future[Outcome] = loop.create_future()

    def tell(self, outcome: Outcome) -> None:
        """Let it go on; nothing happens where its loop was closed meanwhile."""
        with suppress(RuntimeError):
            if self._thread == threading.get_ident():
                self._end(outcome)
            else:
                self._loop.call_soon_threadsafe(self._end, outcome)

    async def wait(self, flight: Flight) -> Outcome:
        """The outcome, once the flight has landed; None where it had, or its leader is lost."""
        if not flight.is_joined(self):
            return None
        if flight.loop is self._loop:
            return await self.future
        import asyncio  # a loop runs, so it is there

        while not (await asyncio.wait((self.future,), timeout=PATIENCE))[0]:
            if flight.is_lost() and flight.take_out(self):
                return None
        return self.future.result()

    def _end(self, outcome: Outcome) -> None:
        if not self.future.done():
            self.future.set_result(outcome)


def fly(
    loading: Loading,
    key: Hashable,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    old: Any = MISSING,
) -> Any:
    """The value of a function for a key; an `old` one serves while that is loaded, or fails."""
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
                    _keep(loading, key, mine, args, checked_result(function, value))
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
        outcome = _followed(flights, key, flight)
        if outcome is _OWN:
            return checked_result(function, function(*args, **kwargs))
        try:
            value = _given(outcome)
        finally:
            del outcome  # What is raised refers to this frame, which must not refer back.
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
                    _keep(loading, key, mine, args, checked_result(function, value))
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
        outcome = await _followed_async(flights, key, flight)
        if outcome is _OWN:
            return checked_result(function, await function(*args, **kwargs))
        try:
            value = _given(outcome)
        finally:
            del outcome
        if value is not MISSING:
            return value


def checked_result(function: Callable[..., Any], value: Any) -> Any:
    """A loaded value; raises ConfigError for what can be used only once."""
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


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs in this thread; asyncio is not imported for that."""
    running: Any = sys.modules.get("asyncio")
    try:
        return None if running is None else running.get_running_loop()
    except RuntimeError:
        return None


def _keep(
    loading: Loading, key: Hashable, flight: Flight, args: tuple[Any, ...], value: Any
) -> None:
    """Keep a value, unless the key was set or forgotten meanwhile, and land with it in any case."""
    try:
        try:
            is_kept = not flight.is_void and loading.look(key, MISSING) is MISSING
        except Exception:  # noqa: BLE001  # an exception is kept there: a value is worth more
            is_kept = True
        if is_kept:
            loading.keep(key, value)
            if flight.is_void:  # Forgotten between the look and the keeping.
                loading.drop(key)
        misses = loading.cache.misses
        if misses >= UNUSED and not loading.cache.hits and not misses & (misses - 1):
            _note_unused(loading, key, args)
    finally:
        flight.land(loading.flights, key, (value, None, None))


def _parts(key: Any) -> tuple[Any, ...]:
    """What a key is made of; arguments by name stand in pairs."""
    if type(key) is not tuple:
        return (key,)
    return tuple(part for one in key for part in (one if type(one) is tuple else (one,)))


def _note_unused(loading: Loading, key: Hashable, args: tuple[Any, ...]) -> None:
    """Have told once that no value was ever used, where keys are of objects that never repeat."""
    cache = loading.cache
    if cache.stats().hits:  # On a disk.
        return
    parts, others = (
        _parts(one) for one in (key, next((one for one in cache if one is not key), ()))
    )
    objects = (args[0], *parts[1:]) if loading.is_by_object else parts
    for part, other, one in zip(parts, others, objects, strict=False):
        kind = type(one)
        is_identity = kind.__hash__ is _BY_IDENTITY and type(other) is type(part)
        named = one_line(f"{kind.__module__}.{kind.__qualname__}", 200)
        if is_identity and part is not other and (one is part or part != other):
            cache._register.note(  # noqa: SLF001  # kept there for this room
                f"unused {cache.name}",
                f"{cache.name} has given none of {cache.misses:,} values twice: a {named} "
                f"is equal only to itself, and each call brings another; {loading.advice}",
            )
            return


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
        keep_error = None if flight.is_void else loading.keep_error
        if keep_error is not None:
            keep_error(key, error)
            if flight.is_void:
                loading.drop(key)
        return False
    finally:
        flight.land(loading.flights, key, (None, error, error.__traceback__))


def _given(outcome: Outcome) -> Any:
    """The value that another's flight gave, or its exception raised; MISSING where it gave up."""
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


def _followed(flights: dict[Hashable, Flight], key: Hashable, flight: Flight) -> Outcome:
    """Another's outcome, waited for in this thread; None: try anew; `_OWN`: it must not wait."""
    if flight.is_lost():
        flight.leave(flights, key)
        return None
    thread, leading = threading.get_ident(), _leading()
    if flight.thread == thread or flight in leading:
        return _OWN
    follower = ThreadFollower()
    with _noted(flight, follower, leading, thread) as is_ring:
        return _OWN if is_ring else follower.wait(flight)


async def _followed_async(
    flights: dict[Hashable, Flight], key: Hashable, flight: Flight
) -> Outcome:
    """As `_followed`, in this task."""
    if flight.is_lost():
        flight.leave(flights, key)
        return None
    loop, leading = running_loop(), _leading()
    is_here = flight.thread == threading.get_ident() and flight.loop is not loop
    if loop is None or is_here or flight in leading:
        return _OWN
    follower = TaskFollower(loop)
    with _noted(flight, follower, leading, None) as is_ring:
        return _OWN if is_ring else await follower.wait(flight)


def _leading() -> list[Flight]:
    """The flights whose loaders wait for what runs here, the innermost first."""
    found, flight = [], LEADING.get()
    while flight is not None:
        if not flight.is_over:
            found.append(flight)
        flight = flight.under
    return found


@contextmanager
def _noted(
    flight: Flight,
    follower: ThreadFollower | TaskFollower,
    leading: list[Flight],
    thread: int | None,
) -> Iterator[bool]:
    """Note what is waited for while it is; gives whether that would come back to the caller."""
    before = _held_up.get(thread)
    try:
        if thread is not None:
            _held_up[thread] = flight
        for one in leading:
            one.waits[follower] = flight
        yield _comes_back(flight, leading, thread)
    finally:
        flight.take_out(follower)
        for one in leading:
            one.waits.pop(follower, None)
        if before is not None:  # A signal's handler waits in the middle of another wait.
            _held_up[thread] = before
        else:
            _held_up.pop(thread, None)


def _comes_back(flight: Flight, leading: list[Flight], thread: int | None) -> bool:
    """Whether a flight waits, over any others, for those led here, or for this very thread."""
    seen: set[int] = set()
    waiting = [flight]
    while waiting:
        one = waiting.pop()
        if one in leading or one.thread == thread:
            return True
        if id(one) not in seen:
            seen.add(id(one))
            waiting.extend(list(one.waits.values()))
            if (held_up := _held_up.get(one.thread)) is not None:
                waiting.append(held_up)
    return False
